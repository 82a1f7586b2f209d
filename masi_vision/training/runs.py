"""An experiment carried out: its data gathered, its network made, fitted and looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from masi_vision.config import load_settings
from masi_vision.errors import DatasetError, SettingsError
from masi_vision.face.atlas import FaceAtlas
from masi_vision.face.crop import crop_template
from masi_vision.face.models import ATLAS, read_atlas
from masi_vision.labels.dataset import SPLITS, Dataset, Split
from masi_vision.training.atlas import mirror_of
from masi_vision.training.cache import TrainingSet, prepare
from masi_vision.training.data import FinderSamples, LabelledFace, ReaderSamples, Samples, in_crop
from masi_vision.training.designs import finder_of, pigment_of, reader_of, started
from masi_vision.training.experiment import (
    Experiment,
    FinderExperiment,
    PigmentExperiment,
    ReaderAugmentation,
    ReaderExperiment,
)
from masi_vision.training.fit import BEST, Fitted, Judge, Tell, fit
from masi_vision.training.judges import FinderJudge, PigmentJudge, ReaderJudge
from masi_vision.training.losses import finder_loss, pigment_loss, reader_loss
from masi_vision.training.pigment_data import PigmentSamples, SiteFrame, SitePigmentSamples, frame_faces
from masi_vision.training.site_photos import SitePhotos, site_photos
from masi_vision.visit.models import LEARNED_PHOTOS

_VALIDATION_PHANTOMS, _OF_ONE_FACE = 200, 10
_VALIDATION_SEED = 11
_COMPARED = 16
_STATISTICS_FROM = 96
_LEARNED_AND_HELD: tuple[Split, ...] = ("train", "validation")
_NO_REGIONS = (
    "no usable photo of the split train has its regions drawn{}. Expected some. Annotate the regions and "
    "import the labels again."
)
_NO_PIGMENT = (
    "no usable photo of the split train says where pigment is. Expected outlines of pigment, or photos "
    "known to be clear. Annotate the class pigment and import the labels again."
)
_AS_THEY_ARE = ReaderAugmentation(
    turned=0, turn_deg=0, reshaped=0, blended=0, covered=0, mirrored=0, camera=0
)


@dataclass(frozen=True)
class Sources:
    """What there is to learn from.

    Parameters
    ----------
    models : Path
        Folder of the models that are trained on: their atlas, and where a network starts from.
    dataset : Dataset or None
        A site's annotated photographs.
    faces : Path or None
        Folder of synthetic faces with landmarks.
    cache : Path
        Where photographs are kept as they were decoded.
    previous : Path or None
        Run whose network ``start: previous`` means.
    """

    models: Path
    dataset: Dataset | None
    faces: Path | None
    cache: Path
    previous: Path | None = None

    @property
    def atlas(self) -> FaceAtlas:
        """The aligned frame of the models."""
        return read_atlas(self.models / ATLAS)


@dataclass(frozen=True)
class Prepared:
    """An experiment made ready.

    Parameters
    ----------
    compared : (N, C, H, W)
        Validation photos on which the exported network is compared with the trained one.
    facts : dict
        What the model card says of the data.
    remarks : tuple of str
        What the researcher should know: photos left out, nobody to validate on.
    """

    network: torch.nn.Module
    samples: Samples
    loss: Any
    judge: Judge | None
    compared: Tensor
    facts: dict[str, Any]
    remarks: tuple[str, ...]


def made_ready(experiment: Experiment, sources: Sources) -> Prepared:
    """Gather the data of an experiment and make its network.

    Raises
    ------
    DatasetError, SettingsError, ModelError
        The data lack, the experiment asks for what is not to be had, or there is nothing to start from.
    """
    cv2.setNumThreads(1)  # before any picture is touched: OpenCV's thread pool does not survive a fork
    torch.manual_seed(experiment.seed)
    if isinstance(experiment, ReaderExperiment):
        return _reader(experiment, sources)
    if isinstance(experiment, PigmentExperiment):
        return _pigment(experiment, sources)
    if isinstance(experiment, FinderExperiment):
        return _finder(experiment, sources)
    raise TypeError(f"experiment must be of a finder, a reader or a pigment map, got {type(experiment)}")


def refuse_without_outlines(experiment: Experiment, sources: Sources) -> None:
    """Refuse a data set whose table has none of what an experiment learns from, before another is fitted.

    Raises
    ------
    DatasetError
    """
    if experiment.needs != "dataset" or sources.dataset is None:
        return
    train = sources.dataset.part("train")
    if isinstance(experiment, PigmentExperiment) and not any(entry.pigment for entry in train):
        raise DatasetError(_NO_PIGMENT)
    if isinstance(experiment, ReaderExperiment) and not any(entry.labels for entry in train):
        raise DatasetError(_NO_REGIONS.format(""))


def carried_out(
    experiment: Experiment, prepared: Prepared, run: Path, tell: Tell = lambda done, total, figures: None
) -> Fitted:
    """Fit it, going on where an earlier call was stopped."""
    loss = partial(prepared.loss, weights=experiment.loss)  # type: ignore[attr-defined]
    return fit(prepared.network, prepared.samples, loss, experiment, run, judge=prepared.judge, tell=tell)


def _reader(experiment: ReaderExperiment, sources: Sources) -> Prepared:
    atlas = sources.atlas
    train, facts, remarks = _faces_of("train", experiment, sources)
    held, _, more = _faces_of("validation", experiment, sources)
    mean, mirror = atlas.landmark_mean, mirror_of(atlas.landmark_mean)
    samples = ReaderSamples(train, mean, mirror, experiment.augmentation, seed=experiment.seed)
    crops = np.stack([in_crop(face.landmarks, crop_template(mean)) for face in train])
    network = reader_of(experiment.model, crops, mean)
    rng = np.random.default_rng(experiment.seed)
    seen = _tensor([samples.draw(rng) for _ in range(min(_STATISTICS_FROM, 4 * len(train) + 8))])
    _start(network, experiment, "reader", sources, seen)
    plain = ReaderSamples(held or train, mean, mirror, _AS_THEY_ARE, seed=_VALIDATION_SEED)
    compared = _tensor([plain.plain(number) for number in range(min(_COMPARED, plain.photos))])
    judge = ReaderJudge(plain) if held else None
    return Prepared(network, samples, reader_loss, judge, compared, facts, (*remarks, *more, *_unheld(held)))


def _finder(experiment: FinderExperiment, sources: Sources) -> Prepared:
    atlas = sources.atlas
    mean, mirror = atlas.landmark_mean, mirror_of(atlas.landmark_mean)
    train, facts, remarks = _faces_of("train", experiment, sources)
    held, _, _ = _faces_of("validation", experiment, sources)
    samples = FinderSamples(train, mean, mirror, experiment.augmentation, seed=experiment.seed)
    fixed = FinderSamples(held, mean, mirror, experiment.augmentation, seed=_VALIDATION_SEED)
    compared = _tensor([fixed[number] for number in range(_COMPARED)])
    network = finder_of(experiment.model)
    _start(network, experiment, "finder", sources, compared)
    return Prepared(network, samples, finder_loss, FinderJudge(fixed), compared, facts, remarks)


def _pigment(experiment: PigmentExperiment, sources: Sources) -> Prepared:
    cut, how, seed = load_settings().pigment.lesion_probability, experiment.augmentation, experiment.seed
    samples: PigmentSamples
    if experiment.needs == "faces":
        data, facts = _synthetic(sources)
        samples = PigmentSamples(frame_faces(data, "train", sources.cache), how, seed=seed)
        people, remarks = frame_faces(data, "validation", sources.cache), tuple[str, ...]()
        as_they_are = how.model_copy(update={"blended": 0.0})
        held = PigmentSamples(people, as_they_are, seed=_VALIDATION_SEED)
        judge: Judge | None = PigmentJudge(held, min(_VALIDATION_PHANTOMS, _OF_ONE_FACE * len(people)), cut)
    else:
        frames, facts, remarks = _frames(sources)
        samples = SitePigmentSamples(frames["train"], how, seed=seed)
        others = frames["validation"] or frames["train"]
        held = SitePigmentSamples(others, how, seed=_VALIDATION_SEED)
        shows = any(map(_shows_pigment, frames["validation"]))
        judge = PigmentJudge(held, held.photos, cut) if shows else None
    network = pigment_of(experiment.model)
    seen = _tensor([held.plain(number) for number in range(min(_STATISTICS_FROM, held.photos))])
    _start(network, experiment, "pigment", sources, seen)
    return Prepared(network, samples, pigment_loss, judge, seen[:_COMPARED], facts, remarks)


def _frames(sources: Sources) -> tuple[dict[Split, list[SiteFrame]], dict[str, Any], tuple[str, ...]]:
    """A site's photos whose pigment was drawn, by split."""
    parts = {part: _site(part, sources) for part in _LEARNED_AND_HELD}
    frames = {part: photos.for_pigment(sources.atlas) for part, photos in parts.items()}
    if not frames["train"]:
        raise DatasetError(_NO_PIGMENT)
    left_out = [why for photos in parts.values() for why in photos.left_out]
    facts = _site_facts(sources, {part: len(some) for part, some in frames.items()})
    held = frames["validation"]
    clear = (_ALL_CLEAR,) if held and not any(map(_shows_pigment, held)) else ()
    return frames, facts, (*left_out, *_unheld(held), *clear)


_ALL_CLEAR = (
    "No photo of the split validation shows pigment: nobody could tell a better network there, and the one "
    "of the end is kept. Deal patients with pigment into validation."
)


def _shows_pigment(frame: SiteFrame) -> bool:
    return bool(((frame.lesion > 0.5) & (frame.known > 0.5)).any())


def _start(
    network: torch.nn.Module, experiment: Experiment, what: str, sources: Sources, seen: Tensor
) -> None:
    model = experiment.model
    if model.start == "previous":
        if sources.previous is None:
            raise SettingsError(
                "model.start: found previous. Expected an experiment before this one in the same call. "
                "Name both: masi train FIRST SECOND."
            )
        model = model.model_copy(update={"start": str(sources.previous / BEST)})
    started(network, model, what, sources.models, seen)


def _faces_of(
    split: Split, experiment: Experiment, sources: Sources
) -> tuple[list[LabelledFace], dict[str, Any], tuple[str, ...]]:
    """Faces with drawn regions of one split, what the card says of them, and what to tell."""
    if experiment.needs == "faces":
        data, facts = _synthetic(sources)
        return data.part(split), facts, ()
    photos = _site(split, sources)
    faces = photos.for_regions()
    if not faces and split == "train":
        why = f" ({photos.left_out[0]})" if photos.left_out else ""
        raise DatasetError(_NO_REGIONS.format(why))
    return faces, _site_facts(sources, {split: len(faces)}), photos.left_out


def _site(split: Split, sources: Sources) -> SitePhotos:
    if sources.dataset is None:
        raise SettingsError(
            "needs: found dataset, and no data set was named. Expected a folder that masi labels import "
            "made. Name it with --dataset."
        )
    return site_photos(sources.dataset, sources.dataset.part(split), sources.models, sources.cache)


def _site_facts(sources: Sources, used: Mapping[Split, int]) -> dict[str, Any]:
    data = sources.dataset
    assert data is not None
    return {
        "trained_on": f"annotated photographs of the data set {data.folder.resolve().name}",
        "patients": {split: len({entry.patient for entry in data.part(split)}) for split in SPLITS},
        "photos": {split: len(data.part(split)) for split in SPLITS},
        "photos_used": dict(used),
        "dataset_sha256": data.sha256,
        LEARNED_PHOTOS: [
            data.photo_marks[entry.photo] for split in _LEARNED_AND_HELD for entry in data.part(split)
        ],
    }


def _synthetic(sources: Sources) -> tuple[TrainingSet, dict[str, Any]]:
    if sources.faces is None or not (sources.faces / "index.csv").is_file():
        raise SettingsError(
            "needs: found faces, and no folder of synthetic faces with landmarks was named. Expected one "
            "with an index.csv. Name it with --faces, or fine-tune on your own photos with --dataset."
        )
    data = prepare(sources.faces, sources.cache)
    counts = {split: len(data.part(split)) for split in SPLITS}
    source = "synthetic faces of SFHQ and SFHQ-T2I (David Beniaguev, MIT)"
    return data, {"trained_on": source, "photos": counts}


def _unheld(held: list[Any]) -> tuple[str, ...]:
    if held:
        return ()
    return (
        "No photo of the split validation can be used: nobody looks whether the network gets better, and the "
        "one of the end is kept.",
    )


def _tensor(samples: list[dict[str, Any]]) -> Tensor:
    images = torch.stack([torch.from_numpy(np.ascontiguousarray(sample["image"])) for sample in samples])
    return images.float() / 255 if images.dtype == torch.uint8 else images
