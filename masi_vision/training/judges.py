"""Looks at a network while it is fitted: figures and pictures of the validation people."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from masi_vision.face.atlas import MASI_SUBUNITS, Floats
from masi_vision.labels.dataset import UNKNOWN
from masi_vision.training.data import FinderSamples, ReaderSamples, Sample
from masi_vision.training.fit import SCORE, Figures
from masi_vision.training.pigment_data import PigmentSamples

Pixels = npt.NDArray[np.uint8]

_SHOWN = 6
_AT_ONCE = 16
# Colours of the codes 0 to 6 in the pictures.
_COLOURS = np.array(
    [[0, 0, 0], [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0]],
    np.uint8,
)


def _stacked(samples: list[Sample], network: nn.Module) -> Tensor:
    image = torch.stack([torch.from_numpy(sample["image"]) for sample in samples])
    image = image.float() / 255 if image.dtype == torch.uint8 else image
    return image.to(next(network.parameters()).device)


@dataclass(frozen=True)
class ReaderJudge:
    """Regions and landmarks of the validation photos, laid upright where their landmarks say."""

    samples: ReaderSamples

    def figures(self, network: nn.Module) -> Figures:
        """Mean IoU of the regions of MASI that are labelled anywhere, areas summed; landmarks.

        Landmarks in shares of the eye distance.
        """
        both, either, labelled = (np.zeros(len(MASI_SUBUNITS)) for _ in range(3))
        off = []
        for first in range(0, self.samples.photos, _AT_ONCE):
            here = range(first, min(first + _AT_ONCE, self.samples.photos))
            taken = [self.samples.plain(number) for number in here]
            codes, landmarks = _read(network, taken)
            for sample, drawn, points in zip(taken, codes, landmarks, strict=True):
                known, truth = sample["labels"] != UNKNOWN, sample["labels"]
                for place, code in enumerate(MASI_SUBUNITS):
                    ours, theirs = (drawn == code) & known, truth == code
                    both[place] += (ours & theirs).sum()
                    either[place] += (ours | theirs).sum()
                    labelled[place] += theirs.sum()
                eyes = np.linalg.norm(sample["landmarks"][33, :2] - sample["landmarks"][263, :2])
                off.append(
                    np.linalg.norm((points - sample["landmarks"])[:, :2], axis=1).mean() / max(eyes, 1.0)
                )
        drawn_by_somebody = labelled > 0
        mean_iou = float(np.mean((both / np.maximum(either, 1))[drawn_by_somebody]))
        return {"mean_iou": mean_iou, "landmarks": float(np.mean(off)), SCORE: mean_iou}

    def pictures(self, network: nn.Module) -> Pixels:
        """Photo, truth and what was drawn, from left to right."""
        taken = [self.samples.plain(number) for number in range(min(_SHOWN, self.samples.photos))]
        codes, _ = _read(network, taken)
        return np.vstack(
            [
                np.hstack([photo, _painted(photo, sample["labels"]), _painted(photo, drawn)])
                for sample, drawn in zip(taken, codes, strict=True)
                for photo in [np.ascontiguousarray(sample["image"].transpose(1, 2, 0))]
            ]
        )


@torch.inference_mode()
def _read(network: nn.Module, taken: list[Sample]) -> tuple[npt.NDArray[np.int64], Floats]:
    logits, landmarks, _ = network(_stacked(taken, network))
    return logits.argmax(dim=1).cpu().numpy(), landmarks.float().cpu().numpy()


def _painted(photo: Pixels, codes: npt.NDArray[np.integer]) -> Pixels:
    inside = (codes > 0) & (codes < len(_COLOURS))
    colours = _COLOURS[np.where(inside, codes, 0)]
    return np.where(inside[..., None], (photo // 2 + colours // 2), photo).astype(np.uint8)


@dataclass(frozen=True)
class FinderJudge:
    """Presence and points on a fixed draw of the validation photos."""

    samples: FinderSamples
    count: int = 256

    @torch.inference_mode()
    def figures(self, network: nn.Module) -> Figures:
        """How often it is right whether there is a face, and how far the highest peak lies from the point."""
        right, off = [], []
        for first in range(0, self.count, 64):
            taken = [self.samples[number] for number in range(first, min(first + 64, self.count))]
            presence, heat = network(_stacked(taken, network))
            there = np.array([sample["present"] > 0.5 for sample in taken])
            right += list((presence.cpu().numpy() > 0) == there)
            true = np.stack([sample["heat"] for sample in taken])
            off += list(_apart(heat.float().cpu().numpy()[there], true[there]).ravel())
        seen = float(np.mean(right))
        return {"right": seen, "points_px": float(np.mean(off)), SCORE: seen - 0.01 * float(np.mean(off))}

    def pictures(self, network: nn.Module) -> Pixels:
        """The pictures that are judged, in a row."""
        taken = [self.samples[number]["image"].transpose(1, 2, 0) for number in range(_SHOWN)]
        return np.ascontiguousarray(np.hstack(taken))


def _apart(heat: Floats, true: Floats) -> Floats:
    """Distance of the highest cells, in pixels of the picture."""
    side = heat.shape[-1]
    at, there = (np.stack(np.divmod(h.reshape(*h.shape[:2], -1).argmax(axis=2), side)) for h in (heat, true))
    return np.asarray(np.hypot(*(at - there)) * 4, np.float32)


@dataclass(frozen=True)
class PigmentJudge:
    """Pigmented fractions of the validation photos, or of as many phantoms of validation faces."""

    samples: PigmentSamples
    count: int
    lesion_probability: float

    def figures(self, network: nn.Module) -> Figures:
        """Error of the regions' fractions, what is found on clear photos, Dice of the lesions."""
        off, false, both, either = [], [], 0.0, 0.0
        for number in range(self.count):
            sample = self.samples.plain(number)
            known = (sample["codes"] > 0) & (sample["known"] > 0.5)
            found = (_drawn(network, sample)[0] >= self.lesion_probability) & known
            truth = (sample["lesion"] > 0.5) & known
            both, either = both + float((found & truth).sum()), either + float(found.sum() + truth.sum())
            for code in MASI_SUBUNITS:
                region = known & (sample["codes"] == code)
                if region.sum() > 50:
                    off.append(abs(found[region].mean() - truth[region].mean()))
            if known.any() and not truth.any():
                false.append(found[known].mean())
        error = float(np.mean(off)) if off else float("nan")
        figures = {"fraction_error": error, "dice": 2 * both / max(either, 1.0)}
        if false:
            figures["false_fraction"] = float(np.mean(false))
        return figures | {SCORE: -error}

    def pictures(self, network: nn.Module) -> Pixels:
        """Optical density against the own skin, truth and what was drawn, from left to right."""
        rows = []
        for number in range(min(_SHOWN, self.count)):
            sample = self.samples.plain(number)
            skin = sample["codes"] > 0
            face = np.clip(170 - 85 * sample["image"][:3].transpose(1, 2, 0), 0, 255) * skin[..., None]
            truth, drawn = sample["lesion"], _drawn(network, sample)[0] * skin
            rows.append(np.hstack([face, *(cv2.merge([255 * one] * 3) for one in (truth, drawn))]))
        return np.vstack(rows).astype(np.uint8)


@torch.inference_mode()
def _drawn(network: nn.Module, sample: Sample) -> Floats:
    """Probability of lesion and density, (2, H, W)."""
    logit, density = network(_stacked([sample], network))[0].float().cpu()
    return np.stack([logit.sigmoid().numpy(), density.numpy()])
