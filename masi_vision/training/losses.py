"""What each network is fitted to: one loss each, its terms weighted as the experiment says."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from masi_vision.face.atlas import Subunit
from masi_vision.face.crop import READER_SIDE_PX
from masi_vision.labels.dataset import UNKNOWN
from masi_vision.pigment.learned import DENSITY_UNIT_OD
from masi_vision.training.experiment import FinderLoss, PigmentLoss, ReaderLoss
from masi_vision.training.fit import Batch, Facts
from masi_vision.training.phantom_batch import TWINS

_EYES_PX = READER_SIDE_PX * 62 / 192
"""Distance of the outer eye corners of the mean face in the crop: the unit of landmarks' errors."""
_LEAST_PX = 50
"""A region of fewer pixels of visible skin has no share worth learning."""


def reader_loss(network: nn.Module, batch: Batch, weights: ReaderLoss) -> tuple[Tensor, Facts]:
    """Cross-entropy and Dice on the regions, mean distance on landmarks and anchors."""
    logits, landmarks, anchors = network(batch["image"])
    target = batch["landmarks"]
    cross = nn.functional.cross_entropy(logits, batch["labels"], ignore_index=UNKNOWN)
    dice = _dice_loss(logits, batch["labels"])
    off = nn.functional.smooth_l1_loss(landmarks / _EYES_PX, target / _EYES_PX, beta=0.02)
    own = target[:, anchors_of(network), :2]
    anchor_off = nn.functional.smooth_l1_loss(anchors / _EYES_PX, own / _EYES_PX, beta=0.02)
    distance = (landmarks[..., :2] - target[..., :2]).norm(dim=2).mean() / _EYES_PX
    loss = (
        weights.cross * cross + weights.dice * dice + weights.landmarks * off + weights.anchors * anchor_off
    )
    return loss, {"cross": cross.detach(), "dice": dice.detach(), "landmarks": distance.detach()}


def anchors_of(network: nn.Module) -> list[int]:
    """Numbers of a reader's anchors, of one process or of several."""
    numbers: list[int] = getattr(network, "module", network).anchors
    return numbers


def _dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One less the mean Dice of the subunits over the batch; sums by label, so no one-hot copy is made."""
    known = labels != UNKNOWN
    share = logits.softmax(dim=1) * known[:, None]
    labels = labels * known
    flat, of_label = labels.flatten(), share.gather(1, labels[:, None]).flatten()
    both = torch.zeros(len(Subunit), device=share.device).index_add(0, flat, of_label)
    either = share.sum(dim=(0, 2, 3)) + torch.bincount(flat, minlength=len(Subunit))
    return 1 - (2 * both[1:] / (either[1:] + 1)).mean()


def finder_loss(network: nn.Module, batch: Batch, weights: FinderLoss) -> tuple[Tensor, Facts]:
    """Presence, and where the six points are in photos that have a face."""
    presence, heat = network(batch["image"])
    seen = nn.functional.binary_cross_entropy_with_logits(presence.float(), batch["present"])
    log_share = heat.float().flatten(2).log_softmax(dim=2)
    cross = -(batch["heat"].flatten(2) * log_share).sum(dim=2).mean(dim=1)
    where = (cross * batch["present"]).sum() / batch["present"].sum().clamp(min=1)
    right = ((presence > 0) == (batch["present"] > 0.5)).float().mean()
    loss = weights.presence * seen + weights.heat * where
    return loss, {"presence": seen.detach(), "heat": where.detach(), "right": right}


def pigment_loss(network: nn.Module, batch: Batch, weights: PigmentLoss) -> tuple[Tensor, Facts]:
    """Lesion and density per pixel of visible skin of which anything is known, and the shares of the regions.

    Notes
    -----
    Cross-entropy and Dice of the lesion, Huber of the density, the absolute error of each region's fraction,
    Huber of its mean density: the last two are what is graded, and errors of pixels that cancel are forgiven
    there. Change is the same of the difference between twins, neighbours in the batch: what is wrong with
    both alike, as with two visits of one person, costs nothing. Density is squared up to ``huber_od``, not
    absolute: where it is unsure whether a dark cheek is pigment, the network answers with the mean of what
    may be, not with what is likelier, which is none.
    """
    logit, density = network(batch["image"]).unbind(dim=1)
    on_skin = (batch["codes"] > 0).float()
    skin, measured = on_skin * batch["known"], on_skin * batch["density_known"]
    lesion, huber = batch["lesion"], weights.huber_od / DENSITY_UNIT_OD
    crosses = nn.functional.binary_cross_entropy_with_logits(logit, lesion, reduction="none")
    cross = (crosses * skin).sum() / skin.sum().clamp(min=1)
    share, truth = logit.sigmoid() * skin, lesion * skin
    both, either = (share * truth).sum(dim=(1, 2)), share.sum(dim=(1, 2)) + truth.sum(dim=(1, 2))
    # 20 px: a clear face with hardly any false pixel is right.
    dice = 1 - ((2 * both + 20) / (either + 20)).mean()
    surplus = density - batch["density"]
    off = (_huber(surplus, huber) * measured).sum() / measured.sum().clamp(min=1)
    members = nn.functional.one_hot(batch["codes"], len(Subunit))[..., 1:].flatten(1, 2).float()
    wrong, counted = _of_regions(share - truth, members, skin)
    fraction = _mean_over(wrong.abs(), counted)
    too_much, counted = _of_regions(surplus, members, measured)
    amount = _mean_over(_huber(too_much, huber / 2), counted)
    one, other = too_much.unflatten(0, (-1, TWINS)).unbind(dim=1)
    both_counted = counted.unflatten(0, (-1, TWINS)).all(dim=1)
    change = _mean_over(_huber(one - other, huber / 2), both_counted)
    loss = (
        weights.cross * cross
        + weights.dice * dice
        + weights.density * off
        + weights.fraction * fraction
        + weights.amount * amount
        + weights.change * change
    )
    facts = {"cross": cross, "dice": dice, "density": off, "fraction": fraction, "amount": amount}
    return loss, {name: value.detach() for name, value in (facts | {"change": change}).items()}


def _huber(difference: Tensor, beta: float) -> Tensor:
    return nn.functional.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none", beta=beta)


def _of_regions(difference: Tensor, members: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Mean difference over what is known of every region, and which regions are large enough, (B, R)."""
    inside = members * known.flatten(1)[..., None]
    size = inside.sum(dim=1)
    mean = torch.einsum("bp,bpr->br", difference.flatten(1), inside) / size.clamp(min=1)
    return mean, size > _LEAST_PX


def _mean_over(cost: Tensor, counted: Tensor) -> Tensor:
    return (cost * counted).sum() / counted.sum().clamp(min=1)
