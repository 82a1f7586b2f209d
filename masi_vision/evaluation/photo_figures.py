"""What models draw on an annotated photograph beside what its annotator drew: the figures of one photo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, cast, get_args

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.config import Settings
from masi_vision.errors import DatasetError, NotScorable, PhotoUnreadable
from masi_vision.evaluation.pigment_truth import (
    LesionAreas,
    lesion_areas,
    mmasi_pair,
    truth_on_face,
    with_pigment,
)
from masi_vision.evaluation.region_figures import (
    RegionFigures,
    region_overlaps,
    sides_swapped,
    span_by_labels,
)
from masi_vision.face.align import Alignment, Window
from masi_vision.face.atlas import Floats, face_span
from masi_vision.face.crop import READER_SIDE_PX, apply, inverse
from masi_vision.labels.check import tone_of_photo
from masi_vision.labels.dataset import SPLITS, UNKNOWN, Codes, Dataset, Entry, PigmentTruth, Split
from masi_vision.names import View
from masi_vision.photo import Photo, srgb_to_linear
from masi_vision.scale import MASI_REGIONS
from masi_vision.skin.tone import tone_of
from masi_vision.visit.measure import PhotoMeasures, measure_photo, region_members
from masi_vision.visit.models import Models, open_models

Part = Literal[Split, "all"]
"""Which photos of a data set are evaluated."""

_MOSTLY = 0.9
"""Share of the skin of which the pigment must be known for a photo to be called clear (chosen here)."""
_STRIP_PX = 1024  # rows of a photo that are drawn at once: all of 24 megapixels would take 2 GB


@dataclass(frozen=True)
class PhotoFigures:
    """The figures of one photograph.

    Parameters
    ----------
    tone : str
        Class of the labelled skin by ITA; "" without labels.
    problem : str
        Why it could not be read; "" where it could.
    found : bool
        Whether a face was found; without one nothing overlaps.
    labelled, pigment_known : bool
        What its annotator drew.
    swapped : bool
        Either malar region lies more on the other's label than on its own.
    clear : bool
        The annotator saw no pigment on the skin that MASI counts.
    lesion : LesionAreas
    mmasi, true_mmasi : float or None
        Where all four regions are graded and the density of the pigment is known.
    """

    photo: str
    patient: str
    view: str
    site: str
    tone: str = ""
    problem: str = ""
    found: bool = False
    labelled: bool = False
    pigment_known: bool = False
    swapped: bool = False
    clear: bool = False
    lesion: LesionAreas = field(default_factory=LesionAreas)
    mmasi: float | None = None
    true_mmasi: float | None = None
    regions: Mapping[str, RegionFigures] = field(default_factory=dict)

    def region(self, name: str) -> RegionFigures:
        """The figures of a region."""
        return self.regions.get(name, RegionFigures())

    @property
    def mean_iou(self) -> float | None:
        """Mean over the regions of MASI that count."""
        return _mean([self.region(name).iou for name in MASI_REGIONS]) if self.labelled else None

    @property
    def fraction_error(self) -> float | None:
        """Mean over the regions of MASI that are graded."""
        return _mean([self.region(name).fraction_error for name in MASI_REGIONS])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(replace(self, regions={})) | {
            "regions": {name: one.to_dict() for name, one in self.regions.items()},
            "mean_iou": self.mean_iou,
            "fraction_error": self.fraction_error,
        }


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def entries_of(data: Dataset, split: Part) -> tuple[Entry, ...]:
    """The annotated photographs of a split.

    Raises
    ------
    DatasetError
        There are none.
    """
    if split not in get_args(Part):
        raise ValueError(f"split must be one of {', '.join((*SPLITS, 'all'))}, got {split!r}")
    part = data.entries if split == "all" else data.part(split)
    known = tuple(entry for entry in part if entry.labels or entry.pigment)
    if not known:
        raise DatasetError(
            f"{data.folder} has {len(part)} photos in the split {split}, none of them annotated. Expected "
            "annotated photos there. Name another split with --split, or import labels."
        )
    return known


def evaluate_dataset(
    data: Dataset,
    models_folder: Path | None,
    settings: Settings,
    split: Part = "test",
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[PhotoFigures]:
    """Figures of the annotated photographs of a split, in their order.

    Parameters
    ----------
    models_folder : Path or None
        None takes the shipped ones.
    workers : int
        Processes of one thread each; 1 works in this one.

    Raises
    ------
    DatasetError, ModelError
        There is nothing to evaluate, or the models cannot be used.
    """
    open_models(models_folder)
    entries = entries_of(data, split)
    one_of = partial(_evaluated, data.folder, models_folder, settings)
    jobs = [(entry, data.landmarks.get(entry.photo)) for entry in entries]
    progress(0, len(jobs))
    if min(workers, len(jobs)) <= 1:
        return _gathered(map(one_of, jobs), len(jobs), progress)
    # Started afresh, not forked: OpenCV's thread pool, in use by now, does not survive a fork.
    context = get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, cv2.setNumThreads, (1,)) as pool:
        return _gathered(pool.map(one_of, jobs, chunksize=2), len(jobs), progress)


def _gathered(made: Any, total: int, progress: Callable[[int, int], None]) -> list[PhotoFigures]:
    figures: list[PhotoFigures] = []
    for one in made:
        figures.append(one)
        progress(len(figures), total)
    return figures


def _evaluated(
    folder: Path, models: Path | None, settings: Settings, job: tuple[Entry, Floats | None]
) -> PhotoFigures:
    entry, points = job
    data = Dataset(folder, (entry,), {} if points is None else {entry.photo: points})
    return evaluate_photo(data, entry, open_models(models), settings)


@dataclass(frozen=True, eq=False)
class _Annotated:
    """A photograph with what its annotator drew and what the models measure."""

    photo: Photo
    labels: Codes | None
    truth: PigmentTruth | None
    measures: PhotoMeasures | None
    landmarks: Floats | None

    @property
    def labelled_skin(self) -> npt.NDArray[np.bool_]:
        """Where the labels show scored skin."""
        if self.labels is None:
            return np.zeros(self.photo.srgb.shape[:2], bool)
        return np.asarray((self.labels > 0) & (self.labels != UNKNOWN))


def evaluate_photo(data: Dataset, entry: Entry, models: Models, settings: Settings) -> PhotoFigures:
    """The figures of one photograph; one that cannot be read has a problem instead."""
    unknown = PhotoFigures(entry.photo, entry.patient, entry.view, entry.site)
    try:
        photo = data.photo(entry)
        labels = data.labels(entry, photo.srgb.shape)
        truth = data.pigment(entry, photo.srgb.shape)
    except (PhotoUnreadable, DatasetError) as why:
        return replace(unknown, problem=str(why))
    measures = measured(photo, entry, settings, models)
    points = data.landmarks.get(entry.photo)
    if points is None and measures is not None:
        points = measures.face.alignment.landmarks
    one = _Annotated(photo, labels, truth, measures, points)
    figures = _with_regions(replace(unknown, found=measures is not None), one, models)
    return _with_truth(figures, one, models, settings)


def _with_regions(figures: PhotoFigures, one: _Annotated, models: Models) -> PhotoFigures:
    if one.labels is None:
        return figures
    atlas = models.face.atlas
    span = span_by_labels(one.labels, atlas) if one.landmarks is None else face_span(one.landmarks)
    drawn = drawn_codes(one.measures, one.photo)
    return replace(
        figures,
        labelled=True,
        tone=tone_of_photo(one.photo, one.labels, one.truth),
        swapped=sides_swapped(drawn, one.labels, span),
        regions=region_overlaps(drawn, one.labels, span),
    )


def _with_truth(figures: PhotoFigures, one: _Annotated, models: Models, settings: Settings) -> PhotoFigures:
    truth = one.truth
    if truth is None:
        return figures
    figures = replace(figures, pigment_known=True, clear=_is_clear(truth, one, settings))
    if one.landmarks is None:  # no face found and none given: all of the pigment is missed
        skin = one.labelled_skin if one.labelled_skin.any() else truth.known
        return replace(figures, lesion=LesionAreas(true=_share(truth.lesion, skin)))
    over = Alignment(models.face.atlas, one.landmarks)
    codes = None if one.measures is None else one.measures.codes
    on_face = truth_on_face(truth, one.labels, over, codes)
    regions = with_pigment(figures.regions, on_face, one.measures, settings, models)
    found, true = mmasi_pair(regions, settings)
    lesion = lesion_areas(on_face, one.measures)
    return replace(figures, lesion=lesion, regions=regions, mmasi=found, true_mmasi=true)


def _is_clear(truth: PigmentTruth, one: _Annotated, settings: Settings) -> bool:
    """Whether no pigment was drawn on the skin that MASI counts, and most of that was looked at.

    Pigment elsewhere, as a stray outline beside the face, would make a perfect photo with pigment of it.
    """
    codes = one.labels
    if codes is None or not one.labelled_skin.any():
        codes = drawn_codes(one.measures, one.photo)
    members = region_members(settings.scale)
    skin = np.isin(codes, [code for name in MASI_REGIONS for code in members[name]])
    if not skin.any():
        return not truth.lesion.any() and bool(truth.known.any())
    return not (truth.lesion & skin).any() and _share(truth.known, skin) >= _MOSTLY


def _share(part: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> float:
    return float((part & whole).sum() / max(1, whole.sum()))


def measured(photo: Photo, entry: Entry, settings: Settings, models: Models) -> PhotoMeasures | None:
    """What the models measure, however bad the photo is; None where they find no face."""
    try:
        return measure_photo(photo, cast(View, entry.view), settings, models)
    except NotScorable:
        return None


def drawn_codes(measures: PhotoMeasures | None, photo: Photo) -> Codes:
    """Region codes as the models draw them, in the photo's pixels; nothing where no face was found."""
    codes = np.zeros(photo.srgb.shape[:2], np.uint8)
    if measures is not None:
        top, left, bottom, right = _crop_window(measures, codes.shape)
        for start in range(top, bottom, _STRIP_PX):
            end = min(bottom, start + _STRIP_PX)
            codes[start:end, left:right] = measures.face.photo_codes((start, left, end, right))
    return codes


def _crop_window(measures: PhotoMeasures, shape: tuple[int, ...]) -> Window:
    """The part of the photo that the network read: it draws nothing elsewhere."""
    side = READER_SIDE_PX
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float32)
    at = apply(inverse(measures.face.crop), corners)
    (left, top), (right, bottom) = np.floor(at.min(axis=0)) - 2, np.ceil(at.max(axis=0)) + 3
    return max(0, int(top)), max(0, int(left)), min(shape[0], int(bottom)), min(shape[1], int(right))


def tone_of_pixels(skin: npt.NDArray[np.uint8]) -> str:
    """Class of skin tone of the pixels (N, 3) of somebody's skin; "" of none."""
    return tone_of(srgb_to_linear(np.ascontiguousarray(skin[None]))[0]) if len(skin) else ""
