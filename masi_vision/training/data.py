"""Training samples: faces read once, then drawn anew each time, every sample by its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from masi_vision.face.atlas import MIRRORED_CODE, Floats, face_span
from masi_vision.face.crop import (
    FINDER_SIDE_PX,
    KEY_LANDMARKS,
    READER_SIDE_PX,
    apply,
    crop_template,
    inverse,
    photo_to_crop,
    similarity,
)
from masi_vision.labels.dataset import UNKNOWN
from masi_vision.training.augment import backward_map, other_camera, something_in_the_way, turned
from masi_vision.training.experiment import FinderAugmentation, ReaderAugmentation

Pixels = npt.NDArray[np.uint8]
Sample = dict[str, npt.NDArray[Any]]
Paint = tuple[float, float, float]

_MIRRORED = np.full(256, UNKNOWN, np.uint8)
_MIRRORED[: len(MIRRORED_CODE)] = MIRRORED_CODE

Augmentation = TypeVar("Augmentation", ReaderAugmentation, FinderAugmentation)

HEAT_STRIDE = 4
_LIKE_POSE_DEG = 8.0
_UNSURE = 0.3  # either side of half and half, in a blend
_HEAT_SIGMA = 1.2  # cells of the heat map


@dataclass(frozen=True)
class LabelledFace:
    """One photo with its landmarks and subunit codes, all of one size."""

    id: str
    pixels: Pixels
    labels: Pixels
    landmarks: Floats
    yaw_deg: float

    @property
    def weight(self) -> float:
        """How often it is drawn: turned heads are rare in the data and are drawn more often."""
        return 1.0 if abs(self.yaw_deg) < 15 else 2.0 if abs(self.yaw_deg) < 20 else 3.0


class Samples(Dataset[Sample]):
    """Samples of one kind, each made of its number and the seed alone.

    So a run that was stopped goes on with the samples that it would have drawn, however many workers draw.

    Parameters
    ----------
    photos : int
        Of how many photographs samples are made.
    """

    def __init__(self, seed: int, photos: int) -> None:
        self.seed, self.photos = seed, photos

    def __getitem__(self, number: int) -> Sample:
        """Give the sample of this number."""
        return self.draw(np.random.default_rng((self.seed, number)))

    def draw(self, rng: np.random.Generator) -> Sample:
        """One sample."""
        raise NotImplementedError

    def ready(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is left to be done to a batch on the device where it lies: pictures in [0, 1]."""
        image = batch["image"]
        return batch | {"image": image.float() / 255 if image.dtype == torch.uint8 else image}


class FaceSamples(Samples, Generic[Augmentation]):
    """Samples of whole photos or crops of faces.

    Parameters
    ----------
    faces : list of LabelledFace
    landmark_mean, mirror
        Mean landmarks (478, 3) and opposite landmark of each.
    how : ReaderAugmentation or FinderAugmentation
    """

    def __init__(
        self,
        faces: list[LabelledFace],
        landmark_mean: Floats,
        mirror: npt.NDArray[np.int64],
        how: Augmentation,
        *,
        seed: int,
    ) -> None:
        super().__init__(seed, len(faces))
        self.how: Augmentation = how
        self.faces = faces
        self.template = crop_template(landmark_mean)
        self.mirror = mirror
        weights = np.array([face.weight for face in faces])
        self.share = weights / weights.sum()
        self.yaws_deg = np.array([face.yaw_deg for face in faces])

    def pick(self, rng: np.random.Generator) -> LabelledFace:
        """A face, turned heads more often."""
        return self.faces[rng.choice(len(self.faces), p=self.share)]


class ReaderSamples(FaceSamples[ReaderAugmentation]):
    """Upright crops with region codes and landmarks, as the fine pass meets them."""

    def draw(self, rng: np.random.Generator) -> Sample:
        """Crop (3, S, S), codes (S, S), landmarks (478, 3) in crop pixels."""
        face, how = self.pick(rng), self.how
        before = after = face.landmarks
        if rng.random() < how.turned:
            yaw = face.yaw_deg + rng.uniform(-how.turn_deg, how.turn_deg)
            yaw = np.clip(yaw, min(-55, face.yaw_deg), max(55, face.yaw_deg)) - face.yaw_deg
            after = turned(before, float(yaw), float(rng.uniform(-12, 12)))
        reshaped, blended = rng.random() < how.reshaped, rng.random() < how.blended
        other = self._of_like_pose(face, rng) if reshaped or blended else face
        if reshaped:
            shape = apply(similarity(other.landmarks[:, :2], after[:, :2]), other.landmarks)
            shape[:, 2] += after[:, 2].mean() - shape[:, 2].mean()
            after = after + np.float32(rng.uniform()) * (shape - after)
        to_crop = photo_to_crop(after[list(KEY_LANDMARKS), :2], self.template)
        to_crop = _jitter(to_crop, READER_SIDE_PX, rng)
        border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
        paint, to_photo = _paint(rng), inverse(to_crop)
        picture, labels = _warped(face, after, to_photo, border, paint)
        if blended:
            there = similarity(after[:, :2], other.landmarks[:, :2])
            its = _warped(other, apply(there, after), _then(to_photo, there), border, paint)
            _blend(picture, labels, *its, rng)
        if rng.random() < how.covered:
            something_in_the_way(picture, labels, self.pick(rng).pixels, rng)
        landmarks = apply(to_crop, after)
        landmarks[:, 2] -= landmarks[:, 2].mean()
        picture = other_camera(picture, rng, strength=how.camera)
        if rng.random() < how.mirrored:
            picture, labels = picture[:, ::-1], _MIRRORED[labels[:, ::-1]]
            landmarks = landmarks[self.mirror]
            landmarks[:, 0] = READER_SIDE_PX - 1 - landmarks[:, 0]
        return {
            "image": np.ascontiguousarray(picture.transpose(2, 0, 1)),
            "labels": np.ascontiguousarray(labels).astype(np.int64),
            "landmarks": landmarks,
        }

    def _of_like_pose(self, face: LabelledFace, rng: np.random.Generator) -> LabelledFace:
        """Another face that is turned about as far, if there is one."""
        near = np.flatnonzero(np.abs(self.yaws_deg - face.yaw_deg) < _LIKE_POSE_DEG)
        return self.faces[int(rng.choice(near))]

    def plain(self, number: int) -> Sample:
        """The photo of this number as it is, upright where its landmarks say: to judge a network by."""
        face = self.faces[number]
        to_crop = photo_to_crop(face.landmarks[list(KEY_LANDMARKS), :2], self.template)
        size = (READER_SIDE_PX, READER_SIDE_PX)
        picture = cv2.warpAffine(face.pixels, to_crop, size, flags=cv2.INTER_LINEAR)
        labels = cv2.warpAffine(face.labels, to_crop, size, flags=cv2.INTER_NEAREST)
        return {
            "image": np.ascontiguousarray(picture.transpose(2, 0, 1)),
            "labels": labels.astype(np.int64),
            "landmarks": in_crop(face.landmarks, self.template),
        }


def _warped(
    face: LabelledFace, after: Floats, crop_to_photo: npt.NDArray[np.float64], border: int, paint: Paint
) -> tuple[Pixels, Pixels]:
    """Crop of a photo and its labels, its landmarks moved to ``after``."""
    x, y = backward_map(crop_to_photo, READER_SIDE_PX, face.landmarks, after)
    picture = cv2.remap(face.pixels, x, y, cv2.INTER_LINEAR, borderMode=border, borderValue=paint)
    labels = cv2.remap(face.labels, x, y, cv2.INTER_NEAREST, borderValue=0)
    return np.asarray(picture, np.uint8), np.asarray(labels, np.uint8)


def _blend(picture: Pixels, labels: Pixels, other: Pixels, its: Pixels, rng: np.random.Generator) -> None:
    """Mix two crops of one shape, here more of one, there of the other. In place.

    Where neither prevails and their labels differ, nobody knows which is right.
    """
    coarse = (rng.uniform() + rng.normal(0, 0.5, (4, 4))).astype(np.float32)
    share = np.clip(cv2.resize(coarse, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC), 0, 1)
    mixed = picture + share[..., None] * (other.astype(np.float32) - picture)
    unclear = (labels != its) & (np.abs(share - 0.5) < _UNSURE)
    picture[:] = np.rint(mixed)
    labels[:] = np.where(unclear, UNKNOWN, np.where(share > 0.5, its, labels))


def in_crop(landmarks: Floats, template: Floats) -> Floats:
    """Landmarks of a face in its upright crop, depth centred."""
    placed = apply(photo_to_crop(landmarks[list(KEY_LANDMARKS), :2], template), landmarks)
    placed[:, 2] -= placed[:, 2].mean()
    return placed


class FinderSamples(FaceSamples[FinderAugmentation]):
    """Whole photos, small, the face anywhere and of any size, or no face at all."""

    def draw(self, rng: np.random.Generator) -> Sample:
        """Photo (3, S, S), presence 0 or 1, heat maps (6, S/4, S/4) that each sum to one."""
        face = self.pick(rng)
        no_face = rng.random() < self.how.no_face
        key_points = face.landmarks[list(KEY_LANDMARKS), :2]
        # Half of the views without a face are framed as those with one: the frame must not give it away.
        kind = rng.random()
        framing = _no_face_view if no_face and kind < 0.4 else _full_view if kind < 0.75 else _face_view
        to_frame = framing(face, rng)
        picture = cv2.warpAffine(
            face.pixels,
            to_frame,
            (FINDER_SIDE_PX, FINDER_SIDE_PX),
            flags=cv2.INTER_AREA,
            borderMode=cv2.BORDER_REPLICATE if rng.random() < 0.3 else cv2.BORDER_CONSTANT,
            borderValue=_paint(rng),
        )
        if no_face:
            _destroy_face(picture, apply(to_frame, face.landmarks[:, :2]), self.pick(rng).pixels, rng)
        elif rng.random() < 0.2:
            something_in_the_way(picture, np.zeros_like(picture[..., 0]), self.pick(rng).pixels, rng)
        picture = other_camera(picture, rng, strength=self.how.camera)
        key_points = apply(to_frame, key_points)
        if rng.random() < 0.5:
            picture = np.ascontiguousarray(picture[:, ::-1])
            key_points = key_points[[1, 0, 2, 4, 3, 5]]
            key_points[:, 0] = FINDER_SIDE_PX - 1 - key_points[:, 0]
        return {
            "image": np.ascontiguousarray(picture.transpose(2, 0, 1)),
            "present": np.array(not no_face, np.float32),
            "heat": heat_maps(key_points),
        }


def heat_maps(points: Floats) -> Floats:
    """Gaussian bumps at the points, (N, S/4, S/4), each summing to one."""
    cells = (np.arange(FINDER_SIDE_PX // HEAT_STRIDE, dtype=np.float32) + 0.5) * HEAT_STRIDE - 0.5
    bump = np.exp(
        -((cells[None] - points[:, :, None].reshape(-1, 1)) ** 2) / (2 * (_HEAT_SIGMA * HEAT_STRIDE) ** 2)
    )
    bump = bump.reshape(len(points), 2, -1)
    heat = bump[:, 1, :, None] * bump[:, 0, None, :]
    return np.asarray(heat / np.maximum(heat.sum(axis=(1, 2), keepdims=True), 1e-6), np.float32)


def _then(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Two transforms (2, 3), one after the other."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def _paint(rng: np.random.Generator) -> Paint:
    level = rng.choice([0, 128, 255, rng.uniform(0, 255)])
    return (float(level),) * 3


def _jitter(to_crop: npt.NDArray[np.float64], side: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The crop as an imperfect coarse pass would cut it."""
    angle, scale = np.deg2rad(rng.normal(0, 8)), np.exp(rng.normal(0, 0.08))
    shift = rng.normal(0, 0.035 * side, 2)
    turn = _turn(scale, angle)
    middle = np.array([side / 2, side / 2])
    linear = turn @ to_crop[:, :2]
    return np.column_stack([linear, turn @ (to_crop[:, 2] - middle) + middle + shift])


def _turn(scale: float, angle: float) -> npt.NDArray[np.float64]:
    return scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _face_view(face: LabelledFace, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """The face at 0.25 to 1 of the frame, turned, most of it inside; the photo may end within the frame."""
    span = face_span(face.landmarks) * 1.25
    scale = FINDER_SIDE_PX * np.exp(rng.uniform(np.log(0.25), np.log(1.0))) / span
    turn = _turn(scale, np.deg2rad(rng.normal(0, 14) if rng.random() < 0.85 else rng.uniform(-60, 60)))
    room = max(FINDER_SIDE_PX - scale * span, 0.1 * FINDER_SIDE_PX)
    target = FINDER_SIDE_PX / 2 + rng.uniform(-0.5, 0.5, 2) * room
    return np.column_stack([turn, target - turn @ face.landmarks[:, :2].mean(axis=0)])


def _full_view(face: LabelledFace, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """A part of the photo that fills the frame and holds the face, hardly turned: as photos are taken."""
    height, width = face.pixels.shape[:2]
    cover, close = FINDER_SIDE_PX / min(height, width), FINDER_SIDE_PX / (1.25 * face_span(face.landmarks))
    scale = cover * np.exp(rng.uniform(0, max(0.02, np.log(max(close / cover, 1)))))
    turn = _turn(scale, np.deg2rad(rng.normal(0, 5)))
    centre = face.landmarks[:, :2].mean(axis=0)
    half = FINDER_SIDE_PX / 2 / scale
    middle = np.clip(
        centre + rng.uniform(-0.4, 0.4, 2) * half, half, np.maximum(np.array([width, height]) - half, half)
    )
    return np.column_stack([turn, FINDER_SIDE_PX / 2 - turn @ middle])


def _no_face_view(face: LabelledFace, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Somewhere in the photo, at any scale; what is left of the face is destroyed afterwards."""
    height, width = face.pixels.shape[:2]
    scale = FINDER_SIDE_PX / min(height, width) * np.exp(rng.uniform(0, 1.6))
    angle = rng.uniform(-np.pi, np.pi)
    turn = _turn(scale, angle)
    at = rng.uniform(0, 1, 2) * (width, height)
    return np.column_stack([turn, FINDER_SIDE_PX / 2 - turn @ at])


def _destroy_face(picture: Pixels, landmarks: Floats, other: Pixels, rng: np.random.Generator) -> None:
    """Leave nothing of a face: tiles shuffled, or the border of another photo laid over it. In place."""
    reach = 0.12 * float(np.ptp(landmarks, axis=0).max())
    low = np.clip(landmarks.min(axis=0) - (reach, 3 * reach), 0, FINDER_SIDE_PX).astype(int)
    high = np.clip(landmarks.max(axis=0) + reach, 0, FINDER_SIDE_PX).astype(int)
    if (high - low).min() <= 0:
        return
    kind, tile = rng.random(), int(rng.choice([8, 16, 32]))
    if kind < 0.35 and (high - low).max() > 2 * tile:
        cells = FINDER_SIDE_PX // tile
        tiles = picture.reshape(cells, tile, cells, tile, 3).swapaxes(1, 2).reshape(-1, tile, tile, 3)
        shuffled = tiles[rng.permutation(cells**2)].reshape(cells, cells, tile, tile, 3)
        picture[:] = shuffled.swapaxes(1, 2).reshape(picture.shape)
        return
    height, width = int(high[1] - low[1]), int(high[0] - low[0])
    rows, columns = other.shape[0], other.shape[1]
    patch = (
        other[: rows // 6, : columns // 3] if rng.random() < 0.5 else other[rows * 5 // 6 :, : columns // 2]
    )
    patch = cv2.resize(patch, (width, height), interpolation=cv2.INTER_LINEAR)
    mask = np.zeros((height, width), np.float32)
    if rng.random() < 0.6:
        cv2.ellipse(mask, (width // 2, height // 2), (width // 2 + 1, height // 2 + 1), 0, 0, 360, 1.0, -1)
    else:
        mask[:] = 1
    alpha = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.3, 2.0))[..., None]
    target = picture[low[1] : high[1], low[0] : high[0]]
    target[:] = (target * (1 - alpha) + patch * alpha).astype(np.uint8)
