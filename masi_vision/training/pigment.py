"""The network that draws the pigment map: fitted on phantoms, measured on people never seen, exported."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from masi_vision.config import shipped_file
from masi_vision.face.atlas import Subunit
from masi_vision.pigment.learned import DENSITY_UNIT_OD
from masi_vision.training.cache import prepare
from masi_vision.training.fit import Batch, Schedule, averaged, fit
from masi_vision.training.networks import PigmentReader
from masi_vision.training.pigment_data import P_BLENDED, PigmentSamples, frame_faces

BATCH = 16
WEIGHT_DECAY = 5e-2
RECIPE = "recipe.json"
HUBER_OD = 0.3
"""Errors of density below it count squared, larger ones by their size; those of a region from half of it."""
_HUBER = HUBER_OD / DENSITY_UNIT_OD
_OUTPUT = ["lesion", "density"]


def pigment_loss(network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Lesion and density per pixel of visible skin, and the pigmented fraction of every region.

    Notes
    -----
    cross-entropy + half of Dice of the lesion + 4 x Huber of the density + the absolute error of each
    region's fraction + 4 x Huber of its mean density: these two are what is graded, and errors of pixels
    that cancel are forgiven there. Density is squared up to ``HUBER_OD``, not absolute: where it is unsure
    whether a dark cheek is pigment, the network answers with the mean of what may be, not with what is
    likelier, which is none.
    """
    logit, density = network(batch["image"]).unbind(dim=1)
    skin = (batch["codes"] > 0).float()
    lesion, n_skin = batch["lesion"], skin.sum().clamp(min=1)
    cross = (
        nn.functional.binary_cross_entropy_with_logits(logit, lesion, reduction="none") * skin
    ).sum() / n_skin
    share = logit.sigmoid() * skin
    truth = lesion * skin
    both, either = (share * truth).sum(dim=(1, 2)), share.sum(dim=(1, 2)) + truth.sum(dim=(1, 2))
    dice = (
        1 - ((2 * both + 20) / (either + 20)).mean()
    )  # 20 px: a clear face with hardly any false pixel is right
    off = (
        nn.functional.smooth_l1_loss(density, batch["density"], reduction="none", beta=_HUBER) * skin
    ).sum() / n_skin
    members = nn.functional.one_hot(batch["codes"], len(Subunit))[..., 1:].flatten(1, 2).float()
    size = members.sum(dim=1)
    difference = torch.einsum("bp,bpr->br", (share - truth).flatten(1), members) / size.clamp(min=1)
    counted = (size > 50) / (size > 50).sum().clamp(min=1)
    fraction = (difference.abs() * counted).sum()
    surplus = ((density - batch["density"]) * skin).flatten(1)
    of_region = torch.einsum("bp,bpr->br", surplus, members) / size.clamp(min=1)
    amount = (
        nn.functional.smooth_l1_loss(
            of_region, torch.zeros_like(of_region), reduction="none", beta=_HUBER / 2
        )
        * counted
    ).sum()
    loss = cross + 0.5 * dice + 4 * off + fraction + 4 * amount
    facts = {"cross": cross, "dice": dice, "density": off, "fraction": fraction, "amount": amount}
    return loss, {name: float(value.detach()) for name, value in facts.items()}


def train(
    faces: Path,
    cache: Path,
    run: Path,
    minutes: float,
    threads: int,
    *,
    shrink: int = 1,
    darker: float = 1.0,
    rate: float = 1e-3,
    start: Path | None = None,
) -> None:
    """Fit the network on phantoms; a run that was stopped goes on from its checkpoint.

    A new network starts with the filters of the shipped face reader.

    Parameters
    ----------
    shrink : int
        2 halves the frame: four times as many phantoms in the same time, for the first, coarse part.
    darker : float
        Factor on the planted dL*, to begin with what is plainly to be seen.
    rate : float
        Highest learning rate.
    start : Path, optional
        An earlier run whose averaged weights to start from.
    """
    cv2.setNumThreads(1)  # before any picture is touched: OpenCV's thread pool does not survive a fork
    frames = frame_faces(prepare(faces, cache), "train", cache)
    network = PigmentReader()
    if start is None:
        borrow_encoder(network, shipped_file("models", "face_reader.onnx"))
    else:
        network, _ = averaged(network, start)
    samples = PigmentSamples(frames, seed=1, shrink=shrink, darker=darker)
    part = {"minutes": minutes, "shrink": shrink, "darker": darker, "rate": rate}
    part |= {"huber_od": HUBER_OD, "blended": P_BLENDED, "weight_decay": WEIGHT_DECAY}
    _write_recipe(run, start, part)
    schedule = Schedule(minutes, BATCH, peak_rate=rate, weight_decay=WEIGHT_DECAY, threads=threads)
    fit(network, samples, pigment_loss, schedule, run)


def _write_recipe(run: Path, start: Path | None, part: dict[str, float]) -> None:
    """Write down how a run is fitted, behind how the run was fitted where it starts."""
    before = recipe_of(start, averaged(PigmentReader(), start)[1]) if start is not None else []
    run.mkdir(parents=True, exist_ok=True)
    (run / RECIPE).write_text(json.dumps([*before, part]) + "\n", encoding="utf-8")


def recipe_of(run: Path, steps: int) -> list[dict[str, float]]:
    """The parts of a training in their order, each with the phantoms that it saw."""
    parts: list[dict[str, float]] = json.loads((run / RECIPE).read_text(encoding="utf-8"))
    return [*parts[:-1], parts[-1] | {"phantoms": steps * BATCH}]


def borrow_encoder(network: PigmentReader, reader: Path) -> None:
    """Start the encoder with the filters of an exported face reader, where shapes agree. In place."""
    stored = {one.name: one for one in onnx.load(reader).graph.initializer}
    with torch.no_grad():
        for name, weight in network.unet.encoder.named_parameters():
            one = stored.get(f"reader.unet.encoder.{name}")
            if one is not None and tuple(one.dims) == tuple(weight.shape):
                weight.copy_(torch.tensor(numpy_helper.to_array(one)))


def validate(
    faces: Path, cache: Path, run: Path, *, count: int = 300, seed: int = 11, shrink: int = 1
) -> dict[str, float]:
    """Figures of the averaged weights on phantoms of the validation faces, training families."""
    network, _ = averaged(PigmentReader(), run)
    samples = PigmentSamples(
        frame_faces(prepare(faces, cache), "validation", cache), seed=seed, shrink=shrink
    )
    rng = np.random.default_rng(seed)
    rows = []
    with torch.inference_mode():
        for _ in range(count):
            sample = samples.draw(rng)
            logit, density = network(torch.from_numpy(sample["image"])[None])[0].numpy()
            skin = sample["codes"] > 0
            share = 1 / (1 + np.exp(-logit[skin]))
            rows.append(
                (
                    share.mean(),
                    (share > 0.5).mean(),
                    sample["lesion"][skin].mean(),
                    density[skin].mean(),
                    sample["density"][skin].mean(),
                )
            )
    soft, hard, truth, amount, planted = np.array(rows).T
    clear = planted == 0
    return {
        "phantoms": len(rows),
        "false_fraction": float(hard[clear].mean()),
        "fraction_error": float(np.abs(hard - truth)[~clear].mean()),
        "fraction_error_soft": float(np.abs(soft - truth)[~clear].mean()),
        "amount_r": float(np.corrcoef(amount, planted)[0, 1]),
    }


def log_validation(file: Path, figures: dict[str, float]) -> None:
    """Append a line of figures to a log."""
    with file.open("a", encoding="utf-8") as log:
        log.write(json.dumps({name: round(value, 4) for name, value in figures.items()}) + "\n")
