"""Settings: read from a YAML file, checked, frozen, hashed.

`configs/scoring.yaml` holds every value with where it is from. There are no defaults in the code: a
settings file is complete, so that it can stand in a study protocol as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from masi_vision.errors import SettingsError


def _increasing(points: tuple[float, ...]) -> tuple[float, ...]:
    if not all(low < high for low, high in pairwise(points)):
        raise ValueError("each number above the one before")
    return points


Fraction = Annotated[float, Field(ge=0, le=1)]
Contrast = Annotated[float, Field(gt=0, le=3)]
InnerFraction = Annotated[float, Field(gt=0, lt=1)]
DarknessCutPoints = Annotated[tuple[Contrast, Contrast, Contrast, Contrast], AfterValidator(_increasing)]
AreaCutPoints = Annotated[
    tuple[InnerFraction, InnerFraction, InnerFraction, InnerFraction, InnerFraction],
    AfterValidator(_increasing),
]
HomogeneityCutPoints = Annotated[
    tuple[InnerFraction, InnerFraction, InnerFraction, InnerFraction], AfterValidator(_increasing)
]
MidlineRegion = Literal["forehead", "chin"]
"""A region that nose or upper lip, which have no side, can count toward."""
Word = Annotated[str, StringConstraints(to_lower=True, pattern=r"^\w+$")]
Words = Annotated[tuple[Word, ...], Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ScaleSettings(_Section):
    """How a measure becomes a grade; see `masi_vision.scale`."""

    noise_floor: Annotated[float, Field(ge=0, lt=0.10)]
    area_cut_points: AreaCutPoints
    darkness_cut_points_od: DarknessCutPoints
    homogeneity_cut_points: HomogeneityCutPoints
    nose_counts_toward: MidlineRegion | None
    upper_lip_counts_toward: MidlineRegion | None

    @model_validator(mode="after")
    def _floor_below_area(self) -> ScaleSettings:
        if self.noise_floor >= self.area_cut_points[0]:
            raise ValueError("a noise_floor below the first of area_cut_points")
        return self


class PigmentSettings(_Section):
    """What counts as pigment: by the learned map, or by rules."""

    method: Literal["learned", "classical"]
    lesion_probability: InnerFraction
    disagreement_fraction: InnerFraction
    detection_threshold_od: Annotated[float, Field(gt=0, le=0.5)]
    shading_scale_fraction: Annotated[float, Field(ge=0.02, le=1)]


class RegionSettings(_Section):
    """When a region can be measured."""

    min_visible_fraction: Annotated[float, Field(gt=0, le=1)]


class FaceSettings(_Section):
    """When a face can be measured."""

    min_face_width_px: Annotated[int, Field(ge=16, le=10_000)]
    min_face_probability: Fraction
    max_abs_yaw_deg_front: Annotated[float, Field(gt=0, le=90)]
    max_abs_yaw_deg_oblique: Annotated[float, Field(gt=0, le=90)]
    max_abs_pitch_deg: Annotated[float, Field(gt=0, le=90)]


class ViewSettings(_Section):
    """Words in a file's name that tell its view, in lower case."""

    front: Words
    left: Words
    right: Words

    @model_validator(mode="after")
    def _one_view_per_word(self) -> ViewSettings:
        words = [*self.front, *self.left, *self.right]
        if twice := sorted({word for word in words if words.count(word) > 1}):
            raise ValueError(f"each word once, not twice {', '.join(twice)}")
        return self


class ReadingSettings(_Section):
    """Which files are read."""

    max_megapixels: Annotated[float, Field(gt=0, le=2000)]


class SeverityBands(_Section):
    """Severity words by the mMASI from which each holds, and who published them."""

    citation: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10)]
    mmasi_from: dict[str, Annotated[float, Field(ge=0, le=24)]]

    @model_validator(mode="after")
    def _from_zero_upward(self) -> SeverityBands:
        starts = tuple(self.mmasi_from.values())
        if not starts or starts[0] != 0 or _increasing(starts) != starts:
            raise ValueError("bands from 0 upward")
        return self


class Settings(_Section):
    """Everything a score depends on beside the photo and the models."""

    scale: ScaleSettings
    pigment: PigmentSettings
    regions: RegionSettings
    face: FaceSettings
    views: ViewSettings
    reading: ReadingSettings
    severity_bands: SeverityBands | None

    @property
    def sha256(self) -> str:
        """Hash of the values: the same whatever the order, comments and file they stand in."""
        values = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(values.encode()).hexdigest()


def load_settings(path: str | Path | None = None) -> Settings:
    """Read settings from a YAML file; None is the file that comes with masi_vision.

    Raises
    ------
    SettingsError
        The file cannot be read, or a key or value in it does not fit; the message names every such key.
    """
    file = shipped_file("configs", "scoring.yaml") if path is None else Path(path)
    values = _read_yaml(file)
    try:
        return Settings.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problems = "\n".join(f"  {_sentence(problem)}" for problem in error.errors())
        raise SettingsError(
            f"{file} does not hold usable settings:\n{problems}\n"
            "Correct the file; the shipped configs/scoring.yaml explains every value."
        ) from error


def shipped_file(kind: Literal["configs", "models"], name: str) -> Path:
    """Path of a file that comes with masi_vision, from an installed wheel or a checkout of the repository."""
    package = Path(__file__).resolve().parent
    places = (package / kind / name, package.parent / kind / name)
    for place in places:
        if place.is_file():
            return place
    raise SettingsError(
        f"{kind}/{name} was not found. Expected at {places[0]} or {places[1]}. Install masi_vision again."
    )


class _StrictLoader(yaml.SafeLoader):
    """YAML as usual, but a key given twice is an error, where PyYAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        if len(mapping) < len(node.value):
            raise yaml.YAMLError(f"a key stands twice in the block at line {node.start_mark.line + 1}")
        return mapping


def _read_yaml(file: Path) -> dict[Hashable, Any]:
    try:
        values = yaml.load(file.read_text(encoding="utf-8-sig"), Loader=_StrictLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} cannot be read ({error}). Expected a YAML file in UTF-8.") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{file} is not YAML: {error}. Compare it with configs/scoring.yaml.") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{file} holds no settings. Expected sections such as scale and pigment.")
    return values


def _sentence(problem: ErrorDetails) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing":
        return f"{key}: found nothing. Expected a value."
    if problem["type"] == "extra_forbidden":
        return f"{key}: found a key that is not a setting. Expected only the keys of configs/scoring.yaml."
    expected = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{key}: found {json.dumps(problem['input'])}. Expected {expected}."
