"""A batch of phantoms as the pigment network sees them, laid together on whatever device it learns on.

Worker processes draw what is different in each: two faces, melasma, distractors, a camera. What is the same
arithmetic for all of them, blending, planting, taking the picture, is done here for a whole batch at once: a
graphics card makes thousands a second.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from masi_vision.pigment.learned import AROUND, AROUND_OD, DENSITY_UNIT_OD, FARTHEST, UNIT_OD
from masi_vision.training.jpeg import through_jpeg

Batch = dict[str, Tensor]

TWINS = 2
"""Phantoms of an occasion: the same face, other pigment."""
_DARKEST = 1e-3
_BLUR_REACH = 3
_DETAIL = 0.1
"""Side of the square, in shares of the width, what changes within which is detail, not light and shade."""
_MAGNIFICATIONS = 4  # of a batch


@torch.no_grad()
def photographed(drawn: Batch, magnified: tuple[float, float]) -> Batch:
    """Photograph B occasions, each with T melasmas on the same face: twins, whose difference is pigment.

    Parameters
    ----------
    drawn : dict of Tensor
        What `masi_vision.training.pigment_data.PigmentSamples` draws, stacked: ``linear`` (B, 2, 3, H, W),
        the face and another; ``codes`` (B, 2, H, W); ``share`` (B, 2, h, w), how much of the other, of its
        light and shade and of its detail, coarse; ``moved`` (B, 2, h, w) and ``misplaced`` (B, T, 2, h, w),
        how far the other face and each picture are shifted, in shares of the width, coarse; ``spread`` (B,);
        ``pigment`` and ``lesion`` (B, T, H, W); ``colour`` (B, T, 3); ``taken`` (B, 3, H, W) and ``added``
        (B, 1, H, W) of the distractors; ``camera`` (B, T, 8), exposure, balance, tone, blur_px, noise and
        JPEG quality, 0 for none; ``seed`` (B,). Of annotated faces also ``own_lesion``, ``own_density``,
        ``known`` and ``density_known``, (B, 2, H, W).
    magnified : (float, float)
        Fewest and most pixels of a photograph for one of the frame, on a side.

    Returns
    -------
    dict of Tensor
        ``image`` (B T, 15, H, W); ``lesion``, ``density`` in units of 0.1 OD, ``codes`` int64, ``known`` and
        ``density_known``, (B T, H, W).
    """
    drawn = {name: one.float() if one.is_floating_point() else one for name, one in drawn.items()}
    density, codes, own = _blended(drawn)
    lesion, pigment = drawn["lesion"].float(), drawn["pigment"]
    twins = pigment.shape[1]
    taken = (density + drawn["taken"])[:, None] + pigment[:, :, None] * drawn["colour"][..., None, None]
    light = 10**-taken + drawn["added"][:, None]
    random = torch.Generator().manual_seed(int(drawn["seed"][0]))
    density = optical_density(_taken(light.flatten(0, 1), drawn["camera"].flatten(0, 1), random, magnified))
    layers = torch.stack([lesion.maximum(own["lesion"]), pigment + own["density"]], dim=2).flatten(0, 1)
    flags = torch.stack([codes, own["known"], own["density_known"]], dim=1).float()
    flags = flags[:, None].expand(-1, twins, -1, -1, -1).flatten(0, 1)
    there = _moved_to(drawn["misplaced"].flatten(0, 1), density.shape[-2:])
    density = functional.grid_sample(density, there, padding_mode="border", align_corners=False)
    lesion, pigment = functional.grid_sample(layers, there, align_corners=False).unbind(dim=1)
    flags = functional.grid_sample(flags, there, mode="nearest", align_corners=False)
    codes, known, density_known = flags.round().unbind(dim=1)
    return {
        "image": density_input(density, codes > 0),
        "lesion": lesion,
        "density": pigment / DENSITY_UNIT_OD,
        "codes": codes.long(),
        "known": known,
        "density_known": density_known,
    }


_TOGETHER = (
    ("pigment", "lesion", "colour"),
    ("taken", "added"),
    ("camera",),
    ("misplaced",),
    ("share", "moved", "spread"),
)


def recombined(drawn: Batch, times: int) -> Batch:
    """Every face with so many other melasmas, distractors and cameras of the same batch: drawing is slow.

    The other face of a blend is dealt anew as well. What belongs together stays together.
    """
    count = len(drawn["seed"])
    dealt = torch.Generator().manual_seed(int(drawn["seed"][0]))
    made = {name: [one] for name, one in drawn.items()}
    for _ in range(1, times):
        orders = {name: torch.randperm(count, generator=dealt) for group in _TOGETHER for name in group[:1]}
        others = torch.randperm(count, generator=dealt).to(drawn["linear"].device)
        for name, one in drawn.items():
            group = next((names[0] for names in _TOGETHER if name in names), None)
            if group is not None:
                made[name].append(one[orders[group].to(one.device)])
            elif name == "seed":
                made[name].append(one)
            else:
                made[name].append(torch.stack([one[:, 0], one[others, 1]], dim=1))
    return {name: torch.cat(parts) for name, parts in made.items()}


def optical_density(linear_rgb: Tensor) -> Tensor:
    """-log10, values below 0.001 counting as 0.001."""
    return -linear_rgb.clamp(min=_DARKEST).log10()


def _blended(drawn: Batch) -> tuple[Tensor, Tensor, Batch]:
    """Faces that never were: parts of two, or their mean, lit more or less evenly, with their pigment.

    Notes
    -----
    A few hundred faces are soon known by heart, and with them which of their shadows is no pigment. In the
    aligned frame the optical densities of two faces can be mixed, with a share that changes smoothly from
    place to place; the other is first shifted a little, here more, there less. Light and shade may be more
    of one face, and detail more of the other. Then every density is drawn towards the median of the skin, or
    away from it, by the factor ``spread``.
    """
    density = optical_density(drawn["linear"])
    size = density.shape[-2:]
    there = _moved_to(drawn["moved"], size)
    one, other = density.unbind(dim=1)
    other = functional.grid_sample(other, there, padding_mode="border", align_corners=False)
    its = drawn["codes"][:, 1:].float()
    seen = functional.grid_sample(its, there, mode="nearest", align_corners=False)[:, 0] > 0
    codes = drawn["codes"][:, 0]
    skin = codes > 0
    enough = 2 * (skin & seen).sum(dim=(1, 2)) >= skin.sum(dim=(1, 2))
    blend = enough & drawn["share"].flatten(1).any(dim=1)
    shares = functional.interpolate(drawn["share"], size=size, mode="bicubic").clamp(0, 1)
    share, of_detail = (shares * blend[:, None, None, None]).split(1, dim=1)
    skin = skin & (seen | ~blend[:, None, None])
    apart = (other - one) * skin[:, None]
    shade = _around(apart, skin[:, None].float(), _DETAIL)
    mixed = one + share * shade + of_detail * (apart - shade)
    median = _medians(mixed, skin)[..., None, None]
    spread = drawn["spread"][:, None, None, None]
    codes = codes * skin
    if "known" not in drawn:
        clear, all_of_it = torch.zeros_like(share), torch.ones_like(codes)
        own = {"lesion": clear, "density": clear, "known": all_of_it, "density_known": all_of_it}
        return median + spread * (mixed - median), codes, own
    theirs = torch.stack(
        [drawn[name][:, 1].float() for name in ("own_lesion", "own_density", "known", "density_known")], dim=1
    )
    theirs = functional.grid_sample(theirs, there, align_corners=False)
    lesion, own_density = (
        drawn[name][:, :1] + share * (theirs[:, place, None] - drawn[name][:, :1])
        for place, name in enumerate(("own_lesion", "own_density"))
    )
    known, density_known = (
        (drawn[name][:, 0] > 0) & ((theirs[:, place] > 0.99) | ~blend[:, None, None])
        for place, name in ((2, "known"), (3, "density_known"))
    )
    own = {
        "lesion": lesion,
        "density": spread * own_density,
        "known": known,
        "density_known": density_known,
    }
    return median + spread * (mixed - median), codes, own


def _moved_to(coarse: Tensor, size: torch.Size) -> Tensor:
    """Where each pixel is from, for ``grid_sample``, from a coarse displacement in shares of the width."""
    height, width = size
    fine = functional.interpolate(coarse, size=size, mode="bicubic")
    x = (torch.arange(width, device=coarse.device) + 0.5) / width
    y = (torch.arange(height, device=coarse.device)[:, None] + 0.5) / height
    return torch.stack([2 * (x + fine[:, 0]) - 1, 2 * (y + fine[:, 1] * width / height) - 1], dim=-1)


def _taken(light: Tensor, camera: Tensor, random: torch.Generator, magnified: tuple[float, float]) -> Tensor:
    """What is left of the light, linear, after the camera: focus, exposure, balance, tone, noise, file."""
    exposure, balance, tone, blur_px, grain, quality = camera.split([1, 3, 1, 1, 1, 1], dim=1)
    light = _blurred(light, blur_px[:, 0])
    light = (light * (exposure * balance)[..., None, None]).clamp(0, 1) ** tone[..., None, None]
    coded = torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    on_device = torch.Generator(light.device).manual_seed(random.initial_seed())
    noise = torch.randn(coded.shape, generator=on_device, device=light.device)
    pixels = (255 * coded + grain[..., None, None] * noise).round().clamp(0, 255)
    parts = zip(pixels.chunk(_MAGNIFICATIONS), quality[:, 0].chunk(_MAGNIFICATIONS), strict=True)
    pixels = torch.cat([_filed(part, its, random, magnified) for part, its in parts]) / 255
    return torch.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)


def _filed(
    pixels: Tensor, quality: Tensor, random: torch.Generator, magnified: tuple[float, float]
) -> Tensor:
    """The same in a photograph so many times as large, through a JPEG file where ``quality`` is above 0.

    A face lies on the blocks of its file as chance has it; one file holds the faces of all of them.
    """
    size = pixels.shape[-2:]
    scale = float(torch.empty(()).uniform_(*magnified, generator=random))
    top, left = (int(one) for one in torch.randint(16, (2,), generator=random))
    height, width = (round(scale * side) for side in size)
    large = functional.interpolate(pixels, size=(height, width), mode="bilinear", align_corners=False)
    room = (left, -(left + width) % 16, top, -(top + height) % 16)
    large = functional.pad(large, room, mode="replicate").round()
    large = through_jpeg(large, quality.clamp(min=1))[..., top : top + height, left : left + width]
    filed = functional.adaptive_avg_pool2d(large, size)
    return torch.where((quality > 0)[:, None, None, None], filed, pixels)


def _blurred(picture: Tensor, sigma_px: Tensor) -> Tensor:
    """Gaussian blur, each picture by its own width; 0 leaves it."""
    steps = torch.arange(-_BLUR_REACH, _BLUR_REACH + 1, device=picture.device)
    weight = torch.exp(-(steps**2) / (2 * sigma_px[:, None].clamp(min=0.05) ** 2))
    weight = (weight / weight.sum(dim=1, keepdim=True))[:, :, None, None, None]
    for dim, pad in ((-1, (_BLUR_REACH, _BLUR_REACH, 0, 0)), (-2, (0, 0, _BLUR_REACH, _BLUR_REACH))):
        size, wide = picture.shape[dim], functional.pad(picture, pad, mode="replicate")
        picture = sum(
            (weight[:, place] * wide.narrow(dim, place, size) for place in range(len(steps))),
            torch.zeros_like(picture),
        )
    return picture


def density_input(density: Tensor, skin: Tensor) -> Tensor:
    """As `masi_vision.pigment.learned.density_input`, for a batch.

    Parameters
    ----------
    density : (B, 3, H, W)
    skin : (B, H, W) bool

    Returns
    -------
    (B, 15, H, W)
    """
    count, _, height, width = density.shape
    against_own = (density - _medians(density, skin)[..., None, None]) / UNIT_OD
    visible = skin[:, None].float()
    x = torch.linspace(-1, 1, width, device=density.device).expand(count, 1, height, width)
    y = torch.linspace(-1, 1, height, device=density.device)[:, None].expand(count, 1, height, width)
    made = [against_own.clamp(-FARTHEST, FARTHEST), visible, x, y]
    for side in AROUND:
        apart = density - _around(density * visible, visible, side)
        made.append((apart / AROUND_OD).clamp(-FARTHEST, FARTHEST) * visible)
    return torch.cat(made, dim=1)


def _around(on_skin: Tensor, skin: Tensor, side: float) -> Tensor:
    """Mean over the skin in the square around each pixel, its side in shares of the width; 0 off the skin."""
    square = 2 * int(side * skin.shape[-1] / 2) + 1
    near = functional.avg_pool2d(torch.cat([on_skin, skin], dim=1), (1, square), 1, (0, square // 2))
    near = functional.avg_pool2d(near, (square, 1), 1, (square // 2, 0))
    return near[:, :-1] / near[:, -1:].clamp(min=1e-3)


def _medians(density: Tensor, skin: Tensor) -> Tensor:
    """Median over the skin of every channel, (B, 3)."""
    on_skin = torch.where(skin[:, None], density, torch.nan).flatten(2)
    return on_skin.nanmedian(dim=2).values.nan_to_num()
