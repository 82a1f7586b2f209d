"""JPEG as it changes the pixels of a whole batch: blocks, coarse colour, rounded frequencies.

After ITU-T T.81 with the example tables of its annex K, scaled by quality as libjpeg does, colour at half
the size. Nothing is coded: what is lost is lost where the frequencies are rounded.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 8
# Rows from low to high frequency of the block's height.
_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def through_jpeg(pixels: Tensor, quality: Tensor) -> Tensor:
    """Pictures as they come back from a JPEG file.

    Parameters
    ----------
    pixels : (B, 3, H, W)
        8-bit steps of sRGB, 0 to 255; sides divisible by 16.
    quality : (B,)
        1 to 100.

    Returns
    -------
    (B, 3, H, W)
        Whole steps, 0 to 255.
    """
    ycc = torch.einsum("dc,bchw->bdhw", _table(_TO_YCC, pixels.device), pixels)
    luma = _rounded(ycc[:, :1] - 128, _LUMA, quality) + 128
    chroma = _rounded(functional.avg_pool2d(ycc[:, 1:], 2), _CHROMA, quality)
    chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("dc,bchw->bdhw", _table(_TO_RGB, pixels.device), torch.cat([luma, chroma], dim=1))
    return rgb.round().clamp(0, 255)


def _rounded(planes: Tensor, table: tuple[tuple[int, ...], ...], quality: Tensor) -> Tensor:
    """Planes whose blocks have their frequencies rounded to steps of the table."""
    factor = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    step = ((_table(table, planes.device) * factor + 50) / 100).floor().clamp(1, 255)
    step = step[:, None, None, :, None, :]
    wave = _cosines(planes.device)
    blocks = planes.unflatten(3, (-1, _BLOCK)).unflatten(2, (-1, _BLOCK))
    found = torch.einsum("uy,bcmynx,vx->bcmunv", wave, blocks, wave)
    kept = (found / step).round() * step
    return torch.einsum("uy,bcmunv,vx->bcmynx", wave, kept, wave).flatten(4, 5).flatten(2, 3)


@lru_cache(maxsize=4)
def _cosines(device: torch.device) -> Tensor:
    """The orthonormal cosine transform of a row of a block, (frequency, place)."""
    place = torch.arange(_BLOCK, device=device)
    wave = torch.cos(torch.pi * (2 * place + 1) * place[:, None] / (2 * _BLOCK)) * (2 / _BLOCK) ** 0.5
    wave[0] /= 2**0.5
    return wave


def _table(rows: tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32, device=device)
