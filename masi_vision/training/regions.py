"""From a folder of faces to the two shipped face models."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from masi_vision.face.atlas import Floats
from masi_vision.face.crop import FINDER_SIDE_PX, KEY_LANDMARKS, apply, crop_template, photo_to_crop
from masi_vision.face.models import CARD, FORMAT
from masi_vision.training.atlas import symmetric_mirror
from masi_vision.training.cache import TrainingSet, prepare
from masi_vision.training.data import FinderSamples, ReaderSamples
from masi_vision.training.fit import (
    Schedule,
    averaged,
    choose_anchors,
    finder_loss,
    fit,
    new_finder,
    new_reader,
    reader_loss,
)
from masi_vision.training.networks import FaceFinder, FaceReader
from masi_vision.training.shipped import load_shipped

N_ANCHORS = 128
FINDER_BATCH, READER_BATCH = 64, 24


def train(
    what: Literal["finder", "reader"],
    faces: Path,
    cache: Path,
    run: Path,
    minutes: float,
    threads: int,
    *,
    shipped: Path | None = None,
) -> FaceFinder | FaceReader:
    """Fit one of the two networks; a run that was stopped goes on from its checkpoint.

    With ``shipped``, a reader that was exported, the reader starts from that one, at half the rate.
    """
    cv2.setNumThreads(1)  # before any picture is touched: OpenCV's thread pool does not survive a fork
    data = prepare(faces, cache)
    mirror = symmetric_mirror(data.polygons.mirror)
    mean, part = data.atlas.landmark_mean, data.part("train")
    if what == "finder":
        schedule = Schedule(minutes, batch=FINDER_BATCH, peak_rate=3e-3, threads=threads)
        return fit(new_finder(), FinderSamples(part, mean, mirror, seed=1), finder_loss, schedule, run)
    samples, reader = ReaderSamples(part, mean, mirror, seed=1), untrained_reader(data)
    if shipped is not None:
        load_shipped(reader, shipped, pictures(samples, 96, np.random.default_rng(1)))
    rate = 2e-3 if shipped is None else 1e-3
    schedule = Schedule(minutes, batch=READER_BATCH, peak_rate=rate, threads=threads)
    return fit(reader, samples, reader_loss, schedule, run)


def pictures(samples: ReaderSamples, count: int, rng: np.random.Generator) -> Tensor:
    """Pictures as the reader meets them, (N, 3, S, S) in [0, 1]."""
    return torch.stack([torch.from_numpy(samples.draw(rng)["image"]).float() / 255 for _ in range(count)])


def untrained_reader(data: TrainingSet) -> FaceReader:
    """A reader that knows the shapes of the training faces and nothing of pictures yet."""
    crops = np.stack([_in_crop(face.landmarks, data.atlas.landmark_mean) for face in data.part("train")])
    return new_reader(crops, choose_anchors(data.atlas.landmark_mean, N_ANCHORS))


def _in_crop(landmarks: Floats, mean: Floats) -> Floats:
    placed = apply(photo_to_crop(landmarks[list(KEY_LANDMARKS), :2], crop_template(mean)), landmarks)
    placed[:, 2] -= placed[:, 2].mean()
    return placed


def export(faces: Path, cache: Path, runs: Path, out: Path) -> None:
    """Write the atlas, the networks that were trained as ONNX, and the card with their hashes.

    A network without a checkpoint in ``runs`` stays as it lies in ``out``, with what its card says of it.
    Metrics are added by evaluation.

    Raises
    ------
    ValueError
        Nothing was trained, a network is nowhere, or ONNX Runtime and PyTorch differ by more than 1e-4 in a
        probability or 0.01 px in a landmark.
    """
    data = prepare(faces, cache)
    out.mkdir(parents=True, exist_ok=True)
    atlas, before = data.atlas, _card_there(out)
    np.savez_compressed(
        out / "face_atlas.npz",
        nodes=atlas.nodes,
        triangles=atlas.triangles,
        labels=atlas.labels,
        landmark_mean=atlas.landmark_mean,
        version=np.array(atlas.version),
    )
    checks = ReaderSamples(
        data.part("validation"), atlas.landmark_mean, symmetric_mirror(data.polygons.mirror), seed=7
    )
    crops = pictures(checks, 8, np.random.default_rng(7))
    drawn: dict[str, int] = dict(before.get("samples_drawn", {}))
    parity: dict[str, float] = dict(before.get("largest_difference_to_pytorch", {}))
    trained = [what for what in ("finder", "reader") if (runs / what / "checkpoint.pt").exists()]
    if not trained:
        raise ValueError(f"{runs} holds no checkpoint. Expected finder/ or reader/ there: train one first.")
    lacking = [what for what in ("finder", "reader") if what not in trained and what not in drawn]
    if lacking:
        raise ValueError(f"neither {runs} nor {out} holds a {lacking[0]}. Expected one: train it first.")
    if "finder" in trained:
        finder, steps = averaged(new_finder(), runs / "finder")
        small = nn.functional.interpolate(crops, size=(FINDER_SIDE_PX, FINDER_SIDE_PX), mode="area")
        parity |= write_onnx(finder, small, ["presence", "heat"], out / "face_finder.onnx")
        drawn["finder"] = steps * FINDER_BATCH
    if "reader" in trained:
        reader, steps = averaged(untrained_reader(data), runs / "reader")
        parity |= write_onnx(_Delivered(reader), crops, ["shares", "landmarks"], out / "face_reader.onnx")
        drawn["reader"] = steps * READER_BATCH
    if parity["shares"] > 1e-4 or parity["landmarks"] > 1e-2:
        raise ValueError(f"the exported networks differ from the trained ones by {parity}")
    card = {
        "format": FORMAT,
        "atlas": atlas.version,
        "licence": "Apache-2.0",
        "trained_on": "synthetic faces of SFHQ and SFHQ-T2I (David Beniaguev, MIT)",
        "test_ids": [face.id for face in data.faces if data.split[face.id] == "test"],
        "samples_drawn": drawn,
        "largest_difference_to_pytorch": parity,
        "versions": {
            "torch": torch.__version__,
            "segmentation-models-pytorch": version("segmentation-models-pytorch"),
        },
        "sha256": {
            name: _sha256(out / name) for name in ("face_atlas.npz", "face_finder.onnx", "face_reader.onnx")
        },
    }
    (out / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _card_there(folder: Path) -> dict[str, Any]:
    file = folder / CARD
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


class _Delivered(nn.Module):
    """The reader as it is delivered: probabilities and landmarks."""

    def __init__(self, reader: FaceReader) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        logits, landmarks, _ = self.reader(image)
        return logits.softmax(dim=1), landmarks


def write_onnx(network: nn.Module, pictures: Tensor, outputs: list[str], file: Path) -> dict[str, float]:
    """Export with a batch of one; return each output's largest difference to PyTorch over the pictures."""
    with torch.inference_mode():
        torch.onnx.export(
            network.eval(),
            (pictures[:1],),
            str(file),
            input_names=["image"],
            output_names=outputs,
            opset_version=20,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        forget_places(file)
        session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        worst = dict.fromkeys(outputs, 0.0)
        for picture in pictures:
            ours = network(picture[None])
            theirs = session.run(None, {"image": picture[None].numpy()})
            for name, our, their in zip(outputs, ours, theirs, strict=True):
                worst[name] = max(worst[name], float(np.abs(our.numpy() - their).max()))
    return worst


def forget_places(file: Path) -> None:
    """Take out of an exported network where its code lay: the exporter writes that to every node."""
    model = onnx.load(file)
    for node in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, model.graph):
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(model, file)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
