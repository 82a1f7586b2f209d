"""The camera that takes a phantom's picture: light, balance, tone, focus, position, noise, file."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.phantom.plant import Floats, Rng


@dataclass(frozen=True)
class Capture:
    """How one picture is taken; the defaults change nothing.

    Parameters
    ----------
    exposure : float
        Factor on the light.
    balance : (3,) tuple
        Factors on red, green and blue.
    tone : float
        Exponent on linear light: the camera's own contrast curve.
    blur_px, noise : float
        Standard deviations of focus blur, in pixels, and of noise, in 8-bit steps.
    scale : float
        Size of the picture; 0.5 has half as many pixels on a side.
    turn_deg, shift_px : float, (2,) tuple
        Position of the head in the frame.
    jpeg_quality : int or None
        None keeps the pixels as they are.
    colour : (3, 3) tuple or None
        What another sensor makes of linear red, green and blue, before the balance.
    """

    exposure: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    tone: float = 1.0
    blur_px: float = 0.0
    noise: float = 0.0
    scale: float = 1.0
    turn_deg: float = 0.0
    shift_px: tuple[float, float] = (0.0, 0.0)
    jpeg_quality: int | None = None
    colour: tuple[tuple[float, float, float], ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a camera that takes no picture."""
        if min(self.exposure, *self.balance, self.tone, self.scale) <= 0:
            raise ValueError("exposure, balance, tone and scale must be above 0")

    def placed(self, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """(2, 3) from pixels of the scene to pixels of the picture, for a scene of this shape."""
        height, width = shape[:2]
        moved = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), self.turn_deg, 1.0)
        moved[:, 2] += self.shift_px
        factors = np.array(self._size(shape)) / (width, height)
        shrunk = moved * factors[:, None]
        shrunk[:, 2] += factors / 2 - 0.5  # pixels are squares: their middles move with the factor
        return np.asarray(shrunk)

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        height, width = shape[:2]
        return max(1, round(width * self.scale)), max(1, round(height * self.scale))


def draw_capture(rng: Rng) -> Capture:
    """An ordinary follow-up photograph: never quite the light, balance and position of the one before."""
    return Capture(
        exposure=float(np.exp(rng.uniform(-0.3, 0.25))),
        balance=tuple(float(f) for f in np.exp(rng.normal(0, 0.06, 3))),  # type: ignore[arg-type]
        tone=float(np.exp(rng.normal(0, 0.08))),
        blur_px=float(rng.uniform(0, 0.8)),
        noise=float(rng.uniform(0, 2.5)),
        scale=float(rng.uniform(0.75, 1.0)),
        turn_deg=float(rng.normal(0, 3)),
        shift_px=(float(rng.normal(0, 4)), float(rng.normal(0, 4))),
        jpeg_quality=int(rng.integers(78, 96)),
    )


def taken(linear_rgb: Floats, capture: Capture, rng: Rng) -> npt.NDArray[np.uint8]:
    """The picture, (H * scale, W * scale, 3) 8-bit sRGB."""
    height, width = linear_rgb.shape[:2]
    picture = linear_rgb
    if capture.turn_deg or any(capture.shift_px):
        middle = ((width - 1) / 2, (height - 1) / 2)
        moved = cv2.getRotationMatrix2D(middle, capture.turn_deg, 1.0)
        moved[:, 2] += capture.shift_px
        picture = cv2.warpAffine(
            picture, moved, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    if capture.scale != 1:
        picture = cv2.resize(picture, capture._size((height, width)), interpolation=cv2.INTER_AREA)
    if capture.blur_px:
        picture = cv2.GaussianBlur(picture, (0, 0), max(capture.blur_px, 0.2))
    if capture.colour is not None:
        picture = np.maximum(picture @ np.array(capture.colour, np.float32).T, 0)
    light = np.clip(picture * np.float32(capture.exposure) * np.array(capture.balance, np.float32), 0, 1)
    coded = 255 * _srgb(cv2.pow(light, capture.tone))
    if capture.noise:
        coded = coded + np.float32(capture.noise) * rng.standard_normal(coded.shape, dtype=np.float32)
    pixels = np.clip(np.rint(coded), 0, 255).astype(np.uint8)
    return pixels if capture.jpeg_quality is None else _through_jpeg(pixels, capture.jpeg_quality)


def _srgb(light: Floats) -> Floats:
    """The transfer curve of sRGB (IEC 61966-2-1)."""
    curved = np.float32(1.055) * cv2.pow(light, 1 / 2.4) - np.float32(0.055)
    return np.where(light <= 0.0031308, np.float32(12.92) * light, curved)


def _through_jpeg(pixels: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    _, coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
