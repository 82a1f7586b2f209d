"""A site's annotated photographs as training takes them: decoded once, kept in a cache that survives runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt

from masi_vision.errors import DatasetError, NotScorable
from masi_vision.face.align import Alignment
from masi_vision.face.atlas import FaceAtlas, Floats, face_span, with_forehead
from masi_vision.face.find import find_face
from masi_vision.face.models import FaceModels, face_models
from masi_vision.face.pose import head_pose
from masi_vision.labels.dataset import Codes, Dataset, Entry, PigmentTruth
from masi_vision.model_files import CARD
from masi_vision.pigment.learned import NETWORK_SHAPE
from masi_vision.training.data import LabelledFace, Pixels
from masi_vision.training.pigment_data import SiteFrame, frame_face
from masi_vision.visit.seen import srgb8
from masi_vision.written import make_private_folder, writing

_CACHE_VERSION = 2
_ROOM = 0.5  # around the face, in shares of its span: what augmentation may bring into the crop
_LONGEST_SIDE_PX = 512
_WORKERS = 2


@dataclass(frozen=True)
class SitePhoto:
    """The part of a photograph that holds the face, with what is known of it.

    Parameters
    ----------
    face : LabelledFace
        Its labels are those of the annotator, or as the models see them where there are none.
    annotated : bool
        Whether an annotator drew the regions.
    lesion, known, density_od : (H, W) or None
        As `PigmentTruth`; None where nothing is said of pigment, or of its density.
    """

    face: LabelledFace
    annotated: bool
    lesion: npt.NDArray[np.bool_] | None
    known: npt.NDArray[np.bool_] | None
    density_od: Floats | None


@dataclass(frozen=True)
class SitePhotos:
    """The usable photographs of a part of a data set, and why others are not used, by name."""

    photos: tuple[SitePhoto, ...]
    left_out: tuple[str, ...]

    def for_regions(self) -> list[LabelledFace]:
        """Photographs whose regions were drawn."""
        return [photo.face for photo in self.photos if photo.annotated]

    def for_pigment(self, atlas: FaceAtlas) -> list[SiteFrame]:
        """Photographs whose pigment was drawn, in the aligned frame; grey ones are passed over."""
        frames = (site_frame(photo, atlas) for photo in self.photos if photo.lesion is not None)
        return [frame for frame in frames if frame is not None]


def site_photos(data: Dataset, entries: Sequence[Entry], models: Path, cache: Path) -> SitePhotos:
    """Read photographs, or what was kept of them.

    Parameters
    ----------
    models : Path
        Folder of the models that find the faces of photos without landmarks.
    """
    with writing(cache):
        make_private_folder(cache)
    reading = partial(_kept, data.folder, dict(data.landmarks), models, cache)
    if len(entries) > _WORKERS:
        # Started afresh, not forked: OpenCV's thread pool, in use by now, does not survive a fork.
        with ProcessPoolExecutor(_WORKERS, get_context("spawn")) as pool:
            found = list(pool.map(reading, entries, chunksize=4))
    else:
        found = [reading(entry) for entry in entries]
    return SitePhotos(
        tuple(one for one in found if isinstance(one, SitePhoto)),
        tuple(one for one in found if isinstance(one, str)),
    )


def _kept(
    folder: Path, landmarks: dict[str, Floats], models: Path, cache: Path, entry: Entry
) -> SitePhoto | str:
    """One photograph from the cache, or read and kept there; a sentence where it cannot be used."""
    cv2.setNumThreads(1)
    points = landmarks.get(entry.photo)
    try:
        file = cache / f"photo-{_mark(folder, entry, points, models)}.npz"
        if (kept := _load(entry, file)) is not None:
            return kept
        made = _read(Dataset(folder, (entry,)), entry, points, face_models(models))
    except OSError as why:
        return f"{entry.photo}: cannot be read ({why.strerror or why}). Expected its files in the data set."
    except (NotScorable, DatasetError) as why:
        return f"{entry.photo}: {why}"
    with writing(cache):
        _write(made, file)
    return _load(entry, file) or made


def _mark(folder: Path, entry: Entry, points: Floats | None, models: Path) -> str:
    """Hash of everything that the kept photograph depends on."""
    digest = hashlib.sha256(f"{_CACHE_VERSION}".encode())
    for name in (entry.photo, entry.labels, entry.pigment):
        digest.update(hashlib.sha256((folder / name).read_bytes() if name else b"").digest())
    if points is not None:
        digest.update(points.tobytes())
    digest.update((models / CARD).read_bytes())  # at least of the atlas, which tells the pose
    return digest.hexdigest()[:24]


def _read(data: Dataset, entry: Entry, points: Floats | None, models: FaceModels) -> SitePhoto:
    photo = data.photo(entry)
    pixels = srgb8(photo)
    codes, truth = data.labels(entry, pixels.shape), data.pigment(entry, pixels.shape)
    annotated = codes is not None
    if points is None or codes is None:
        found = find_face(pixels, models, min_probability=0.5)
        points = found.alignment.landmarks if points is None else points
        codes = found.photo_codes((0, 0, *pixels.shape[:2])) if codes is None else codes
    return _cropped(entry, pixels, codes, points, truth, annotated, models.atlas)


def _cropped(
    entry: Entry,
    pixels: Pixels,
    codes: Codes,
    points: Floats,
    truth: PigmentTruth | None,
    annotated: bool,
    atlas: FaceAtlas,
) -> SitePhoto:
    """The face with room around it, no larger than training needs."""
    nodes, room = with_forehead(points)[:, :2], _ROOM * face_span(points)
    height, width = codes.shape
    left, top = np.clip(np.floor(nodes.min(axis=0) - room), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(nodes.max(axis=0) + room), (left + 1, top + 1), (width, height)).astype(
        int
    )
    scale = min(1.0, _LONGEST_SIDE_PX / max(right - left, bottom - top))
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))

    def part(picture: npt.NDArray[np.generic], how: int) -> npt.NDArray[np.generic]:
        return np.asarray(cv2.resize(picture[top:bottom, left:right], size, interpolation=how))

    moved = points.copy()
    moved[:, :2] = (points[:, :2] - (left, top) + 0.5) * scale - 0.5
    moved[:, 2] *= np.float32(scale)
    yaw = head_pose(moved, atlas.landmark_mean).yaw_deg
    labels = np.asarray(part(codes, cv2.INTER_NEAREST_EXACT), np.uint8)
    small = np.asarray(part(pixels, cv2.INTER_AREA), np.uint8)
    face = LabelledFace(entry.photo, small, labels, moved.astype(np.float32), yaw)
    if truth is None:
        return SitePhoto(face, annotated, None, None, None)
    lesion, known = (
        np.asarray(part(layer.astype(np.uint8), cv2.INTER_NEAREST_EXACT), np.uint8) > 0
        for layer in (truth.lesion, truth.known)
    )
    density = truth.density_od
    if density is not None:
        density = np.asarray(part(density, cv2.INTER_AREA), np.float32)
    return SitePhoto(face, annotated, lesion, known, density)


def _write(photo: SitePhoto, file: Path) -> None:
    """Whole or not at all: two runs may share a cache."""
    face, nothing = photo.face, np.zeros(0, np.float32)
    partial_file = file.with_suffix(f".{os.getpid()}.partial")
    try:
        with partial_file.open("wb") as stream:
            np.savez(
                stream,
                pixels=face.pixels,
                labels=face.labels,
                landmarks=face.landmarks,
                yaw_deg=np.array(face.yaw_deg),
                annotated=np.array(photo.annotated),
                lesion=nothing if photo.lesion is None else photo.lesion,
                known=nothing if photo.known is None else photo.known,
                density_od=nothing if photo.density_od is None else photo.density_od.astype(np.float16),
            )
        partial_file.replace(file)
    finally:
        partial_file.unlink(missing_ok=True)


def _load(entry: Entry, file: Path) -> SitePhoto | None:
    """What was kept; None where nothing was, or a crash left half of it."""
    try:
        return _opened(entry, file)
    except (FileNotFoundError, BadZipFile, ValueError, KeyError, EOFError):
        return None


def _opened(entry: Entry, file: Path) -> SitePhoto:
    with np.load(file, allow_pickle=False) as kept:
        face = LabelledFace(
            entry.photo, kept["pixels"], kept["labels"], kept["landmarks"], float(kept["yaw_deg"])
        )
        lesion, known, density = (kept[name] for name in ("lesion", "known", "density_od"))
        return SitePhoto(
            face,
            bool(kept["annotated"]),
            lesion if lesion.size else None,
            known if known.size else None,
            density.astype(np.float32) if density.size else None,
        )


def site_frame(photo: SitePhoto, atlas: FaceAtlas) -> SiteFrame | None:
    """A photo whose pigment was drawn, in the aligned frame; None without colour or with hardly any skin."""
    face = frame_face(photo.face, atlas)
    if face is None or photo.lesion is None or photo.known is None:
        return None
    to_frame, size = Alignment(atlas, photo.face.landmarks).to_frame, NETWORK_SHAPE[::-1]

    def carried(layer: npt.NDArray[np.generic]) -> Floats:
        moved = np.asarray(to_frame(layer.astype(np.float32)), np.float32)
        return np.asarray(cv2.resize(moved, size, interpolation=cv2.INTER_AREA), np.float32)

    lesion, known = carried(photo.lesion), carried(photo.known) > 0.5
    if photo.density_od is not None:
        return SiteFrame(face, lesion, known, carried(photo.density_od), known)
    # Of drawn pigment nobody knows how dense it is; of clear skin everybody does.
    return SiteFrame(face, lesion, known, np.zeros_like(lesion), known & (lesion < 0.5))
