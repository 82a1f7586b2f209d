"""Photographs and masks of a scored study as DICOM files: found by their hashes, written one by one."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from masi_vision.blinding.colour_profile import clean_profile
from masi_vision.blinding.jpeg import segments_of, strip_jpeg
from masi_vision.errors import LeakError, OutputError, PhotoUnreadable
from masi_vision.photo import read_photo
from masi_vision.photo.exif import colour_space_of, exif_of, orientation_of
from masi_vision.report.names import FileNames
from masi_vision.report.tables import write_file, writing
from masi_vision.visit.seen import srgb8

if TYPE_CHECKING:
    from masi_vision.report.dicom import CodedPicture

_BASELINE, _OTHER_FRAMES = 0xC0, frozenset((*range(0xC1, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xD0)))
_LONGEST = 64
_WITHOUT_LOSS = ("PNG", "TIFF", "BMP")
Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class DicomOrder:
    """Where photographs and masks lie, and where the files go."""

    study: str
    photos: Path
    masks: Path
    out: Path


def write_dicom(order: DicomOrder, scores: Sequence[Mapping[str, str]]) -> tuple[int, int, list[str]]:
    """Write every photograph of the scores, and the masks of those that were measured.

    Returns
    -------
    int, int, list of str
        Photographs and segmentations written, and a sentence on each photograph that could not be.

    Raises
    ------
    OutputError
        The libraries are not installed, or the folders cannot be used.
    """
    missing = [name for name in ("pydicom", "highdicom") if find_spec(name) is None]
    if missing:
        raise OutputError(
            f"{', '.join(missing)} is not installed. Expected the extra dicom. In the checkout of "
            'masi_vision: pip install ".[dicom]"'
        )
    if not order.photos.is_dir():
        raise OutputError(f"{order.photos} is no folder. Expected the one with the photos that were scored.")
    from masi_vision.report.dicom import Shown, as_bytes, photograph, segmentation

    files = {_sha256(file): file for file in sorted(order.photos.rglob("*")) if file.is_file()}
    names, own_names = FileNames(), FileNames()
    with writing(order.out):
        order.out.mkdir(parents=True, exist_ok=True)
        for before in order.out.glob("*.dcm"):  # of an earlier export: it may show who left the study
            before.unlink()
    written, segmented, problems = 0, 0, list[str]()
    if not order.masks.is_dir():
        problems.append(f"{order.masks} is no folder: no segmentations. Name the masks with --masks.")
    for row in scores:
        mask_name = names.of("", row["code"]) if row.get("code") else names.of(row["patient"], row["visit"])
        if row.get("repeat_of"):  # another copy of a photograph that is there
            continue
        name = own_names.of(row["patient"], row["visit"])
        if max(len(row["patient"]), len(row["visit"])) > _LONGEST or "\\" in row["patient"] + row["visit"]:
            problems.append(f"{name}: DICOM takes names of at most {_LONGEST} characters, none of them \\.")
            continue
        for view, digest in _photos_of(row):
            place = f"{row['patient']}/{row['visit']}/{view}"
            if digest not in files:
                problems.append(f"{place}: no file below {order.photos.name} has its SHA-256 ({digest[:8]}).")
                continue
            try:
                picture = _picture(files[digest])
                masks = _masks(order.masks / f"{mask_name}_{view}", picture.size)
            except (PhotoUnreadable, LeakError, ValueError) as error:
                problems.append(f"{place}: {error}")
                continue
            shown = Shown(order.study, row["patient"], row["visit"], view)
            photo = photograph(shown, picture)
            write_file(order.out / f"{name}_{view}.dcm", as_bytes(photo))
            written += 1
            if masks is not None and masks[0].any():
                made = as_bytes(segmentation(shown, photo, *masks))
                write_file(order.out / f"{name}_{view}_segmentation.dcm", made)
                segmented += 1
    return written, segmented, problems


def _photos_of(row: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """View and SHA-256 of every photograph of a visit."""
    for part in filter(None, row.get("photos_sha256", "").split(";")):
        view, _, digest = part.partition("=")
        if digest:
            yield view, digest


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _picture(file: Path) -> CodedPicture:
    """A photograph as DICOM takes it: a plain upright JPEG as it is, anything else as its pixels.

    Raises
    ------
    PhotoUnreadable, LeakError
        The file is damaged.
    """
    from masi_vision.report.dicom import CodedPicture

    photo, data = read_photo(file), file.read_bytes()
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind, profile = image.format or "", image.info.get("icc_profile", b"")
            exif = exif_of(image)
            upright = orientation_of(exif) == 1
            told = bool(profile) or colour_space_of(exif) in (None, "sRGB")
    except OSError:  # HEIC and camera RAW: others than Pillow read them
        return CodedPicture(photo.full_size, None, srgb8(photo), _srgb_profile(), lossy=True)
    if kind == "JPEG" and upright and told and _is_baseline(data):
        plain = strip_jpeg(data, orientation=1, padding=0)
        own = clean_profile(profile) if profile else _srgb_profile()
        return CodedPicture(photo.full_size, plain, None, own, lossy=True)
    lossy = kind not in _WITHOUT_LOSS
    return CodedPicture(photo.full_size, None, srgb8(photo), _srgb_profile(), lossy)


def _srgb_profile() -> bytes:
    """Without the time at which it was made."""
    return clean_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def _is_baseline(data: bytes) -> bool:
    """Sequential Huffman coding, 8 bits, in luminance and colour: what every DICOM viewer opens."""
    parts = list(segments_of(data))
    markers = {part.marker for part in parts}
    rgb = any(
        part.marker == 0xEE and part.content[:5] == b"Adobe" and part.content[-1:] == b"\0" for part in parts
    )
    three = any(part.marker == _BASELINE and part.content[5:6] == b"\x03" for part in parts)
    return _BASELINE in markers and not markers & _OTHER_FRAMES and three and not rgb


def _masks(stem: Path, size: tuple[int, int]) -> tuple[Mask, Mask] | None:
    """Regions and lesion of a photograph; None where it has none.

    Raises
    ------
    ValueError
        They are of another size.
    """
    files = [stem.with_name(f"{stem.name}_{kind}.png") for kind in ("regions", "lesion")]
    if not any(file.exists() for file in files):
        return None
    if missing := [file.name for file in files if not file.exists()]:
        raise ValueError(f"{missing[0]} is missing. Expected what --save-masks of this version writes.")
    regions, lesion = (_mask(file, size) for file in files)
    return regions, lesion


def _mask(file: Path, size: tuple[int, int]) -> Mask:
    data = np.fromfile(file, np.uint8)
    mask = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if mask is None or mask.dtype != np.uint8 or mask.shape != size:
        raise ValueError(f"{file.name} is no mask of it. Expected 8 bits of {size[1]} x {size[0]} px.")
    return np.asarray(mask, np.uint8)
