"""What a data set holds: how many photos and patients, how much of each region, what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.errors import DatasetError, NotScorable
from masi_vision.face.align import Alignment
from masi_vision.face.atlas import SUBUNITS, FaceAtlas, Floats, Subunit, face_span
from masi_vision.face.models import ATLAS, read_atlas
from masi_vision.labels.dataset import SPLITS, UNKNOWN, Codes, Dataset, Entry, PigmentTruth, Split, balance
from masi_vision.model_files import shipped_folder
from masi_vision.photo import Photo, srgb_to_linear
from masi_vision.skin.tone import TONES, tone_of

NO_TONE = "no labelled skin"
_PLACED_SPAN_PX = 150  # of a face are enough to say where a region lies
_RIM, _LEAST_REGION = 0.04, 0.003
"""Nobody draws just where the face has it, in shares of its span; less of the squared span is a rim."""
_LEAST_THERE = 0.6
"""Chosen on 250 faces, 100 of them turned by more than 20 degrees: docs/labels.md has the figures."""
_MISPLACED = (
    "{} lies where the face has none. Expected regions where the face has them. Look whether the drawing is "
    "of another photo, or the face was found elsewhere."
)
_LEAST_ASTRAY = 1e-3
"""Share of the labelled skin below which pigment off it is a slip of the pen. Chosen here."""
_ASTRAY = (
    "pigment of {} px lies off the labelled skin and counts nowhere. Expected it on a region. Look whether "
    "it is a slip, or a region was not drawn."
)
_EMPTY = (
    "The split {} is empty: {}. Expected patients in each of the three. Annotate three patients at least, or "
    "say their splits in the table."
)
_WITHOUT: dict[Split, str] = {
    "train": "nothing can be learned",
    "validation": "nobody looks whether a training gets better",
    "test": "nobody can tell what models are worth on others",
}
_MOST_PIXELS = 50_000  # of labelled skin are enough for its median colour


@dataclass(frozen=True)
class _Seen:
    """What one photo adds."""

    pixels: Counter[str]
    tone: str
    has_pigment: bool
    sha256: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class DatasetContents:
    """What a data set holds, by split.

    Parameters
    ----------
    photos, patients, pigment : dict
        Number of photos, of patients, and of photos on which pigment is drawn.
    regions : dict
        Region to the share of all labelled pixels of a split that are of it, 0 to 1.
    tones : dict
        Class of skin tone to the number of photos.
    no_face : tuple of str
        Photos without landmarks.
    problems : tuple of str
        A sentence for each thing that is wrong.
    remarks : tuple of str
        A sentence for each thing to look at, which may be right.
    """

    photos: dict[Split, int]
    patients: dict[Split, int]
    pigment: dict[Split, int]
    regions: dict[str, dict[Split, float]]
    tones: dict[str, dict[Split, int]]
    no_face: tuple[str, ...]
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def check_dataset(
    data: Dataset, progress: Callable[[int, int], None] = lambda done, of: None
) -> DatasetContents:
    """Read every photo and picture of a data set."""
    seen: dict[str, _Seen] = {}
    atlas = read_atlas(shipped_folder() / ATLAS)
    problems = _table_problems(data)
    for done, entry in enumerate(data.entries):
        progress(done, len(data.entries))
        try:
            seen[entry.photo] = _look(data, entry, atlas)
        except (DatasetError, NotScorable) as why:
            problems.append(f"{entry.photo}: {why}")
    problems += _shown_twice(data, {name: one.sha256 for name, one in seen.items()})
    tones = balance(data, lambda entry: (entry.photo in seen and seen[entry.photo].tone) or NO_TONE)
    order = [name for name, _ in TONES] + [NO_TONE]
    return DatasetContents(
        photos={split: len(data.part(split)) for split in SPLITS},
        patients={split: len({entry.patient for entry in data.part(split)}) for split in SPLITS},
        pigment={
            split: sum(entry.photo in seen and seen[entry.photo].has_pigment for entry in data.part(split))
            for split in SPLITS
        },
        regions=_shares(data, seen),
        tones={name: tones[name] for name in order if name in tones},
        no_face=tuple(entry.photo for entry in data.entries if entry.photo not in data.landmarks),
        problems=tuple(problems),
        remarks=(
            *(f"{name}: {told}" for name, one in seen.items() for told in one.remarks),
            *(_EMPTY.format(split, lost) for split, lost in _WITHOUT.items() if not data.part(split)),
        ),
    )


def _table_problems(data: Dataset) -> list[str]:
    problems = [f"{entry.photo}: has no split." for entry in data.entries if not entry.split]
    problems += [
        f"{entry.photo}: has neither labels nor pigment."
        for entry in data.entries
        if not entry.labels and not entry.pigment
    ]
    strangers = sorted(set(data.landmarks) - {entry.photo for entry in data.entries})
    return problems + [f"{name}: has landmarks, but no row in the table." for name in strangers]


def _shown_twice(data: Dataset, sha256: Mapping[str, str]) -> list[str]:
    """A sentence on every photo that is there again as another patient's, or in another split."""
    first: dict[str, Entry] = {}
    problems = []
    for entry in data.entries:
        if entry.photo not in sha256:
            continue
        before = first.setdefault(sha256[entry.photo], entry)
        if (before.patient, before.split) != (entry.patient, entry.split):
            problems.append(
                f"{entry.photo}: is the very file {before.photo}, of patient {before.patient} in the split "
                f"{before.split}. Expected each photo once. Take one out, or give both one patient."
            )
    return problems


def _look(data: Dataset, entry: Entry, atlas: FaceAtlas) -> _Seen:
    photo = data.photo(entry)
    labels = data.labels(entry, photo.srgb.shape)
    pigment = data.pigment(entry, photo.srgb.shape)
    points = data.landmarks.get(entry.photo)
    if points is not None and not np.isfinite(points).all():
        raise DatasetError("has landmarks that are no numbers. Import the labels again.")
    pixels: Counter[str] = Counter()
    if labels is not None:
        counts = np.bincount(labels.ravel(), minlength=UNKNOWN + 1)
        pixels.update({unit.name.lower(): int(counts[unit]) for unit in SUBUNITS})
    has_pigment, remarks = pigment is not None and bool(pigment.lesion.any()), list[str]()
    if labels is not None and points is not None:
        remarks += _misplaced(labels, points, atlas)
    if labels is not None and pigment is not None and (skin := labels != Subunit.NONE).any():
        has_pigment = bool(pigment.lesion[skin].any())
        astray = _astray_px(skin, pigment.lesion)
        remarks += [_ASTRAY.format(astray)] if astray > _LEAST_ASTRAY * skin.sum() else []
    return _Seen(pixels, tone_of_photo(photo, labels, pigment), has_pigment, photo.sha256, tuple(remarks))


def _misplaced(labels: Codes, points: Floats, atlas: FaceAtlas) -> list[str]:
    """A sentence on regions of which a good part lies where the face, by its landmarks, has none of them."""
    scale = min(1.0, _PLACED_SPAN_PX / face_span(points))
    height, width = (max(1, round(side * scale)) for side in labels.shape)
    drawn = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    over = Alignment(atlas, np.asarray(points * np.float32(scale), np.float32))
    placed = np.asarray(over.to_photo(atlas.labels, (0, 0, height, width), nearest=True), np.uint8)
    span = face_span(over.landmarks)
    around = np.ones((2 * round(_RIM * span) + 1,) * 2, np.uint8)
    astray = {}
    for unit in SUBUNITS:
        there = cv2.dilate((placed == unit).astype(np.uint8), around)[drawn == unit]
        if len(there) > _LEAST_REGION * span**2 and there.mean() < _LEAST_THERE:
            astray[unit.name.lower()] = 1 - there.mean()
    if not astray:
        return []
    return [_MISPLACED.format(", ".join(f"{share:.0%} of its {name}" for name, share in astray.items()))]


def _astray_px(skin: npt.NDArray[np.bool_], lesion: npt.NDArray[np.bool_]) -> int:
    """Pixels of pigment in pieces that lie wholly off the labelled skin."""
    count, pieces = cv2.connectedComponents(lesion.astype(np.uint8))
    on_skin = np.zeros(count, bool)
    on_skin[pieces[skin]] = True
    return int((lesion & ~on_skin[pieces]).sum())


def tone_of_photo(photo: Photo, labels: Codes | None, pigment: PigmentTruth | None) -> str:
    """Class of the tone of labelled skin that is not pigmented, by its median colour; "" of none."""
    if labels is None:
        return ""
    skin = (labels != Subunit.NONE) & (labels != UNKNOWN)
    if pigment is not None and (skin & ~pigment.lesion).any():
        skin &= ~pigment.lesion
    found = photo.srgb[skin]
    if not len(found):
        return ""
    some: npt.NDArray[np.uint8 | np.uint16] = found[:: max(1, len(found) // _MOST_PIXELS)]
    return tone_of(srgb_to_linear(np.ascontiguousarray(some[None]))[0])


def _shares(data: Dataset, seen: dict[str, _Seen]) -> dict[str, dict[Split, float]]:
    shares: dict[str, dict[Split, float]] = {}
    for split in SPLITS:
        pixels: Counter[str] = Counter()
        for entry in data.part(split):
            if entry.photo in seen:
                pixels += seen[entry.photo].pixels
        total = max(1, sum(pixels.values()))
        for unit in SUBUNITS:
            shares.setdefault(unit.name.lower(), {})[split] = pixels[unit.name.lower()] / total
    return shares
