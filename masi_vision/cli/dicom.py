"""Photographs and masks of a scored study as DICOM files: found by their hashes, written one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ImageCms, TiffImagePlugin
from PIL.ImageFile import ImageFile

from masi_vision.batch.job import sha256_of
from masi_vision.blinding.colour_profile import clean_profile
from masi_vision.blinding.jpeg import strip_jpeg
from masi_vision.blinding.jpeg_segment import segments_of
from masi_vision.blinding.photo import CodedPhoto, shows
from masi_vision.errors import LeakError, PhotoUnreadable
from masi_vision.photo import read_photo
from masi_vision.photo.decode import open_picture
from masi_vision.photo.exif import exif_of, orientation_of, space_by_exif_alone
from masi_vision.photo.formats import format_of
from masi_vision.photo.raw import RAW_SPACE
from masi_vision.report.dicom import CodedPicture, Shown, as_bytes, photograph, segmentation
from masi_vision.report.names import FileNames
from masi_vision.visit.seen import srgb8
from masi_vision.written import write_file, writing

_BASELINE, _OTHER_FRAMES = 0xC0, frozenset((*range(0xC1, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xD0)))
_LONGEST = 64
_MOST_PX = 65535
"""Of Rows and Columns, unsigned numbers of 16 bits (DICOM PS3.3, C.7.6.3)."""
_WITHOUT_LOSS = ("PNG", "TIFF", "BMP")
_TIFF_WITH_LOSS = frozenset((6, 7, 34712, 34892, 50001, 50002))
"""Values of TIFF's tag 259 (Compression): JPEG, old, new and of a DNG, JPEG 2000, WebP, JPEG XL."""
Mask = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class DicomOrder:
    """Where photographs and masks lie, where the files go, of which patients there are none, and the limit
    on pixels with which the photographs were scored."""

    study: str
    photos: Path
    masks: Path
    out: Path
    left_out: frozenset[str] = frozenset()
    max_megapixels: float = 200.0


@dataclass
class DicomFiles:
    """Photographs and segmentations written, and a sentence on each that could not be."""

    photographs: int = 0
    segmentations: int = 0
    problems: list[str] = field(default_factory=list)


def write_dicom(order: DicomOrder, scores: Sequence[Mapping[str, str]]) -> DicomFiles:
    """Write every photograph of the scores, and the masks of those that were measured.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    files = {digest: file for file in sorted(order.photos.rglob("*")) if (digest := sha256_of(file))}
    with writing(order.out):
        order.out.mkdir(parents=True, exist_ok=True)
    made = DicomFiles()
    mask_names, names = FileNames(), FileNames()
    for row in scores:
        patient, visit = row["patient"], row["visit"]
        mask_name = mask_names.of("", row["code"]) if row.get("code") else mask_names.of(patient, visit)
        if row.get("repeat_of"):  # another copy of a photograph that is there
            continue
        name = names.of(patient, visit)
        if patient in order.left_out:  # named all the same: the masks of others are numbered with theirs
            continue
        if max(len(patient), len(visit)) > _LONGEST or "\\" in patient + visit:
            why = f"DICOM takes names of at most {_LONGEST} characters, none of them \\."
            made.problems.append(f"{name}: {why}")
            continue
        for view, digest in _photos_of(row):
            shown = Shown(order.study, patient, visit, view)
            try:
                picture = _picture(_of_hash(files, digest, order.photos), order.max_megapixels)
            except (PhotoUnreadable, LeakError, ValueError) as error:
                made.problems.append(f"{patient}/{visit}/{view}: {error}")
                continue
            photo = photograph(shown, picture)
            write_file(order.out / f"{name}_{view}.dcm", as_bytes(photo), private=True)
            made.photographs += 1
            try:
                masks = _masks(order.masks / f"{mask_name}_{view}", picture.size)
            except ValueError as error:
                made.problems.append(f"{patient}/{visit}/{view}: {error}")
                continue
            if masks is not None and masks[0].any():
                content = as_bytes(segmentation(shown, photo, *masks))
                write_file(order.out / f"{name}_{view}_segmentation.dcm", content, private=True)
                made.segmentations += 1
    return made


def _of_hash(files: Mapping[str, Path], digest: str, photos: Path) -> Path:
    """The file with this hash; ValueError where there is none."""
    if not digest:
        raise ValueError("it could not be read when it was scored, so no SHA-256 of it is known.")
    if digest not in files:
        raise ValueError(f"no file below {photos.name} has its SHA-256 ({digest[:8]}).")
    return files[digest]


def _photos_of(row: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """View and SHA-256 of every photograph of a visit."""
    for part in filter(None, row.get("photos_sha256", "").split(";")):
        view, _, digest = part.partition("=")
        yield view, digest


def _picture(file: Path, max_megapixels: float) -> CodedPicture:
    """A photograph as DICOM takes it: a plain upright JPEG as it is, anything else as its pixels.

    Raises
    ------
    PhotoUnreadable, LeakError
        The file is damaged.
    ValueError
        It is too large for DICOM.
    """
    photo, data = read_photo(file, max_megapixels=max_megapixels), file.read_bytes()
    if max(photo.full_size) > _MOST_PX:
        height, width = photo.full_size
        raise ValueError(f"it is {width} x {height} px. DICOM takes at most {_MOST_PX} on a side.")
    kind = format_of(data, file.suffix.lower())
    if kind == "HEIC" or photo.capture.colour_space == RAW_SPACE:  # a RAW may be named and begin as a TIFF
        return CodedPicture(photo.full_size, None, srgb8(photo), _srgb_profile(), lossy=True)
    image = open_picture(kind, data)
    if kind == "JPEG" and _is_upright(image) and _is_baseline(data):
        plain, profile = strip_jpeg(data, orientation=1, padding=0), image.info.get("icc_profile", b"")
        if shows(CodedPhoto(plain, ".jpg"), photo.srgb):
            own = clean_profile(profile) if profile else _srgb_profile()
            return CodedPicture(photo.full_size, plain, None, own, lossy=True)
    return CodedPicture(photo.full_size, None, srgb8(photo), _srgb_profile(), _is_lossy(kind, image))


def _is_upright(image: ImageFile) -> bool:
    """Whether the picture needs nothing of its metadata but the profile."""
    exif = exif_of(image)
    return orientation_of(exif) == 1 and space_by_exif_alone(image, exif) in (None, "sRGB")


def _is_lossy(kind: str, image: ImageFile) -> bool:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return image.tag_v2.get(259) in _TIFF_WITH_LOSS
    return kind not in _WITHOUT_LOSS


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
