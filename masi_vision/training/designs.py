"""Networks as an experiment asks for them: of which design, starting from what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from masi_vision.errors import MasiError, ModelError
from masi_vision.face.atlas import Floats
from masi_vision.face.crop import READER_SIDE_PX
from masi_vision.face.models import READER
from masi_vision.training.channel_blocks import stored_weights
from masi_vision.training.experiment import OURS, ModelSettings
from masi_vision.training.fit import with_weights
from masi_vision.training.networks import (
    FaceFinder,
    FaceReader,
    PigmentReader,
    ZooFinder,
    ZooPigmentReader,
    ZooReader,
    check_names,
)
from masi_vision.training.shipped import load_shipped

N_ANCHORS = 128
FILES = {"finder": "face_finder", "reader": "face_reader", "pigment": "pigment_reader"}
"""Names of the networks' files in a folder of models, without ending."""


def finder_of(model: ModelSettings) -> FaceFinder | ZooFinder:
    """A face finder, not started from anything but an encoder's filters."""
    with _fetching(model):
        if model.architecture == OURS:
            return FaceFinder(model.encoder, _pretrained(model))
        return ZooFinder(model.architecture, model.encoder, _pretrained(model))


def reader_of(
    model: ModelSettings, crops: Floats, landmark_mean: Floats, *, count: int = N_ANCHORS
) -> FaceReader | ZooReader:
    """A face reader whose map from anchors to landmarks is the ridge regression of training shapes.

    Parameters
    ----------
    crops : (N, 478, 3)
        Landmarks of training faces in crop pixels, depth centred.
    landmark_mean : (478, 3)
    count : int
        Of anchors.
    """
    anchors = choose_anchors(landmark_mean, count)
    with _fetching(model):
        if model.architecture == OURS:
            reader: FaceReader | ZooReader = FaceReader(anchors, model.encoder, _pretrained(model))
        else:
            reader = ZooReader(model.architecture, model.encoder, _pretrained(model), anchors)
    x = (crops[:, anchors, :2] / READER_SIDE_PX - 0.5).reshape(len(crops), -1).astype(np.float64)
    y = (crops / READER_SIDE_PX - 0.5).reshape(len(crops), -1).astype(np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    ridge = (x - x_mean).T @ (x - x_mean) + 1e-4 * max(len(x), 1) * np.eye(x.shape[1])
    weight = np.linalg.solve(ridge, (x - x_mean).T @ (y - y_mean)).T
    with torch.no_grad():
        reader.spread.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
        reader.spread.bias.copy_(torch.from_numpy((y_mean - weight @ x_mean).astype(np.float32)))
    return reader


def pigment_of(model: ModelSettings) -> PigmentReader | ZooPigmentReader:
    """A network for the pigment map."""
    with _fetching(model):
        if model.architecture == OURS:
            return PigmentReader(model.encoder, _pretrained(model))
        return ZooPigmentReader(model.architecture, model.encoder, _pretrained(model))


def started(network: nn.Module, model: ModelSettings, what: str, models: Path, pictures: Tensor) -> nn.Module:
    """A new network with the weights that the experiment starts from. In place.

    Parameters
    ----------
    what : {"finder", "reader", "pigment"}
    models : Path
        Folder of the models that are trained on.
    pictures : (N, C, H, W)
        What the network will see: an exported network gets its statistics back from them.

    Raises
    ------
    ModelError
        There are no such weights, or they are of another design.
    """
    if model.start in ("none", "imagenet"):
        return network
    if model.start == "face_reader":
        borrow_encoder(network, models / READER)
        return network
    if model.start != "models":
        return with_weights(network, Path(model.start)).train()
    checkpoint, exported = (models / f"{FILES[what]}{ending}" for ending in (".safetensors", ".onnx"))
    if checkpoint.exists():
        return with_weights(network, checkpoint).train()
    try:
        load_shipped(network, exported, pictures)
    except ValueError as error:
        raise ModelError(
            f"The training cannot start from {exported.name}: {error} Give model.architecture and "
            "model.encoder of that network, or start: none."
        ) from error
    return network.train()


def borrow_encoder(network: nn.Module, reader: Path) -> None:
    """Start the encoder with the filters of an exported face reader, where shapes agree. In place."""
    stored = stored_weights(reader)
    encoder = network.unet.encoder if hasattr(network, "unet") else network.zoo.encoder
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            one = stored.get(f"reader.unet.encoder.{name}")
            if one is not None and one.shape == weight.shape:
                weight.copy_(torch.tensor(one))


def choose_anchors(landmark_mean: Floats, count: int) -> list[int]:
    """Landmarks that span the face evenly: farthest-point sampling on the mean face, key points first."""
    chosen = [1, 33, 263, 61, 291, 152, 10, 234, 454]
    points = landmark_mean[:468]
    away = np.min(np.linalg.norm(points[:, None] - points[chosen][None], axis=2), axis=1)
    while len(chosen) < count:
        farthest = int(np.argmax(away))
        chosen.append(farthest)
        away = np.minimum(away, np.linalg.norm(points - points[farthest], axis=1))
    return chosen


def _pretrained(model: ModelSettings) -> str | None:
    """Name of the filters that segmentation-models-pytorch is to fetch: the only time that anything is."""
    check_names(model.architecture, model.encoder)
    return "imagenet" if model.start == "imagenet" else None


@contextmanager
def _fetching(model: ModelSettings) -> Iterator[None]:
    """Turn what can go wrong where an encoder's filters are fetched into a sentence."""
    try:
        yield
    except Exception as error:  # hubs, mirrors and proxies raise errors of many kinds
        if model.start != "imagenet" or isinstance(error, MasiError):
            raise
        first_line = str(error).partition("\n")[0]
        raise ModelError(
            f"model.start: found imagenet, and the filters of {model.encoder} could not be fetched "
            f"({type(error).__name__}: {first_line}). Expected a connection to where they are kept. "
            "Start from models or none, or run it once where there is one."
        ) from error
