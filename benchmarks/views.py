"""How well a turned cheek is measured, on people on whom nothing was trained.

    python benchmarks/views.py --faces FACES [--write]

First on photographs of heads that are really turned by 20 to 45 degrees, with melasma planted on the near
cheek alone: how far its pigmented fraction is off, whether its skin is ever drawn as the other cheek's, and
whether its pigment is ever found on the other side: whether planting it there raises the other cheek's
fraction more than that of its own, against the same photograph without it. A visit takes a cheek from the
view of its own side and the front alone, so that no grade rests on a side view of the other; and of most of
these heads the other cheek is hidden, so the same is asked of heads that were photographed straight on and
turned afterwards (`masi_vision/training/turned_head.py`). On these, too, each cheek in the front view, in
its own view, and in both together. Last, whether a side view of another person is noticed beside a front.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from page import parser_of, write_results

from masi_vision.config import Settings, load_settings
from masi_vision.errors import NotScorable
from masi_vision.face.align import Alignment, skin_area
from masi_vision.face.atlas import Subunit
from masi_vision.names import View
from masi_vision.phantom.capture import draw_capture
from masi_vision.phantom.melasma import Melasma, no_melasma
from masi_vision.photo import Photo
from masi_vision.pigment.measure import RegionMeasure
from masi_vision.training.data import LabelledFace
from masi_vision.training.phantom_photos import (
    Scene,
    can_be_planted,
    drawn_melasma,
    people_to_plant,
    photographed,
)
from masi_vision.training.pigment_export import prepare
from masi_vision.visit.measure import PhotoMeasures, measure_photo
from masi_vision.visit.models import Models, shipped_models
from masi_vision.visit.region import METHODS
from masi_vision.visit.views import joined, likeness_of

PAGE = Path(__file__).parent.parent / "docs" / "views.md"
SIDES: dict[View, tuple[Subunit, Subunit, float]] = {  # near cheek, far cheek, turn
    "right": (Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR, 40.0),
    "left": (Subunit.LEFT_MALAR, Subunit.RIGHT_MALAR, -40.0),
}
LEAST_SHARE, DRAWS, PEOPLE = 0.5, 3, 60
TURN_DEG = 20.0, 45.0


def fraction(lesion: np.ndarray, region: np.ndarray, models: Models) -> float:
    """Lesion over region, by area of skin."""
    return float(np.average(lesion[region], weights=skin_area(models.face.atlas)[region]))


def region_of(face: LabelledFace, models: Models, code: Subunit) -> np.ndarray:
    """A region's visible skin by the labels, in the aligned frame."""
    labels = Alignment(models.face.atlas, face.landmarks).to_frame(face.labels, nearest=True)
    return np.asarray(labels) == code


def shown(
    face: LabelledFace,
    melasma: Melasma,
    view: View,
    yaw_deg: float,
    models: Models,
    settings: Settings,
    rng: np.random.Generator,
) -> PhotoMeasures | None:
    """The measures of one photograph; None where it cannot be measured."""
    pixels = photographed(Scene(face, melasma), models.face.atlas, draw_capture(rng), rng, yaw_deg=yaw_deg)
    try:
        return measure_photo(Photo.from_srgb(pixels), view, settings, models)
    except NotScorable:
        return None


@dataclass(frozen=True)
class Cheek:
    """A cheek whose pigmented fraction is known, and what was measured."""

    true: float
    measure: RegionMeasure

    @property
    def found(self) -> float:
        """The fraction measured."""
        return self.measure.pigmented_fraction

    @property
    def held(self) -> bool:
        """Whether the interval holds the true one."""
        return self.measure.pigmented_fraction_low <= self.true <= self.measure.pigmented_fraction_high


@dataclass(frozen=True)
class Sides:
    """A cheek that is seen from its own side and bears all the pigment, and what the other one has.

    Parameters
    ----------
    other_seen : bool
        So much of the other cheek is seen that a front view would be graded there.
    astray : bool
        Planting raised the other cheek's fraction, and more than this one's.
    swapped : bool
        More of its skin is drawn as the other cheek's than as its own.
    """

    near: Cheek
    other_seen: bool
    astray: bool
    swapped: bool


def one_sided(
    faces: Sequence[LabelledFace],
    view: View,
    number: int,
    models: Models,
    settings: Settings,
    *,
    draws: int,
    yaw_deg: float = 0.0,
) -> Iterator[Sides]:
    """The near cheek of a head, where it is seen well enough, with melasma of its own.

    Parameters
    ----------
    number : int
        Of the face among the faces.
    draws : int
        How often, each time with other melasma.
    yaw_deg : float
        By how much the head is turned after it was photographed.
    """
    face, atlas = faces[number], models.face.atlas
    near, far, _ = SIDES[view]
    region = region_of(face, models, near)
    if region.sum() < LEAST_SHARE * (atlas.labels == near).sum():
        return
    columns, middle = np.arange(region.shape[1]), atlas.labels.shape[1] / 2
    own_side = columns < middle if near is Subunit.RIGHT_MALAR else columns >= middle
    for draw in range(draws):
        rng = np.random.default_rng((7, number, draw))
        melasma, _ = drawn_melasma(face, atlas, "held out", rng)
        melasma = replace(
            melasma,
            density_od=(melasma.density_od * own_side).astype(np.float32),
            lesion=melasma.lesion & own_side,
        )
        clear, same_camera = no_melasma(melasma.lesion.shape), deepcopy(rng)
        measures = shown(face, melasma, view, yaw_deg, models, settings, rng)
        before = shown(face, clear, view, yaw_deg, models, settings, same_camera)
        found = measures.regions[near.name.lower()] if measures else None
        if measures is None or found is None or found.visible_fraction < LEAST_SHARE:
            continue
        true = fraction(melasma.lesion, region, models)
        rise, rise_there = (found_on(measures, one) - found_on(before, one) for one in (near, far))
        other = measures.regions[far.name.lower()]
        drawn = measures.codes[region]
        yield Sides(
            Cheek(true, found),
            other is not None and other.visible_fraction >= settings.quality.visible_fraction.fail,
            true > 0.1 and rise_there > max(rise, 0) + 0.05,
            bool(np.count_nonzero(drawn == far) > np.count_nonzero(drawn == near)),
        )


def really_turned(faces: list[LabelledFace], models: Models, settings: Settings) -> Iterator[Sides]:
    """Heads as they were photographed."""
    for number, face in enumerate(faces):
        view: View = "right" if face.yaw_deg > 0 else "left"
        yield from one_sided(faces, view, number, models, settings, draws=DRAWS)


def turned_a_little(faces: list[LabelledFace], models: Models, settings: Settings) -> Iterator[Sides]:
    """Heads turned afterwards by 20 to 45 degrees: by 20 the other cheek is seen as well."""
    for number in range(len(faces)):
        turn_deg = np.random.default_rng((9, number)).uniform(*TURN_DEG)
        for view, (_, _, side) in SIDES.items():
            yaw_deg = float(np.copysign(turn_deg, side))
            yield from one_sided(faces, view, number, models, settings, draws=1, yaw_deg=yaw_deg)


def found_on(measures: PhotoMeasures | None, cheek: Subunit) -> float:
    """Pigmented fraction; 0 where the cheek is not seen."""
    one = measures.regions[cheek.name.lower()] if measures else None
    return one.pigmented_fraction if one else 0.0


@dataclass(frozen=True)
class Turned:
    """A side view beside fronts.

    Parameters
    ----------
    cheek : tuple of Cheek, or None
        In front, from its own side, and in both; None where one of them shows too little of it.
    own, another : float or None
        How alike it is to the same person's front, and to that of the person before.
    """

    cheek: tuple[Cheek, Cheek, Cheek] | None
    own: float | None
    another: float | None


def turned_afterwards(faces: list[LabelledFace], models: Models, settings: Settings) -> Iterator[Turned]:
    """Every cheek of everybody from its own side, the head turned after it was photographed."""
    another: PhotoMeasures | None = None
    for number, face in enumerate(faces):
        rng = np.random.default_rng((8, number))
        melasma, _ = drawn_melasma(face, models.face.atlas, "held out", rng)
        front = shown(face, melasma, "front", 0.0, models, settings, rng)
        for view, (near, _, yaw_deg) in SIDES.items():
            side = shown(face, melasma, view, yaw_deg, models, settings, rng)
            if front is None or side is None:
                continue
            alike = likeness_of(front, side), another and likeness_of(another, side)
            seen = [one.regions[near.name.lower()] for one in (front, side)]
            enough = [one for one in seen if one is not None and one.visible_fraction >= LEAST_SHARE]
            if len(enough) < len(seen):
                yield Turned(None, *alike)
                continue
            both = joined(
                [side, front],
                [int(near)],
                error=models.pigment.errors[METHODS["learned"]],
            )
            true = fraction(melasma.lesion, region_of(face, models, near), models)
            yield Turned((Cheek(true, enough[0]), Cheek(true, enough[1]), Cheek(true, both.measure)), *alike)
        another = front or another


def row(title: str, cheeks: Sequence[Cheek]) -> str:
    """A row of the table."""
    true, found = np.array([one.true for one in cheeks]), np.array([one.found for one in cheeks])
    return (
        f"| {title} | {len(cheeks)} | {100 * np.abs(found - true).mean():.1f} points "
        f"| {np.corrcoef(found, true)[0, 1]:.2f} | {np.mean([one.held for one in cheeks]):.0%} |"
    )


def of_sides(title: str, sides: Sequence[Sides]) -> str:
    """A row of the table of sides."""
    seen = [one for one in sides if one.other_seen]
    hidden = [one for one in sides if not one.other_seen]
    return (
        f"| {title} | {sum(one.swapped for one in sides)} of {len(sides)} "
        f"| {sum(one.astray for one in seen)} of {len(seen)}; "
        f"{sum(one.astray for one in hidden)} of {len(hidden)} |"
    )


def of_likeness(title: str, found: Sequence[float | None], least: float) -> str:
    """A row of the table of whose side view it is."""
    known = np.array([one for one in found if one is not None])
    return (
        f"| {title} | {len(found)} | {known.min():.2f}, {np.median(known):.2f}, {known.max():.2f} "
        f"| {np.count_nonzero(known < least)} |"
    )


def of_others(
    turned: list[LabelledFace], fronts: list[LabelledFace], models: Models, settings: Settings
) -> list[float | None]:
    """How alike heads that are really turned are to the front of somebody else."""
    found = []
    for number, (face, other) in enumerate(zip(turned, fronts, strict=False)):
        rng = np.random.default_rng((10, number))
        melasma, _ = drawn_melasma(other, models.face.atlas, "held out", rng)
        clear = no_melasma(melasma.lesion.shape)
        front = shown(other, melasma, "front", 0.0, models, settings, rng)
        side = shown(face, clear, "right" if face.yaw_deg > 0 else "left", 0.0, models, settings, rng)
        if front is not None and side is not None:
            found.append(likeness_of(front, side))
    return found


def table(
    turned: list[Sides], a_little: list[Sides], made: list[Turned], others: list[float | None], least: float
) -> str:
    """All parts."""
    cheeks = zip(*(one.cheek for one in made if one.cheek), strict=True)
    near = "really turned by 20 to 45 degrees, the near cheek (must: under 8 points)"
    ways = ("in front", "from its own side", "in both together")
    return "\n".join(
        [
            "| photographs | number | error of the fraction | r with the planted | 90 % interval held |",
            "| --- | --- | --- | --- | --- |",
            row(near, [one.near for one in turned]),
            *(row(f"turned afterwards, a cheek {way}", seen) for way, seen in zip(ways, cheeks, strict=True)),
            "",
            "| pigment on the near cheek alone | near cheek drawn as the other (must: 0) "
            "| its pigment found on the other, of which half is seen; less than half |",
            "| --- | --- | --- |",
            of_sides("really turned by 20 to 45 degrees", turned),
            of_sides("turned afterwards by 20 to 45 degrees", a_little),
            "",
            "| a side view beside a front | pairs | likeness: least, median, greatest "
            f"| flagged, below {least:g} |",
            "| --- | --- | --- | --- |",
            of_likeness("of one person, turned afterwards", [one.own for one in made], least),
            of_likeness(
                "of two, turned afterwards", [one.another for one in made if one.another is not None], least
            ),
            of_likeness("of two, really turned", others, least),
        ]
    )


def main() -> None:
    parser = parser_of(__doc__, writes="the table into docs/views.md", cache=True)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    data, models, settings = prepare(arguments.faces, arguments.cache), shipped_models(), load_settings()
    labelled = [data.labelled[face.id] for face in data.faces if data.split[face.id] == "test"]
    turned = [face for face in labelled if 20 <= abs(face.yaw_deg) <= 45 and can_be_planted(face)]
    straight = people_to_plant(data, "test")[:PEOPLE]
    results = table(
        list(really_turned(turned, models, settings)),
        list(turned_a_little(straight, models, settings)),
        list(turned_afterwards(straight, models, settings)),
        of_others(turned, straight, models, settings),
        settings.quality.views_likeness.warn or 0.0,
    )
    print(results)
    if arguments.write:
        write_results(PAGE, results)


if __name__ == "__main__":
    main()
