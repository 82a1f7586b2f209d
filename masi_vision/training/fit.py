"""Fits the networks: a plain loop with a cosine schedule, averaged weights, checkpoints and resume."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from masi_vision.face.atlas import Floats, Subunit
from masi_vision.face.crop import READER_SIDE_PX
from masi_vision.training.data import UNKNOWN, Samples
from masi_vision.training.networks import FaceFinder, FaceReader

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    The run ends after ``minutes`` of fitting, whatever the machine; the learning rate follows the
    share of them that has passed: up within the first 3 %, then down a cosine to a hundredth.
    """

    minutes: float
    batch: int
    peak_rate: float
    weight_decay: float = 1e-2
    workers: int = 1
    threads: int = 2
    seed: int = 1

    def rate(self, progress: float) -> float:
        """Learning rate at a share of the run in [0, 1]."""
        if progress < 0.03:
            return self.peak_rate * (progress / 0.03 + 0.01)
        return self.peak_rate * (0.01 + 0.99 * (1 + float(np.cos(np.pi * progress))) / 2)


def reader_loss(network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy and Dice on the regions, mean distance on landmarks and anchors."""
    logits, landmarks, anchors = network(batch["image"])
    target = batch["landmarks"]
    cross = nn.functional.cross_entropy(logits, batch["labels"], ignore_index=UNKNOWN)
    dice = _dice_loss(logits, batch["labels"])
    unit = READER_SIDE_PX * 62 / 192
    off = nn.functional.smooth_l1_loss(landmarks / unit, target / unit, beta=0.02)
    ids = network.anchors
    anchor_off = nn.functional.smooth_l1_loss(anchors / unit, target[:, ids, :2] / unit, beta=0.02)
    distance = (landmarks[..., :2] - target[..., :2]).norm(dim=2).mean() / unit
    loss = cross + 0.5 * dice + 4 * off + 4 * anchor_off
    return loss, {"cross": cross.item(), "dice": dice.item(), "landmarks": distance.item()}


def _dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One less the mean Dice of the subunits over the batch; sums by label, so no one-hot copy is made."""
    known = labels != UNKNOWN
    share = logits.softmax(dim=1) * known[:, None]
    labels = labels * known
    flat, of_label = labels.flatten(), share.gather(1, labels[:, None]).flatten()
    both = torch.zeros(len(Subunit), device=share.device).index_add(0, flat, of_label)
    either = share.sum(dim=(0, 2, 3)) + torch.bincount(flat, minlength=len(Subunit))
    return 1 - (2 * both[1:] / (either[1:] + 1)).mean()


def finder_loss(network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    """Presence, and where the six points are in photos that have a face."""
    presence, heat = network(batch["image"])
    seen = nn.functional.binary_cross_entropy_with_logits(presence.float(), batch["present"])
    log_share = heat.float().flatten(2).log_softmax(dim=2)
    cross = -(batch["heat"].flatten(2) * log_share).sum(dim=2).mean(dim=1)
    where = (cross * batch["present"]).sum() / batch["present"].sum().clamp(min=1)
    right = ((presence > 0) == (batch["present"] > 0.5)).float().mean()
    return seen + 0.5 * where, {"presence": seen.item(), "heat": where.item(), "right": right.item()}


Loss = Callable[[nn.Module, Batch], tuple[Tensor, dict[str, float]]]


def fit(network: nn.Module, samples: Samples, loss_of: Loss, schedule: Schedule, folder: Path) -> nn.Module:
    """Fit for the scheduled minutes, going on from ``folder/checkpoint.pt`` if it is there.

    Returns
    -------
    nn.Module
        The network with exponentially averaged weights, in evaluation mode.
    """
    torch.manual_seed(schedule.seed)
    torch.set_num_threads(schedule.threads)
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device, memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(network, avg_fn=_running_mean, use_buffers=True)
    optimizer = torch.optim.AdamW(
        network.parameters(), schedule.peak_rate, weight_decay=schedule.weight_decay
    )
    spent_s, step = _resume(folder, network, average, optimizer)
    samples.seed = schedule.seed + 1000 * step
    loader = iter(
        DataLoader(
            samples,
            schedule.batch,
            num_workers=schedule.workers,
            prefetch_factor=6 if schedule.workers else None,
        )
    )
    network.train()
    since: list[dict[str, float]] = []
    last = saved = time.monotonic()
    while spent_s < 60 * schedule.minutes:
        batch = _to_device(next(loader), device)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(spent_s / (60 * schedule.minutes))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=_has_bfloat16(device)):
            loss, facts = loss_of(network, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        average.update_parameters(network)
        step += 1
        since.append(facts)
        now = time.monotonic()
        spent_s, last = spent_s + now - last, now
        if step % 50 == 0:
            means = {name: float(np.mean([one[name] for one in since])) for name in facts}
            _log(folder, step, step * schedule.batch, spent_s, means)
            since.clear()
        if now - saved > 120:
            _save(folder, network, average, optimizer, spent_s, step)
            saved = now
    _save(folder, network, average, optimizer, spent_s, step)
    return average.module.eval()


def _has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16: a processor that only emulates it is ten times slower."""
    can = torch.cpu.get_capabilities()
    return device.type != "cpu" or bool(can.get("avx512_bf16") or can.get("amx_bf16"))


def _running_mean(average: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
    """Exponential mean over 500 steps; over fewer at first, so that the untrained start is soon forgotten."""
    share = max(1 / 500, 9 / (10 + float(steps)))
    return current if not average.is_floating_point() else average + share * (current - average)


def _to_device(batch: Batch, device: torch.device) -> Batch:
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    image = moved["image"]
    image = image.float() / 255 if image.dtype == torch.uint8 else image
    moved["image"] = image.contiguous(memory_format=torch.channels_last)
    return moved


def _log(folder: Path, step: int, seen: int, spent_s: float, facts: dict[str, float]) -> None:
    line = {"step": step, "samples": seen, "minutes": round(spent_s / 60, 2)} | {
        k: round(v, 4) for k, v in facts.items()
    }
    with (folder / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _save(
    folder: Path,
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    spent_s: float,
    step: int,
) -> None:
    state = {
        "network": network.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "spent_s": spent_s,
        "step": step,
    }
    torch.save(state, folder / "checkpoint.tmp")
    (folder / "checkpoint.tmp").replace(folder / "checkpoint.pt")


def _resume(
    folder: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[float, int]:
    file = folder / "checkpoint.pt"
    if not file.exists():
        return 0.0, 0
    state = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return float(state["spent_s"]), int(state["step"])


_Network = TypeVar("_Network", bound=nn.Module)


def averaged(network: _Network, run: Path) -> tuple[_Network, int]:
    """The network with the averaged weights of a run's checkpoint, and how many steps that took."""
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    prefix = "module."
    weights = {k.removeprefix(prefix): v for k, v in state["average"].items() if k.startswith(prefix)}
    network.load_state_dict(weights)
    return network.eval(), int(state["step"])


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


def new_reader(crops: Floats, anchors: list[int]) -> FaceReader:
    """A face reader whose map from anchors to landmarks is the ridge regression of training shapes.

    Parameters
    ----------
    crops : (N, 478, 3)
        Landmarks of training faces in crop pixels, depth centred.
    """
    reader = FaceReader(anchors)
    x = (crops[:, anchors, :2] / READER_SIDE_PX - 0.5).reshape(len(crops), -1).astype(np.float64)
    y = (crops / READER_SIDE_PX - 0.5).reshape(len(crops), -1).astype(np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    ridge = (x - x_mean).T @ (x - x_mean) + 1e-3 * len(x) * np.eye(x.shape[1]) * 1e-1
    weight = np.linalg.solve(ridge, (x - x_mean).T @ (y - y_mean)).T
    with torch.no_grad():
        reader.spread.weight.copy_(torch.from_numpy(weight.astype(np.float32)))
        reader.spread.bias.copy_(torch.from_numpy((y_mean - weight @ x_mean).astype(np.float32)))
    return reader


def new_finder() -> FaceFinder:
    """An untrained face finder."""
    return FaceFinder()
