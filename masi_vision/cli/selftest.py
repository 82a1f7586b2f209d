"""`masi selftest`: known inputs, expected numbers, on this machine; a site's own qualification run.

The photographs come with the package, so do the numbers that the shipped models and settings gave where
they were made (scripts/record_selftest.py).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import sha256
from itertools import pairwise, starmap, tee
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from masi_vision.cli.checks import Check, installation, told
from masi_vision.cli.door import DONE, MUST_CHANGE, verb
from masi_vision.cli.qualification import qualification
from masi_vision.errors import OutputError
from masi_vision.phantom.demo import demo_folder
from masi_vision.written import json_text, write_file

if TYPE_CHECKING:
    from masi_vision.visit.compare import VisitChange
    from masi_vision.visit.score import PhotoScore, VisitScore

Numbers = dict[str, float | None]
"""Name of a score, or region and column of regions.csv or region_changes.csv, to its number."""


class Record(TypedDict):
    """What is expected: of the phantoms by name, and of the settings and models that measured them."""

    made_with: dict[str, str]
    phantoms: dict[str, Numbers]


RECORD = "expected.json"
_SCORE, _CHANGE = "mmasi_continuous", "change of demo-01"
# Other processors round differently: 0.008 of a fraction, 0.004 OD, 0.1 of a score without bands and what
# follows from them are allowed. Grades and their scores must be the same; those that so little could move
# are not recorded. A change is of two scores, of which each may move by a grade.
_TOLERANCES = {
    "mmasi": 0.0,
    "masi": 0.0,
    "area": 0.0,
    "darkness": 0.0,
    "homogeneity": 0.0,
    "mmasi_continuous": 0.1,
    "masi_continuous": 0.2,
    "mmasi_low": 0.3,
    "mmasi_high": 0.3,
    "pigmented_fraction": 0.008,
    "pigmented_fraction_low": 0.02,
    "pigmented_fraction_high": 0.02,
    "second_opinion_fraction": 0.02,
    "visible_fraction": 0.01,
    "undecided_fraction": 0.02,
    "largest_patch_fraction": 0.05,
    "view_share": 0.01,
    "contrast_od": 0.004,
    "contrast_od_low": 0.01,
    "contrast_od_high": 0.01,
    "contrast_delta_l": 0.5,
    "contrast_ita_deg": 1.0,
    "normal_ita_deg": 1.0,
    "integrated_od": 0.0015,
    "registered_od": 0.003,
    "registered_od_low": 0.003,
    "registered_od_high": 0.003,
    "mmasi_change": 1.0,
    "mmasi_change_low": 1.0,
    "mmasi_change_high": 1.0,
    "amount_change_od": 0.002,
    "amount_change_od_low": 0.002,
    "amount_change_od_high": 0.002,
}
_BY_HAND = {
    "the worst face": (24.0, 48.0),
    "a mixed face": (9.6, 14.4),
    "its halves": (6.45, 7.95),
    "area grades": (0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6),
    "darkness grades": (0, 1, 2, 3, 4),
    "ends of a change": (-6.5, -2.197224),
}
_DOSES_OD = (0.0, 0.05, 0.10, 0.15)
_DOSED = "demo-01/visit-2/front.jpg"


@verb
def selftest(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a dated record (JSON) for the site's own file.")
    ] = None,
) -> int:
    """Measure the package's phantoms by the shipped models, and compare with their expected numbers.

    By the shipped models and settings alone: no numbers are known of others. docs/models.md says how a site
    qualifies cut points or models of its own.
    """
    if out is not None and out.exists():
        raise OutputError(f"{out} is there already. Expected a new file. Name another with --out.")
    typer.echo(installation())
    measured: dict[str, Numbers] = {}
    checks, kept = tee(run_selftest(measured))
    well = told(checks)
    typer.echo(
        "All is as expected." if well else "Something differs: see FAILED above. Do not score with it."
    )
    if out is not None:  # last: that it cannot be written must not keep back what was found
        hashes = made_with() | {"expected": _expected_sha256()}
        write_file(out, json_text(qualification(list(kept), measured, _TOLERANCES, hashes)))
        typer.echo(f"Record: {out}")
    return DONE if well else MUST_CHANGE


def _expected_sha256() -> str:
    """Of the file of expected numbers; "" where it is missing, which a check says."""
    file = demo_folder() / RECORD
    return sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def run_selftest(measured: dict[str, Numbers] | None = None) -> Iterator[Check]:
    """All checks, one after the other.

    Parameters
    ----------
    measured : dict, optional
        Filled with the numbers of each phantom that are held against the expected ones.
    """
    yield _scale()
    yield _planted_pigment()
    try:
        record: Record = json.loads((demo_folder() / RECORD).read_text(encoding="utf-8"))
        yield from _shipped(record["made_with"])
        yield from _phantoms(record["phantoms"], {} if measured is None else measured)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"missing or damaged ({type(error).__name__}: {error}). Expected it with the demo"
        yield "phantoms", False, f"{RECORD}, or a photo beside it, is {why}. Install masi_vision again."
    yield from _files()
    yield _no_face()
    yield from _unfit()


def _scale() -> Check:
    """Grades on their cut points and just below, and scores of a mixed face, worked out by hand."""
    from masi_vision.scale import MASI_REGIONS, RegionGrade, area_grade, darkness_grade, hemi_masi, masi_score
    from masi_vision.visit.score import change_ends

    worst = masi_score(dict.fromkeys(MASI_REGIONS, RegionGrade(6, 4, 4)))
    grades = ((6, 1, 0), (5, 2, 1), (4, 3, 2), (3, 4, 3))
    mixed = dict(zip(MASI_REGIONS, starmap(RegionGrade, grades), strict=True))
    some = masi_score(mixed)
    fractions = (0.0, 0.0099, 0.01, 0.0999, 0.1, 0.2999, 0.3, 0.4999, 0.5, 0.6999, 0.7, 0.8999, 0.9, 1.0)
    contrasts, cut_points = (0.0999, 0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4)
    low, high = change_ends((10.0, 8.0, 13.0), (6.0, 2.0, 9.0), share=0.5)
    found = {
        "the worst face": (worst.mmasi, worst.masi),
        "a mixed face": (some.mmasi, some.masi),
        "its halves": (hemi_masi("right", mixed), hemi_masi("left", mixed)),
        "area grades": tuple(area_grade(one) for one in fractions),
        "darkness grades": tuple(darkness_grade(one, cut_points) for one in contrasts),
        "ends of a change": (round(low, 6), round(high, 6)),
    }
    wrong = [f"{what} {found[what]}, expected {one}" for what, one in _BY_HAND.items() if found[what] != one]
    return "scale", not wrong, "; ".join(wrong) or f"{len(found)} things worked out by hand"


def _planted_pigment() -> Check:
    """Pigment planted on even skin comes back with its area, by rules."""
    import numpy as np

    from masi_vision.config import load_settings
    from masi_vision.phantom.plant import Site, pigment_patches, planted
    from masi_vision.pigment.rules import map_by_rules

    by = load_settings().pigment
    shape = (400, 320)
    density = 0.12 * pigment_patches(shape, [Site((0.5, 0.5), (0.12, 0.1), 1.0)], np.random.default_rng(1))
    photo = planted(np.full((*shape, 3), (0.45, 0.28, 0.2), np.float32), density)
    found = map_by_rules(
        photo,
        np.ones(shape, np.uint8),
        face_width_px=320,
        shading_scale_fraction=by.shading_scale_fraction,
        detection_threshold_od=by.detection_threshold_od,
    ).density_od
    truth, measured = float((density > 0.05).mean()), float((found > 0.05).mean())
    return (
        "planted pigment",
        0.7 < measured / truth < 1.1,
        f"planted {truth:.1%}, measured {measured:.1%} of the skin",
    )


def made_with() -> dict[str, str]:
    """Hash of the shipped settings and models: where they are others, so may be any number."""
    from masi_vision.config import load_settings
    from masi_vision.report.tables import models_hash
    from masi_vision.visit.models import shipped_models

    return {"settings": load_settings().sha256, "models": models_hash(shipped_models().sha256)}


def _shipped(expected: dict[str, str]) -> Iterator[Check]:
    """Settings and models are those that came with the package: no number need show that one was edited."""
    for what, found in made_with().items():
        is_same = found == expected[what]
        remedy = "Install masi_vision again; own settings and models are named with --settings and --models."
        said = f"SHA-256 {found[:16]}" + ("" if is_same else f", expected {expected[what][:16]}. {remedy}")
        yield f"shipped {what}", is_same, said


def _phantoms(recorded: dict[str, Numbers], measured: dict[str, Numbers]) -> Iterator[Check]:
    """Every demo visit, and one photo with more and more pigment, give the recorded numbers."""
    expected = dict(recorded)
    doses: list[float] = []
    for name, found in measured_phantoms():
        wanted = expected.pop(name, {})
        measured[name] = {key: found[key] for key in wanted if key in found}
        if not found or not wanted or not wanted.keys() <= found.keys():
            yield name, False, f"not scored, or {RECORD} is of another version"
            continue
        off = {key: _apart(found[key], value) / _tolerance(key) for key, value in wanted.items()}
        worst = max(off, key=lambda key: off[key])
        said = f"{len(off)} numbers; farthest off: {worst} {found[worst]}, expected {wanted[worst]}"
        yield name, all(one <= 1 for one in off.values()), said
        if name.startswith("dose"):
            doses.append(found[_SCORE] or 0.0)
    for name in expected:
        yield name, False, "recorded, but not measured"
    rising = all(low < high for low, high in pairwise(doses))
    scores = ", ".join(f"{score:.1f}" for score in doses)
    yield (
        "more pigment scores more",
        rising and len(doses) == len(_DOSES_OD),
        f"{_SCORE} {scores}",
    )


def _apart(found: float | None, expected: float | None) -> float:
    """How far two numbers lie apart; nothing and a number as far as can be."""
    if found is None or expected is None:
        return 0.0 if found is expected else float("inf")
    apart = abs(found - expected)
    return apart if isfinite(apart) else float("inf")


def measured_phantoms() -> Iterator[tuple[str, Numbers]]:
    """The numbers of every demo visit, of a change, and of a photo with doses of pigment on each region."""
    from masi_vision.visit.compare import compare_visits
    from masi_vision.visit.score import score_visit

    folder = demo_folder()
    visits = {}
    for visit in sorted({photo.parent for photo in folder.glob("*/*/front.jpg")}):
        name = visit.relative_to(folder).as_posix()
        visits[name] = score_visit(visit)
        yield name, _numbers(visits[name])
    yield _CHANGE, _numbers_of_change(compare_visits(visits["demo-01/visit-1"], visits["demo-01/visit-2"]))
    for dose in _DOSES_OD:
        yield f"dose {dose:.2f} OD", _numbers(_dosed(folder / _DOSED, dose))


def _dosed(file: Path, dose_od: float) -> PhotoScore:
    """A photo with a patch of pigment laid on each region, where its own face lies."""
    import numpy as np

    from masi_vision.phantom.plant import Site, pigment_patches, planted
    from masi_vision.photo import Photo, linear_to_srgb8, read_photo, srgb_to_linear
    from masi_vision.visit.score import score_photo

    plain = score_photo(file)
    if plain.measures is None:
        return plain
    pixels = np.asarray(read_photo(file).srgb, np.uint8)
    alignment = plain.measures.face.alignment
    places = ((0.22, 0.56), (0.78, 0.56), (0.5, 0.18), (0.5, 0.92))
    sites = [Site(place, (0.09, 0.07), 1.0) for place in places]
    patches = pigment_patches(plain.measures.codes.shape, sites, np.random.default_rng(2))
    over = np.asarray(alignment.to_photo(patches, (0, 0, *pixels.shape[:2])), np.float32)
    marked = linear_to_srgb8(planted(srgb_to_linear(pixels), dose_od * over))
    return score_photo(Photo.from_srgb(marked, name=file.name))


def _numbers(result: VisitScore | PhotoScore) -> Numbers:
    """Everything that the tables hold of a score."""
    from masi_vision.visit.region import region_values

    if result.scores is None:
        return {}
    numbers: Numbers = dict(asdict(result.scores))
    for name, region in result.regions.items():
        values = region_values(region)
        numbers |= {f"{name} {key}": value for key, value in values.items() if key not in ("view", "flag")}
    return numbers


def _numbers_of_change(change: VisitChange) -> Numbers:
    values = change.to_dict()
    of_all = ("mmasi_change", "amount_change_od")
    numbers: Numbers = {
        f"{name}{end}": values[f"{name}{end}"] for name in of_all for end in ("", "_low", "_high")
    }
    columns = ("registered_od", "registered_od_low", "registered_od_high")
    for name, region in change.regions.items():
        values = region.to_dict()
        numbers |= {f"{name} {column}": values[column] for column in columns}
    return numbers if change.status == "compared" else {}


def _tolerance(key: str) -> float:
    """Half a unit of the last place more than is allowed, so that what is the same is within it."""
    return _TOLERANCES[key.rpartition(" ")[2]] + 5e-6


def _files() -> Iterator[Check]:
    """What a file says of its own position and colours is followed, and a blurred photo is refused."""
    import cv2
    import numpy as np
    from PIL import Image

    from masi_vision.blinding.jpeg import strip_jpeg
    from masi_vision.photo import Photo, read_photo
    from masi_vision.visit.score import score_photo

    data = (demo_folder() / _DOSED).read_bytes()
    with tempfile.TemporaryDirectory(prefix="masi-") as scratch:
        turned, swapped = Path(scratch) / "turned.jpg", Path(scratch) / "swapped.png"
        turned.write_bytes(strip_jpeg(data, orientation=3, padding=1))
        upright = read_photo(demo_folder() / _DOSED).srgb
        same = np.array_equal(read_photo(turned).srgb, np.rot90(upright, 2))
        yield "position by Exif", same, "followed" if same else "the photo was not turned"
        Image.fromarray(upright).save(swapped, icc_profile=_red_for_blue())
        apart = int(np.abs(read_photo(swapped).srgb.astype(int) - upright[..., ::-1]).max())
        yield "colour profile", apart <= 2, f"{apart} levels of 255 off"
    width = upright.shape[1]
    blurred = cv2.GaussianBlur(np.asarray(upright), (0, 0), 0.012 * width)
    result = score_photo(Photo.from_srgb(blurred, name="blurred"))
    yield "blurred photo", result.reason == "out_of_focus", f"{result.status}, {result.reason}"


def _red_for_blue() -> bytes:
    """The colour profile of a screen whose red and blue are each other's."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")


def _unfit() -> Iterator[Check]:
    """Skin that cannot be graded is refused with its reason, and what is doubtful has its flag."""
    import numpy as np

    from masi_vision.config import load_settings
    from masi_vision.face.atlas import Subunit
    from masi_vision.photo import Photo, read_photo
    from masi_vision.scale import MASI_REGIONS
    from masi_vision.visit.score import score_photo

    file = demo_folder() / _DOSED
    plain = score_photo(file)
    if plain.measures is None:
        yield "unfit skin", False, f"{file.name} was not scored ({plain.reason})"
        return
    pixels = np.array(read_photo(file).srgb)
    cheek = plain.measures.face.photo_codes((0, 0, *pixels.shape[:2])) == Subunit.RIGHT_MALAR
    pixels[cheek] = 255
    burnt = score_photo(Photo.from_srgb(pixels, name=file.name)).regions.get("right_malar")
    flags = burnt.flags if burnt else ()
    yield "burnt-out skin", "clipped" in flags, f"flagged {', '.join(flags) or 'nothing'}"
    settings = load_settings()
    whole = settings.quality.visible_fraction.model_copy(update={"warn": None, "fail": 0.9999})
    parts = {
        "quality": settings.quality.model_copy(update={"visible_fraction": whole}),
        "pigment": settings.pigment.model_copy(update={"disagreement_fraction": 1e-9}),
    }
    for what, part, flag in (
        ("hidden skin", "quality", "region_hidden"),
        ("two opinions", "pigment", "disagreement"),
    ):
        strict = score_photo(file, settings.model_copy(update={part: parts[part]}))
        flagged = {name for name, region in strict.regions.items() if flag in region.flags}
        lacking = [name for name in MASI_REGIONS if name not in flagged]
        yield what, not lacking, f"not flagged: {', '.join(lacking)}" if lacking else f"flagged {flag}"


def _no_face() -> Check:
    import numpy as np

    from masi_vision.photo import Photo
    from masi_vision.visit.score import score_photo

    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    result = score_photo(Photo.from_srgb(noise, name="noise"))
    return "picture without a face", result.reason == "no_face", f"{result.status}, {result.reason}"
