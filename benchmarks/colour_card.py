"""How well a ColorChecker corrects colour, and whether a card that cannot be trusted is ever applied.

    python benchmarks/colour_card.py [--write]

Light, skin, card and camera are computed from spectra; nothing here is shared with
`masi_vision.photo.colour_card`, whose reference values are L*a*b* of another table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from page import parser_of, write_results
from skimage.color import deltaE_ciede2000, rgb2xyz, xyz2lab

from masi_vision.config import load_settings
from masi_vision.photo import srgb_to_linear
from masi_vision.photo.colour_card import find_card
from masi_vision.photo.colour_correction import Refusal, corrected, fit_correction

Floats = npt.NDArray[np.float64]
Picture = npt.NDArray[np.float32]
Rng = np.random.Generator

PAGE = Path(__file__).parent.parent / "docs" / "colour.md"
LIMITS = load_settings().quality.colour_card
"""Those that are shipped."""


def table(text: str) -> Floats:
    return np.array([[float(number) for number in row.split()] for row in text.strip().splitlines()])


# All spectra: means over 20 nm around 400, 420, ... 700 nm.
WAVELENGTH_NM = np.arange(400.0, 701.0, 20.0)
# CIE 1931 standard observer, times 10,000 (CIE 15:2004).
OBSERVER = table("""
158 1410 3339 2859 1057 105 675 2868 5873 9021 10472 8517 4617 1766 508 127
4 46 229 601 1392 3276 6903 9421 9887 8695 6371 3875 1825 657 185 46
750 6802 16795 16346 8550 2934 890 229 46 16 8 2 0 0 0 0
""")
# CIE standard illuminants and LED-B3, the highest value 1,000 (CIE 15:2018).
LIGHTS = {
    name: table(row)[0]
    for name, row in {
        "daylight D65": "658 781 877 1000 975 931 909 900 858 807 766 746 708 690 662 613",
        "daylight D50": "449 577 719 885 920 935 967 1000 987 960 955 969 959 971 961 894",
        "tungsten A": "74 106 144 190 243 301 365 433 504 576 650 724 796 867 935 1000",
        "fluorescent FL2": "291 205 715 347 371 356 354 672 800 1000 805 543 316 173 96 56",
        "fluorescent FL11": "116 79 447 202 259 195 32 1000 248 279 431 816 140 79 49 77",
        "LED-B3": "4 91 717 697 341 532 697 808 914 983 1000 910 718 497 313 184",
    }.items()
}
# Reflectance, times 10,000, of the patches row by row from dark skin: mean of 30 cards by BabelColor (D.
# Pascale, as given in colour-science 0.4.7), moved smoothly (by 2 dL*a*b* at most) to the D50 L*a*b* that
# X-Rite gives for cards made since November 2014.
PATCHES = table("""
582 583 576 571 569 597 701 752 854 1130 1375 1468 1649 1858 1847 1813
1712 1901 1960 2169 2639 3078 2935 2547 2601 3217 4691 5314 5683 6061 6348 6764
2490 3204 3280 3168 2910 2615 2238 1923 1633 1442 1378 1374 1401 1496 1484 1351
549 566 585 605 638 742 1448 1856 1515 1248 1119 1068 1117 1163 1137 1162
2949 4089 4258 4169 3748 3056 2483 2088 1975 1895 2115 2395 2785 3482 3666 3585
2462 3185 3529 4161 5061 5625 5650 5215 4443 3508 2534 2056 1927 1926 2134 2330
561 578 590 594 602 688 1235 1697 2419 4377 5877 6000 5978 6048 6334 6653
2309 3293 3890 3894 3099 2020 1317 984 850 796 802 810 876 1069 1412 2034
1302 1312 1266 1194 1074 959 854 824 869 1441 3783 5401 5816 5929 6005 6099
1498 1830 1618 1203 863 641 534 483 494 491 568 955 1419 1962 2680 3582
558 563 602 749 1261 2550 4632 5450 5254 4632 3681 3112 2951 2980 3307 3650
625 634 644 664 705 866 2050 3800 4627 5564 6113 6208 6258 6341 6438 6637
1019 1991 2790 3018 2237 1245 666 437 374 369 375 390 413 445 465 484
486 503 536 670 1154 2363 3339 3172 2581 1887 1239 929 832 832 933 1062
472 463 468 468 460 483 512 532 573 737 1750 4449 6036 6465 6687 6963
480 481 506 610 996 2155 4539 6143 6710 7020 7124 7184 7262 7385 7510 7719
2830 3594 3270 2644 2033 1524 1129 883 926 1245 2710 4953 6734 7548 7828 8046
1847 2494 3029 3754 4346 4164 3318 2238 1369 909 711 628 620 658 680 676
4091 7780 8372 8504 8614 8742 8824 8839 8840 8818 8769 8791 8841 8925 8980 9106
3649 5668 5878 5908 5880 5892 5916 5912 5908 5924 5898 5859 5808 5763 5727 5692
2747 3546 3666 3693 3655 3644 3663 3671 3658 3674 3639 3592 3534 3476 3418 3362
1621 1846 1912 1919 1887 1886 1898 1904 1913 1924 1924 1900 1862 1830 1796 1751
834 881 909 898 887 887 886 886 887 887 878 860 851 833 825 817
319 329 329 318 318 317 316 316 315 314 314 314 315 316 317 318
""")
PATCHES = PATCHES / 10_000
FRAME_REFLECTANCE = 0.035
# Nikon D5100 (Darrodi 2015, DOI 10.1364/JOSAA.32.000381, from colour-science); the others are made here, one
# with channels that overlap more and one with less: middle and half width of red, green and blue [nm].
NIKON = table("""
0 43 63 44 52 53 98 82 53 544 960 719 456 237 33 2
1 63 168 265 450 626 933 971 786 508 229 77 37 20 4 0
4 357 873 1000 910 586 270 115 39 15 7 4 5 6 1 0
""")
BELLS = {
    "overlapping": [(590, 45), (535, 48), (460, 36)],
    "narrow": [(610, 28), (540, 32), (455, 26)],
}
CAMERAS = {"Nikon D5100": NIKON} | {
    name: np.stack([np.exp(-(((WAVELENGTH_NM - middle) / width) ** 2) / 2) for middle, width in bells])
    for name, bells in BELLS.items()
}
# Molar extinction of oxygenated and reduced haemoglobin [1/(cm M)] (S. Prahl, omlc.org).
BLOOD = table("""
266232 480360 102580 44480 26629 20933 24202 53236 32613 50104 3200 942 442 320 278 290
223296 407560 413280 23389 14550 20862 31590 46592 53788 37020 14677 6510 4345 3227 2408 1794
""")


def skin(melanin: float, blood: float) -> Floats:
    """Reflectance of skin, (16,): melanin over a dermis that scatters without end (Kubelka and Munk).

    Absorption and scattering after Jacques 2013, DOI 10.1088/0031-9155/58/11/R37; epidermis of 60 um. Melanin
    falls with the wavelength to the power of 2.2 and not of 3.33, or dark skin comes out orange.
    """
    oxygenated, reduced = BLOOD
    hb = blood * 2.303 * 150 / 64_500 * (0.7 * oxygenated + 0.3 * reduced)
    base = 0.244 + 85.3 * np.exp(-(WAVELENGTH_NM - 154) / 66.2)
    ratio = 2 * (hb + base) / (0.75 * 46 * (WAVELENGTH_NM / 500) ** -1.421)
    dermis = 1 + ratio - np.sqrt(ratio**2 + 2 * ratio)
    return 0.02 + dermis * np.exp(-2 * 1.5 * 0.006 * 496 * melanin * (WAVELENGTH_NM / 550) ** -2.2)


# Twelve people from very light to dark, every other one redder.
SKINS = np.stack([skin(m, 0.006 + 0.004 * (i % 2)) for i, m in enumerate(np.geomspace(0.015, 0.28, 12))])
# Cameras that see as the eye does but for a matrix: what a matrix can undo, all of it.
CROSSTALK = {
    "crosstalk, little": [[0.92, 0.06, 0.02], [0.04, 0.92, 0.04], [0.02, 0.06, 0.92]],
    "crosstalk, much": [[0.80, 0.16, 0.04], [0.12, 0.76, 0.12], [0.04, 0.18, 0.78]],
    "crosstalk, vivid": [[1.16, -0.14, -0.02], [-0.08, 1.14, -0.06], [-0.02, -0.10, 1.12]],
}
D65_WHITE = np.array([0.95047, 1.0, 1.08883])
XYZ_OF_SRGB = rgb2xyz(np.eye(3)).T


def linear_srgb(reflectance: Floats) -> Floats:
    """What a perfect camera records under D65, (n, 3)."""
    seen = OBSERVER * LIGHTS["daylight D65"]
    return reflectance @ seen.T / seen.sum(axis=1) * D65_WHITE @ np.linalg.inv(XYZ_OF_SRGB).T


def linear_white(light: str) -> Floats:
    """Linear sRGB (3,) of a light, its mean 1."""
    xyz = (OBSERVER * LIGHTS[light]).sum(axis=1) / (OBSERVER * LIGHTS["daylight D65"]).sum(axis=1) * D65_WHITE
    white = np.maximum(np.linalg.inv(XYZ_OF_SRGB) @ xyz, 0.02)
    return white / white.mean()


def lab(linear: Floats) -> Floats:
    return xyz2lab(linear @ XYZ_OF_SRGB.T)


@dataclass(frozen=True)
class Shot:
    """Light, camera and what the camera makes of its file.

    Parameters
    ----------
    balance : (3,)
        Error of the camera's white balance, factors.
    exposure : float
        Linear value of a perfect white.
    tone, contrast : float
        Exponent on linear light; by how much the curve of the coded values is steeper in its middle.
    falloff : (2,)
        Natural logarithm of the light's change over the photograph, left to right and top to bottom.
    """

    light: str = "daylight D65"
    camera: str = "Nikon D5100"
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    exposure: float = 0.85
    tone: float = 1.0
    contrast: float = 0.0
    falloff: tuple[float, float] = (0.0, 0.0)
    blur_px: float = 0.7
    noise: float = 1.5
    jpeg_quality: int = 92

    def linear(self, reflectance: Floats) -> Floats:
        """Linear camera RGB, (n, 3): its matrix is the best for daylight, its white that of this light."""
        if self.camera in CROSSTALK:
            cast = linear_white(self.light) ** 0.5 * np.array(self.balance)
            return self.exposure * linear_srgb(reflectance) * cast @ np.array(CROSSTALK[self.camera]).T
        cells = CAMERAS[self.camera]
        daylight = cells * LIGHTS["daylight D65"]
        own = np.linalg.lstsq(PATCHES @ daylight.T / daylight.sum(axis=1), linear_srgb(PATCHES), rcond=None)[
            0
        ]
        seen = cells * LIGHTS[self.light]
        raw = reflectance @ seen.T / seen.sum(axis=1) * np.array(self.balance)
        return self.exposure * raw @ own

    def file(self, linear: Picture, rng: Rng) -> npt.NDArray[np.uint8]:
        """8-bit sRGB, JPEG; 0.3 % of the mean light strays over everything."""
        height, width = linear.shape[:2]
        across, down = np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height)[:, None]
        fall = np.exp(self.falloff[0] * across + self.falloff[1] * down)[..., None].astype(np.float32)
        light = cv2.GaussianBlur(linear * fall, (0, 0), max(self.blur_px, 0.2))
        light = np.clip(light + np.float32(0.003) * light.mean(axis=(0, 1)), 0, 1) ** np.float32(self.tone)
        coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** np.float32(1 / 2.4) - 0.055)
        coded = coded - self.contrast * np.sin(2 * np.pi * coded) / (2 * np.pi)
        coded = 255 * coded + self.noise * rng.standard_normal(coded.shape, dtype=np.float32)
        pixels = np.clip(np.rint(coded), 0, 255).astype(np.uint8)
        done = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, self.jpeg_quality])[1]
        return np.ascontiguousarray(cv2.imdecode(done, cv2.IMREAD_COLOR)[..., ::-1])


@dataclass(frozen=True)
class Pose:
    """Where the card lies.

    Parameters
    ----------
    middle : (2,)
        In shares of the photograph's width and height.
    length : float
        Of the six patches, in shares of the photograph's width.
    roll_deg, tilt_deg, azimuth_deg : float
        Turn in the plane; lean out of it, and toward where.
    """

    middle: tuple[float, float] = (0.5, 0.86)
    length: float = 0.4
    roll_deg: float = 0.0
    tilt_deg: float = 0.0
    azimuth_deg: float = 0.0

    def placed(self, points: Floats, size: tuple[int, int]) -> Floats:
        """Pixels (n, 2) of points in card units (one per patch, from its middle); the lens is 12 away."""
        width = size[0]
        roll, tilt, azimuth = np.radians([self.roll_deg, self.tilt_deg, self.azimuth_deg])
        turned = points @ _turn(roll).T @ _turn(azimuth)
        near = 12 + np.sin(tilt) * turned[:, 0]
        leaning = turned * np.stack([np.cos(tilt) / near, 1 / near], axis=1) * 12
        return leaning @ _turn(azimuth).T * (self.length * width / 6) + np.array(self.middle) * size


def _turn(angle: float) -> Floats:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@dataclass(frozen=True)
class Scene:
    """A face of twelve skins, a card, and what is wrong with it.

    Parameters
    ----------
    card : (24, 16) or None
        Reflectance of the patches; none without a card.
    grid : (int, int)
        Columns and rows of patches; another layout than six by four takes colours at random.
    hand : (2,) or None
        Middle of a hand over the card, in card units.
    shadow : (float, float, float) or None
        Direction [degrees], place [card units] and depth (a factor on the light) of a shadow's edge.
    mirrored : bool
    tiles : bool
        A wall of coloured tiles behind the face.
    """

    card: Floats | None = field(default_factory=lambda: PATCHES)
    grid: tuple[int, int] = (6, 4)
    hand: tuple[float, float] | None = None
    shadow: tuple[float, float, float] | None = None
    mirrored: bool = False
    tiles: bool = False


Case = tuple[Scene, Pose, Shot]
SIZE = (1500, 2000)
"""Width and height of the photographs [px]."""


def photograph(
    scene: Scene, pose: Pose, shot: Shot, rng: Rng, size: tuple[int, int] = SIZE
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8]]:
    """Give the photograph and which skin (0 to 11) each pixel shows, -1 elsewhere."""
    width, height = size
    across, down = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    background = shot.linear(np.array([np.full(16, 0.25), np.full(16, 0.04)]))
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = background[0]
    if scene.tiles:
        colours = shot.linear(rng.uniform(0.03, 0.8, (400, 1)) * rng.uniform(0.4, 1, (400, 16)))
        side = 0.06
        number = (across / side).astype(int) + 20 * (down * height / width / side).astype(int)
        joint = ((across / side) % 1 < 0.1) | ((down * height / width / side) % 1 < 0.1)
        picture[:] = np.where(joint[..., None], background[1], colours[number % 400])
    face = ((across - 0.5) / 0.33) ** 2 + ((down - 0.36) / 0.33) ** 2 < 1
    hair = ((across - 0.5) / 0.4) ** 2 + ((down - 0.33) / 0.33) ** 2 < 1
    picture[hair] = background[1]
    which = np.clip((across - 0.17) / 0.66 * 3, 0, 2).astype(int) + 3 * np.clip(
        (down - 0.03) / 0.66 * 4, 0, 3
    ).astype(int)
    picture[face] = shot.linear(SKINS)[which[face]]
    pores = cv2.GaussianBlur(rng.standard_normal((height, width), dtype=np.float32), (0, 0), 1.5)
    picture *= 1 + 0.1 * pores[..., None] * face[..., None]
    inside = np.zeros((height, width), np.float32)
    if scene.card is not None:
        picture, inside = _with_card(picture, scene, pose, shot, rng)
    skins = np.where(face & (inside == 0), which, -1)
    return shot.file(picture, rng), skins.astype(np.int8)


def _with_card(picture: Picture, scene: Scene, pose: Pose, shot: Shot, rng: Rng) -> tuple[Picture, Picture]:
    height, width = picture.shape[:2]
    columns, rows = scene.grid
    pitch = max(8, round(pose.length * width / 6))
    card = np.empty(((rows + 1) * pitch, (columns + 1) * pitch, 3), np.float32)
    card[:] = shot.linear(np.full((1, 16), FRAME_REFLECTANCE))
    colours = shot.linear(scene.card).reshape(rows, columns, 3)
    half, gap = pitch // 2, max(1, round(0.06 * pitch))
    for i in range(rows):
        for j in range(columns):
            top, left = half + i * pitch, half + j * pitch
            card[top + gap : top + pitch - gap, left + gap : left + pitch - gap] = colours[i, j]
    if scene.mirrored:
        card = card[:, ::-1]
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [(columns + 1) / 2, (rows + 1) / 2]
    own = (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * card.shape[1::-1]).astype(np.float32) - 0.5
    onto = cv2.getPerspectiveTransform(own, (pose.placed(corners, (width, height)) - 0.5).astype(np.float32))
    inside = cv2.warpPerspective(np.ones(card.shape[:2], np.float32), onto, (width, height))
    laid = cv2.warpPerspective(card, onto, (width, height), borderMode=cv2.BORDER_REPLICATE)
    mixed = picture * (1 - inside[..., None]) + laid * inside[..., None]
    picture = np.where(inside[..., None] > 0, mixed, picture)  # past the horizon the card has no colour
    if scene.hand is not None:
        middle = pose.placed(np.array([scene.hand]), (width, height))[0]
        radius = pose.length * width / 6 * np.array([2.4, 1.6])
        grip = np.zeros((height, width), np.float32)
        cv2.ellipse(grip, (middle, 2 * radius, float(rng.uniform(0, 180))), 1.0, -1, cv2.LINE_AA)
        picture = picture * (1 - grip[..., None]) + grip[..., None] * shot.linear(
            SKINS[int(rng.integers(12))][None]
        )
    if scene.shadow is not None:
        angle, place, depth = scene.shadow
        ends = pose.placed(
            np.array([[0.0, 0.0], [np.cos(np.radians(angle)), np.sin(np.radians(angle))]]), (width, height)
        )
        unit = float(np.linalg.norm(ends[1] - ends[0]))
        along = (np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1) - ends[0]) @ (
            ends[1] - ends[0]
        )
        lit = 1 / (1 + np.exp(-np.clip((along / unit**2 - place) * 12, -50, 50)))
        picture = picture * (depth + (1 - depth) * lit[..., None])
    return picture.astype(np.float32), inside


def ordinary_shot(rng: Rng, light: str | None = None, camera: str | None = None) -> Shot:
    """Light and camera at random, white balance and exposure never quite right."""
    return Shot(
        light=light or str(rng.choice(list(LIGHTS))),
        camera=camera or str(rng.choice(list(CAMERAS))),
        balance=tuple(np.exp(rng.normal(0, 0.08, 3))),
        exposure=float(rng.uniform(0.55, 0.9)),
        tone=float(np.exp(rng.normal(0, 0.05))),
        falloff=tuple(rng.uniform(-0.05, 0.05, 2)),
        blur_px=float(rng.uniform(0.5, 1.5)),
        noise=float(rng.uniform(0.5, 3)),
        jpeg_quality=int(rng.integers(75, 96)),
    )


def ordinary_pose(rng: Rng, length: float | None = None, tilt_deg: float | None = None) -> Pose:
    """Under the chin, turned and leaning at random."""
    length = length or float(rng.uniform(0.2, 0.45))
    tilt_deg = float(rng.uniform(0, 25)) if tilt_deg is None else tilt_deg
    low = 1 - 0.62 * length * SIZE[0] / SIZE[1] - 0.01
    return Pose(
        (float(rng.uniform(0.4, 0.6)), low), length, *rng.uniform([-180, tilt_deg, 0], [180, tilt_deg, 360])
    )


def one_card(rng: Rng, spread: float = 0.012) -> Floats:
    """The patches of one card, each a smooth deviation from the mean of all cards: 0.5 dE00 in the mean."""
    waves = np.stack([np.ones(16), *(np.cos(np.pi * k * np.arange(16) / 15) for k in (1, 2))])
    return np.clip(PATCHES * np.exp(rng.normal(0, spread, (24, 3)) @ waves), 0.01, 0.95)


def no_card(rng: Rng) -> Case:
    return Scene(None), ordinary_pose(rng), ordinary_shot(rng)


def tiled_wall(rng: Rng) -> Case:
    return Scene(None, tiles=True), ordinary_pose(rng), ordinary_shot(rng)


def hand_over_it(rng: Rng) -> Case:
    place = float(rng.uniform(-3.5, 3.5)), float(rng.uniform(-2, 2))
    return Scene(one_card(rng), hand=place), ordinary_pose(rng), ordinary_shot(rng)


def one_patch_painted(rng: Rng) -> Case:
    """In the colour of another patch or of skin, 10 dE00 or more away."""
    card, patch = one_card(rng), int(rng.integers(24))
    paints = np.concatenate([PATCHES, SKINS])
    far = paints[difference(paints, card[[patch]]) > 10]
    card[patch] = far[int(rng.integers(len(far)))]
    return Scene(card), ordinary_pose(rng), ordinary_shot(rng)


def printed_copy(rng: Rng) -> Case:
    """Every patch off by 4 to 11 dE00 in the mean."""
    return Scene(one_card(rng, float(rng.uniform(0.1, 0.25)))), ordinary_pose(rng), ordinary_shot(rng)


def shadow_over_it(rng: Rng) -> Case:
    edge = float(rng.uniform(0, 360)), float(rng.uniform(-1.5, 1.5)), float(rng.uniform(0.4, 0.8))
    return Scene(one_card(rng), shadow=edge), ordinary_pose(rng), ordinary_shot(rng)


def mirrored(rng: Rng) -> Case:
    return Scene(one_card(rng), mirrored=True), ordinary_pose(rng), ordinary_shot(rng)


def blurred_away(rng: Rng) -> Case:
    """A quarter to seven tenths of a patch."""
    pose = ordinary_pose(rng)
    blur_px = float(rng.uniform(0.25, 0.7)) * pose.length * SIZE[0] / 6
    return Scene(one_card(rng)), pose, replace(ordinary_shot(rng), blur_px=blur_px)


def overexposed(rng: Rng) -> Case:
    return Scene(one_card(rng)), ordinary_pose(rng), replace(ordinary_shot(rng), exposure=rng.uniform(1.5, 3))


def other_layout(rng: Rng) -> Case:
    """Its colours in another order, or eight by five of them."""
    mixed = rng.permutation(one_card(rng))
    wide = Scene(np.concatenate([mixed, mixed[:16]]), grid=(8, 5))
    return (Scene(mixed), wide)[int(rng.integers(2))], ordinary_pose(rng), ordinary_shot(rng)


BROKEN: dict[str, Callable[[Rng], Case]] = {
    "no card": no_card,
    "tiled wall, no card": tiled_wall,
    "a hand over it": hand_over_it,
    "one patch painted over": one_patch_painted,
    "printed copy": printed_copy,
    "shadow's edge over it, light x 0.4 to 0.8": shadow_over_it,
    "mirrored": mirrored,
    "blurred away": blurred_away,
    "overexposed, x 1.5 to 3": overexposed,
    "another layout": other_layout,
}


@dataclass(frozen=True)
class Outcome:
    """What became of one photograph: "not found", a reason, or "applied", with the skin's dE00 if applied."""

    what: str
    before: float = np.nan
    after: float = np.nan


def outcome(case: Case, rng: Rng) -> Outcome:
    pixels, skins = photograph(*case, rng)
    card = find_card(pixels)
    if card is None:
        return Outcome("not found")
    fitted = fit_correction(card, LIMITS)
    if isinstance(fitted, Refusal):
        return Outcome(fitted.reason)
    linear = srgb_to_linear(pixels)
    return Outcome("applied", skin_error(linear, skins), skin_error(corrected(linear, fitted), skins))


def skin_error(linear: Picture, skins: npt.NDArray[np.int8]) -> float:
    """Mean dE00 of the twelve skins, less those under the card, from their colours under D65."""
    shown = [i for i in range(12) if (skins == i).sum() > 200]
    seen = lab(np.array([np.median(linear[skins == i], axis=0) for i in shown], np.float64))
    return float(deltaE_ciede2000(lab(linear_srgb(SKINS[shown])), seen).mean())


def difference(reflectance: Floats, other: Floats) -> Floats:
    return deltaE_ciede2000(lab(linear_srgb(reflectance)), lab(linear_srgb(other)))


def colour_table(rng: Rng, photos: int) -> str:
    lines = [f"| camera | {' | '.join(LIGHTS)} |", "| --- |" + " --- |" * len(LIGHTS)]
    for camera in (*CROSSTALK, *CAMERAS):
        cells = []
        for light in LIGHTS:
            cases = [
                (Scene(one_card(rng)), ordinary_pose(rng), ordinary_shot(rng, light, camera))
                for _ in range(photos)
            ]
            done = [o for o in (outcome(case, rng) for case in cases) if o.what == "applied"]
            before, after = (float(np.mean([getattr(o, when) for o in done])) for when in ("before", "after"))
            cells.append(
                f"{before:.1f} to {after:.1f}" + (f" ({len(done)} of {photos})" if len(done) < photos else "")
            )
        lines.append(f"| {camera} | {' | '.join(cells)} |")
    return "\n".join(lines)


def broken_table(rng: Rng, photos: int) -> str:
    lines = ["| card | not found | refused | **applied** |", "| --- | --- | --- | --- |"]
    for name, broken in BROKEN.items():
        lines.append(f"| {name} | {tally([outcome(broken(rng), rng) for _ in range(photos)])} |")
    return "\n".join(lines)


def good_table(rng: Rng, photos: int) -> str:
    done = [
        outcome((Scene(one_card(rng)), ordinary_pose(rng), ordinary_shot(rng)), rng) for _ in range(photos)
    ]
    return f"| card | not found | refused | applied |\n| --- | --- | --- | --- |\n| good | {tally(done)} |"


def tally(done: list[Outcome]) -> str:
    counts = Counter(o.what for o in done)
    missing, applied = counts.pop("not found", 0), counts.pop("applied", 0)
    reasons = ", ".join(f"{why} {count}" for why, count in counts.most_common())
    return f"{missing} | {reasons or 0} | {applied}"


def copies_table(rng: Rng, photos: int) -> str:
    """How wrong a card may be before it is refused; the wrong cards above are further off."""
    lines = ["| its patches are off by, mean dE00 | applied | skin after |", "| --- | --- | --- |"]
    for spread in (0.012, 0.03, 0.05, 0.075, 0.1):
        cards = [one_card(rng, spread) for _ in range(photos)]
        off = np.mean([difference(card, PATCHES).mean() for card in cards])
        done = [outcome((Scene(card), ordinary_pose(rng), ordinary_shot(rng)), rng) for card in cards]
        kept = [o.after for o in done if o.what == "applied"]
        lines.append(f"| {off:.1f} | {len(kept)} of {photos} | {f'{np.mean(kept):.1f}' if kept else ''} |")
    return "\n".join(lines)


def size_table(rng: Rng, photos: int) -> str:
    tilts = (0, 20, 35, 50)
    lines = [
        f"| patch | {' | '.join(f'leaning {tilt}°' for tilt in tilts)} |",
        "| --- |" + " --- |" * len(tilts),
    ]
    for patch_px in (10, 14, 20, 30, 50, 90):
        cells = []
        for tilt in tilts:
            cases = [
                (Scene(one_card(rng)), ordinary_pose(rng, 6 * patch_px / SIZE[0], tilt), ordinary_shot(rng))
                for _ in range(photos)
            ]
            done = [outcome(case, rng).what for case in cases]
            cells.append(f"{sum(o != 'not found' for o in done)} / {sum(o == 'applied' for o in done)}")
        lines.append(f"| {patch_px} px | {' | '.join(cells)} |")
    return "\n".join(lines)


def tone_table(rng: Rng, photos: int) -> str:
    lines = ["| camera's curve | applied | skin before | after |", "| --- | --- | --- | --- |"]
    curves = {f"power {tone:g}": {"tone": tone} for tone in (0.8, 0.9, 1.1, 1.2, 1.35)}
    curves |= {f"S, contrast x {1 + s:g}": {"contrast": s} for s in (0.1, 0.2, 0.4)}
    for name, curve in curves.items():
        shots = [replace(ordinary_shot(rng), **({"tone": 1.0} | curve)) for _ in range(photos)]
        done = [outcome((Scene(one_card(rng)), ordinary_pose(rng), shot), rng) for shot in shots]
        kept = [o for o in done if o.what == "applied"]
        means = [
            np.mean([getattr(o, when) for o in kept]) if kept else np.nan for when in ("before", "after")
        ]
        shown = " | ".join(f"{mean:.1f}" if kept else "" for mean in means)
        lines.append(f"| {name} | {len(kept)} of {photos} | {shown} |")
    return "\n".join(lines)


PARTS: dict[str, tuple[Callable[[Rng, int], str], int]] = {
    "Tone curves, {} photographs each, cameras as above": (tone_table, 8),
    "Ten photographs each without a card, or with one that must not be applied": (broken_table, 10),
    "Skin, mean dE00 before and after, {} photographs each": (colour_table, 4),
    "{} photographs with a good card": (good_table, 100),
    "Cards of slightly wrong colours": (copies_table, 12),
    "Found / applied of {}, by size of a patch": (size_table, 5),
}


def main() -> None:
    parser = parser_of(__doc__, writes="the tables into docs/colour.md", faces=False)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    parts = []
    for seed, (title, (make, photos)) in enumerate(PARTS.items()):
        parts.append(f"**{title.format(photos)}**\n\n{make(np.random.default_rng((24, seed)), photos)}")
        print(parts[-1], end="\n\n", flush=True)
    results = "\n\n".join(parts)
    if arguments.write:
        write_results(PAGE, results)


if __name__ == "__main__":
    main()
