"""Photographs come in upright, in sRGB and in colour, or are refused in a sentence."""

import base64
import io
import os
import struct
import sys
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_raw import D65, SRGB, dng, to_xyz
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from masi_vision.errors import PhotoUnreadable
from masi_vision.photo import Photo, read_photo
from masi_vision.photo.profile import known_space

ORIENTATION, MAKE, MODEL, EXIF_IFD, INTEROP_IFD = 274, 271, 272, 0x8769, 0xA005
HEIC = base64.b64decode(  # 80 x 64 px, left half (200, 120, 90), right half (60, 80, 160)
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAVVtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABeQABAAAAAAAAAJsAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA1WlwcnAAAAC2aXBjbwAAAHdodmNDAQQIAAAAnjgAAAAAHvAA/P/4+AAADwNgAAEAF0ABDAH//wQIAAADAJ44AAAD"
    "AAAeugJAYQABACpCAQEECAAAAwCeOAAAAwAAHpAFECCy3UklNc3AQ0GBAAADABkAAAMAAQhiAAEACEQBwXKGDAIkAAAAE2NvbHJu"
    "Y2x4AAEADQAGgAAAABRpc3BlAAAAAAAAAFAAAABAAAAAEHBpeGkAAAAAAwgICAAAABdpcG1hAAAAAAAAAAEAAQSBAgMEAAAAo21k"
    "YXQAAACXKAGvBPjteXSdcv/GH///6eXdl+0vevncVbt+G/+R9NP//vQwY1Ne82tkkpPQD7CAMwFtV4qmQUP4v1Cc6GgkkauUSBFD"
    "WS+//k+e6NF5QKrVNGvfMA//hezKKsDFX5G9X7oGD3vjqePYPcrRlw9H9dD7OucQ3UFRv4GmniEoL6srmQ+KpmBVf+3f+/f/ND/q"
    "vredZMr6wA=="
)


def skin(height=96, width=128, dtype=np.uint8):
    """A smooth coloured picture whose upper left corner is white."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([150 + 60 * x / width, 110 + 50 * y / height, 90 + 0 * x], axis=-1)
    picture[:16, :16] = 255
    return np.rint(picture * (np.iinfo(dtype).max // 255)).astype(dtype)


def encode(picture, kind="PNG", **options):
    stream = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(stream, kind, **options)
    return stream.getvalue()


def exif(**tags):
    block = Image.Exif()
    block.update({globals()[key.upper()]: value for key, value in tags.items()})
    return block


def saved(tmp_path, data, name="left.jpg"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def refusal(path, **options):
    with pytest.raises(PhotoUnreadable) as caught:
        read_photo(path, **options)
    assert str(path.parent) not in caught.value.message
    return caught.value


# --- formats and sizes


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_formats_give_the_pixels_themselves(tmp_path, kind):
    photo = read_photo(saved(tmp_path, encode(skin(), kind), "front.any"))
    assert np.array_equal(photo.srgb, skin())
    assert (photo.full_size, photo.scale, photo.name) == ((96, 128), 1.0, "front.any")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(tmp_path, kind):
    photo = read_photo(saved(tmp_path, encode(skin(), kind, quality=95)))
    assert np.abs(photo.srgb.astype(int) - skin()).mean() < 2


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_kept(tmp_path, suffix):
    path = tmp_path / f"front{suffix}"
    deep = skin(dtype=np.uint16) + 7
    path.write_bytes(cv2.imencode(suffix, deep[..., ::-1])[1].tobytes())
    photo = read_photo(path)
    assert np.array_equal(photo.srgb, deep)
    assert photo.capture.bits == 16


def test_pixels_cannot_be_changed(tmp_path):
    photo = read_photo(saved(tmp_path, encode(skin())))
    with pytest.raises(ValueError, match="read-only"):
        photo.srgb[0, 0] = 0


def test_a_jpeg_decoded_small_looks_like_the_whole_averaged(tmp_path):
    path = saved(tmp_path, encode(skin(960, 1280), "JPEG", quality=95))
    small = read_photo(path, min_side_px=200)
    whole = read_photo(path)
    assert (small.srgb.shape, small.full_size, small.scale) == ((240, 320, 3), (960, 1280), 0.25)
    averaged = cv2.resize(whole.srgb, (320, 240), interpolation=cv2.INTER_AREA)
    assert np.abs(small.srgb.astype(int) - averaged).mean() < 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("side", [64, 100, 241, 479, 481, 5000])
def test_the_short_side_never_falls_below_what_is_asked(tmp_path, kind, side):
    photo = read_photo(saved(tmp_path, encode(skin(481, 643), kind)), min_side_px=side)
    assert min(photo.srgb.shape[:2]) >= min(side, 481)
    assert photo.srgb.shape[1] == -(-643 // round(1 / photo.scale))


def test_a_heic_is_told_by_its_content(tmp_path):
    pytest.importorskip("pi_heif")
    photo = read_photo(saved(tmp_path, HEIC))
    assert (photo.full_size, photo.capture.colour_space) == ((64, 80), "sRGB")
    assert np.abs(photo.srgb[32, [20, 60]].astype(int) - [(200, 120, 90), (60, 80, 160)]).max() < 8


@pytest.mark.parametrize(
    ("module", "extra", "data"), [("pi_heif", "heic", HEIC), ("rawpy", "raw", b"FUJIFILMCCD-RAW 0201")]
)
def test_a_missing_extra_is_named(tmp_path, monkeypatch, module, extra, data):
    monkeypatch.setitem(sys.modules, module, None)
    refused = refusal(saved(tmp_path, data))
    assert refused.reason == "unsupported_format"
    assert f'pip install ".[{extra}]"' in refused.message


@pytest.mark.parametrize("name", ["front.dng", "front.jpg"])
def test_a_camera_raw_is_developed_in_its_own_white_balance(tmp_path, name):
    pytest.importorskip("rawpy")
    photo = read_photo(saved(tmp_path, dng(128, 96), name))
    assert photo.srgb.dtype == np.uint16
    assert (photo.capture.camera, photo.capture.bits) == ("Test Cam", 16)
    light = np.array([26000, 16000, 9000]) / 65535  # this camera's primaries are those of sRGB
    assert photo.srgb[48, 64] / 65535 == pytest.approx(1.055 * light ** (1 / 2.4) - 0.055, abs=0.003)


@pytest.mark.parametrize("brightest", [0.74, 0.76, 0.9, 1.0])
def test_one_bright_thing_changes_nothing_else_in_a_camera_raw(tmp_path, brightest):
    """LibRaw would stretch a photo whose brightest value is over three quarters of what the camera can."""
    pytest.importorskip("rawpy")
    alone, beside = (read_photo(saved(tmp_path, dng(128, 96, corner), "a.dng")) for corner in (0, brightest))
    assert np.array_equal(alone.srgb[48:, 64:], beside.srgb[48:, 64:])


# --- orientation and facts

SEEN = {  # what numpy does to the stored picture so that it stands upright (CIPA DC-008, Orientation)
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_the_photo_stands_upright_however_the_camera_was_held(tmp_path, kind, orientation):
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = encode(skin(), kind, exif=exif(orientation=orientation), **options)
    photo = read_photo(saved(tmp_path, data))
    upright = SEEN[orientation](skin())
    assert photo.full_size == upright.shape[:2]
    assert photo.srgb.shape == upright.shape
    assert np.abs(photo.srgb.astype(int) - upright).max() <= (4 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_16_bit_tiff_stands_upright_too(tmp_path, orientation):
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "front.tif"
    deep = skin(dtype=np.uint16)
    tags = [(ORIENTATION, "H", 1, orientation, True)]
    tifffile.imwrite(path, deep, photometric="rgb", extratags=tags, metadata=None)
    assert np.array_equal(read_photo(path).srgb, SEEN[orientation](deep))


XMP_ON_ITS_SIDE = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "TIFF of 16 bits"])
def test_what_xmp_alone_says_of_the_position_turns_no_photo(tmp_path, kind):
    if kind == "JPEG":
        data = encode(skin(), "JPEG", xmp=XMP_ON_ITS_SIDE)
    elif kind == "PNG":
        data = png_with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP_ON_ITS_SIDE)
    elif kind == "TIFF":
        data = encode(skin(), "TIFF", tiffinfo={700: XMP_ON_ITS_SIDE})
    else:
        tifffile = pytest.importorskip("tifffile")
        stream = io.BytesIO()
        tags = [(700, "B", len(XMP_ON_ITS_SIDE), XMP_ON_ITS_SIDE, True)]
        tifffile.imwrite(stream, skin(dtype=np.uint16), photometric="rgb", extratags=tags, metadata=None)
        data = stream.getvalue()
    assert XMP_ON_ITS_SIDE in data
    photo = read_photo(saved(tmp_path, data))
    assert photo.full_size == photo.srgb.shape[:2] == (96, 128)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_a_senseless_orientation_is_taken_as_upright(tmp_path, orientation):
    data = encode(skin(), "JPEG", exif=exif(orientation=orientation))
    assert read_photo(saved(tmp_path, data)).srgb.shape == (96, 128, 3)


def test_the_facts_of_the_capture_are_read(tmp_path):
    block = exif(make="Canon", model="Canon EOS 90D")
    details = {33434: 0.005, 33437: 8.0, 34855: 200, 37386: 60.0, 37385: 9, 42036: "EF-S 60mm", 40961: 1}
    block.get_ifd(EXIF_IFD).update({**details, 36867: "2024:05:06 07:08:09"})
    facts = read_photo(saved(tmp_path, encode(skin(), "JPEG", exif=block))).capture
    assert (facts.camera, facts.lens, facts.flash) == ("Canon EOS 90D", "EF-S 60mm", True)
    assert (facts.exposure_s, facts.f_number, facts.iso, facts.focal_length_mm) == (0.005, 8, 200, 60)
    assert (facts.colour_space, facts.taken_at) == ("sRGB", "2024:05:06 07:08:09")


@pytest.mark.parametrize(
    ("tags", "taken_at"),
    [
        (
            {36867: "2024:05:06 07:08:09", 36881: "+05:30", 36868: "2025:01:01 10:00:00"},
            "2024:05:06 07:08:09+05:30",
        ),
        ({36868: "2025:01:01 10:00:00"}, "2025:01:01 10:00:00"),
        ({36867: "    :  :     :  :  ", 36868: "2025:01:01 10:00:00", 36882: "Z"}, "2025:01:01 10:00:00Z"),
        ({36867: "    :  :     :  :  ", 36881: "+05:30"}, None),
    ],
)
def test_the_time_is_the_original_s_with_its_offset_and_else_that_of_the_file(tmp_path, tags, taken_at):
    block = exif()
    block.get_ifd(EXIF_IFD).update(tags)
    assert read_photo(saved(tmp_path, encode(skin(), "JPEG", exif=block))).capture.taken_at == taken_at


def test_a_16_bit_tiff_made_pixel_by_pixel_is_read(tmp_path):
    picture = skin(64, 64, np.uint16)
    np.testing.assert_array_equal(read_photo(saved(tmp_path, tiff(picture), "front.tif")).srgb, picture)


def test_damaged_exif_never_keeps_the_pixels_back(tmp_path):
    for block in (
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x87" * 40,
    ):
        photo = read_photo(saved(tmp_path, encode(skin(), "JPEG", exif=block)))
        assert (photo.capture.camera, photo.capture.exposure_s) == (None, None)


# --- colour

P3, ADOBE = (
    ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
)
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1, 0.8249])


def srgb_curve(x):
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def in_srgb(picture, primaries, curve):
    """Independent of the package: through XYZ, by the formula."""
    linear = (
        curve(picture / np.iinfo(picture.dtype).max) @ to_xyz(primaries).T @ np.linalg.inv(to_xyz(SRGB)).T
    )
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def fixed(values):
    """Three numbers as ICC writes them."""
    return struct.pack(">3i", *np.rint(np.asarray(values) * 65536).astype(int))


def icc_profile(primaries, trc, name):
    """A matrix profile, version 2.1, by hand."""
    adapt = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ D65)) @ BRADFORD
    colorants = (adapt @ to_xyz(primaries)).T
    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + fixed(D50),
        **{key + b"XYZ": b"XYZ \0\0\0\0" + fixed(colorants[i]) for i, key in enumerate((b"r", b"g", b"b"))},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), trc),
    }
    table, body = b"", b""
    for key, tag in tags.items():
        table += struct.pack(">4sII", key, 132 + 12 * len(tags) + len(body), len(tag))
        body += tag + b"\0" * (-len(tag) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12x4s4s",
        132 + len(table) + len(body),
        b"lcms",
        0x02400000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        b"acsp",
        b"APPL",
    )
    head = head.ljust(68, b"\0") + fixed(D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


SRGB_PARA = b"para\0\0\0\0\0\x03\0\0" + struct.pack(
    ">5i", *(round(value * 65536) for value in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)
SRGB_TABLE = b"curv\0\0\0\0" + struct.pack(
    ">I1024H", 1024, *np.rint(65535 * srgb_curve(np.linspace(0, 1, 1024))).astype(int)
)
GAMMA = b"curv\0\0\0\0\0\0\0\x01\x02\x33"
SPACES = {
    "Display P3": (P3, SRGB_PARA, srgb_curve),
    "P3 by table": (P3, SRGB_TABLE, srgb_curve),
    "Adobe RGB (1998)": (ADOBE, GAMMA, lambda x: x ** (563 / 256)),
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_embedded_profiles_are_converted_as_the_primaries_say(tmp_path, name, dtype):
    tifffile = pytest.importorskip("tifffile")
    primaries, trc, curve = SPACES[name]
    path = tmp_path / "front.tif"
    tifffile.imwrite(path, skin(dtype=dtype), photometric="rgb", iccprofile=icc_profile(primaries, trc, name))
    photo = read_photo(path)
    exact = in_srgb(skin(dtype=dtype), primaries, curve)
    assert photo.capture.colour_space == name
    assert photo.srgb.dtype == dtype
    top = np.iinfo(dtype).max
    assert np.abs(photo.srgb - top * exact).max() < (1.1 if dtype == np.uint8 else 40)


def test_a_16_bit_photo_whose_profile_is_made_of_tables_comes_in_at_8_bits(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    monkeypatch.setattr("masi_vision.photo.profile.matrix_space", lambda icc, name: None)
    path = tmp_path / "front.tif"
    profile = icc_profile(P3, SRGB_PARA, "as if made of tables")
    tifffile.imwrite(path, skin(dtype=np.uint16), photometric="rgb", iccprofile=profile)
    photo = read_photo(path)
    assert (photo.srgb.dtype, photo.capture.bits) == (np.uint8, 8)
    assert np.abs(photo.srgb - 255 * in_srgb(skin(), P3, srgb_curve)).max() < 2


@pytest.mark.parametrize(("space", "index"), [(65535, "R03"), (2, "R03"), (2, None)])
def test_a_camera_set_to_adobe_rgb_without_a_profile_is_converted(tmp_path, space, index):
    block = exif(make="Canon")
    block.get_ifd(EXIF_IFD)[40961] = space
    if index:
        block.get_ifd(EXIF_IFD)[INTEROP_IFD] = {1: index}
    photo = read_photo(saved(tmp_path, encode(skin(), "PNG", exif=block)))
    assert photo.capture.colour_space == "Adobe RGB (1998)"
    assert np.abs(photo.srgb - 255 * in_srgb(skin(), ADOBE, lambda x: x ** (563 / 256))).max() <= 1


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"sRGB", b"\0"),
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"cICP", bytes([1, 13, 0, 1])),
    ],
)
def test_a_chunk_of_a_png_counts_before_the_adobe_rgb_of_its_exif(tmp_path, kind, content):
    block = exif(make="Canon")
    block.get_ifd(EXIF_IFD)[40961] = 2
    photo = read_photo(saved(tmp_path, png_with(kind, content, exif=block)))
    assert np.array_equal(photo.srgb, skin())


@pytest.mark.parametrize(("space", "index"), [(1, "R03"), (2, "R98")])
def test_a_photo_one_of_whose_tags_says_srgb_is_left_alone(tmp_path, space, index):
    """An editor that wrote sRGB may leave the index of the camera's own file in it."""
    block = exif(make="Canon")
    block.get_ifd(EXIF_IFD)[40961] = space
    block.get_ifd(EXIF_IFD)[INTEROP_IFD] = {1: index}
    photo = read_photo(saved(tmp_path, encode(skin(), "PNG", exif=block)))
    assert "sRGB" in photo.capture.colour_space
    assert np.array_equal(photo.srgb, skin())


@pytest.mark.parametrize(
    "profile",
    [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), icc_profile(SRGB, SRGB_TABLE, "c2")],
)
def test_an_srgb_profile_of_whatever_make_leaves_the_pixels_alone(tmp_path, profile):
    photo = read_photo(saved(tmp_path, encode(skin(), icc_profile=profile)))
    assert np.array_equal(photo.srgb, skin())
    assert photo.capture.colour_space == "sRGB"


@pytest.mark.parametrize(
    "profile",
    [
        b"not a profile",
        icc_profile(P3, GAMMA, "cut")[:150],
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_damaged_profile_is_refused(tmp_path, profile, kind):
    refused = refusal(saved(tmp_path, encode(skin(), kind, icc_profile=profile)))
    assert refused.reason == "unreadable"
    assert "left.jpg carries a colour profile that is damaged or not one for RGB" in refused.message


# --- refusals

COLOUR = Image.fromarray(skin())


def with_alpha(value):
    alpha = np.full((96, 128, 1), 255, np.uint8)
    alpha[50, 50] = value
    return np.concatenate([skin(), alpha], axis=2)


def png_16_bit():
    return cv2.imencode(".png", skin(dtype=np.uint16))[1].tobytes()


def png_with_a_chunk_longer_than_the_file():
    data = png_16_bit()
    place = data.index(b"IDAT") - 4
    return data[:place] + struct.pack(">I", 0x200049) + data[place + 4 :]


def noise(height=96, width=128):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def holed(data):
    """512 bytes in the middle are zeros, as of a sector that could not be read."""
    middle = len(data) // 2
    return data[:middle] + bytes(512) + data[middle + 512 :]


def lossy(data):
    """512 bytes in the middle are missing."""
    middle = len(data) // 2
    return data[:middle] + data[middle + 512 :]


def with_scans(count, between=b""):
    """A progressive JPEG that says its last scan again and again."""
    data = encode(noise(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + between + data[last:-2] * count + data[-2:]


def blank_end(data):
    return data[:-1100] + bytes(1100)


def dated(picture):
    """An orange mark over less than a hundredth of the picture."""
    picture = picture.copy()
    picture[-4:, -10:] = (255, 140, 0)
    return picture


def png_with(kind, content, **options):
    """A PNG with another chunk before its picture, and no colour space."""
    data, body = encode(skin(), **options), kind + content
    return (
        data[:33] + struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body)) + data[33:]
    )


P3_PRIMARIES = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def tiff(picture, *, in_planes=False, kind=1, compression=1, more_tags=()):
    """A TIFF of 64 x 64 px: by pixels, or the whole of red first; of kind 1 whole numbers, 3 fractions."""
    bits, parts = 8 * picture.itemsize, 3 if in_planes else 1
    size = picture.nbytes // parts
    tags = {
        **{256: (4, 64), 257: (4, 64), 258: (3, bits, bits, bits), 259: (3, compression), 262: (3, 2)},
        **{273: (4, *[0] * parts), 277: (3, 3), 278: (4, 64), 279: (4, *[size] * parts)},
        **{284: (3, 1 + in_planes), 339: (3, kind, kind, kind)},
        **dict(more_tags),
    }
    end = 8 + 2 + 12 * len(tags) + 4
    start = end + 64
    tags[273] = (4, *[start + size * part for part in range(parts)])
    entries, more = b"", b""
    for tag, (width, *values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{'H' if width == 3 else 'I'}", *values)
        where = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", end + len(more))
        more += packed if len(packed) > 4 else b""
        entries += struct.pack("<HHI", tag, width, len(values)) + where
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return (head + more).ljust(start, b"\0") + (
        np.moveaxis(picture, 2, 0) if in_planes else picture
    ).tobytes()


def gray_rgb():
    return np.repeat(skin()[..., :1], 3, axis=2)


def png_declaring(width, height):
    data = bytearray(encode(skin()))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def compressed_text_bomb():
    chunk = b"zTXtComment\0\0" + zlib.compress(b"x" * 80_000_000, 9)
    data = encode(skin())
    return (
        data[:33]
        + struct.pack(">I", len(chunk) - 4)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + data[33:]
    )


def jpeg_frame(marker, bits):
    """A JPEG whose header says that it is coded otherwise."""
    data = encode(skin(), "JPEG")
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes((marker,)) + data[at + 2 : at + 4] + bytes((bits,)) + data[at + 5 :]


def big_tiff():
    """The head of a BigTIFF whose numbers begin with their high byte."""
    return b"MM\0+" + struct.pack(">HHQQ", 8, 0, 16, 0) + bytes(64)


REFUSED = {
    "empty": (b"", "unreadable", "is empty"),
    "text": (b"Dear colleague, the photos follow.", "unreadable", "is not a picture"),
    "zeros": (bytes(5000), "unreadable", "is not a picture"),
    "jpeg cut in half": (encode(skin(), "JPEG")[:900], "unreadable", "is damaged or incomplete"),
    "jpeg header only": (b"\xff\xd8\xff\xe0", "unreadable", "is damaged or incomplete"),
    "jpeg filled with zeros": (encode(skin(), "JPEG")[:900] + bytes(900), "unreadable", "end of the picture"),
    "png cut in half": (encode(skin())[:-200], "unreadable", "is damaged or incomplete"),
    "16-bit png cut": (png_16_bit()[:-300], "unreadable", "is damaged or incomplete"),
    "png chunk too long": (png_with_a_chunk_longer_than_the_file(), "unreadable", "end of the picture"),
    "tiff cut in half": (encode(skin(), "TIFF")[:20000], "unreadable", "is damaged or incomplete"),
    "webp cut in half": (encode(skin(), "WEBP")[:150], "unreadable", "is damaged or incomplete"),
    "heic cut in half": (HEIC[:400], "unreadable", "is damaged or incomplete"),
    "text bomb": (compressed_text_bomb(), "unreadable", "is damaged or incomplete"),
    "bomb": (png_declaring(60000, 60000), "too_large", "is 60000 x 60000 px. Expected at most 200 mega"),
    "absurd": (png_declaring(2**31 - 1, 2**31 - 1), "too_large", "Expected at most 200 megapixels"),
    "no width": (png_declaring(0, 50), "unreadable", "is damaged or incomplete"),
    "tiny": (encode(skin(63, 200)), "too_small", "is 200 x 63 px. Expected at least 64 px"),
    "cmyk": (encode(COLOUR.convert("CMYK"), "JPEG"), "unsupported_format", "is a CMYK image"),
    "lab": (encode(COLOUR.convert("LAB"), "TIFF"), "unsupported_format", "is a LAB image"),
    "gray": (encode(COLOUR.convert("L"), "JPEG"), "not_colour", "is a grayscale image; pigment and redness"),
    "gray png": (encode(COLOUR.convert("L")), "not_colour", "is a grayscale image"),
    "gray and alpha": (encode(COLOUR.convert("LA")), "not_colour", "is a grayscale image"),
    "black and white": (encode(COLOUR.convert("1")), "not_colour", "is a grayscale image"),
    "gray 16 bit": (encode(skin(dtype=np.uint16)[..., 0]), "not_colour", "is a grayscale image"),
    "gray with a date in a corner": (encode(dated(gray_rgb())), "not_colour", "is a grayscale image"),
    "jpeg with a hole": (holed(encode(noise(), "JPEG")), "unreadable", "is damaged or incomplete"),
    "jpeg with bytes lost": (lossy(encode(noise(), "JPEG")), "unreadable", "is damaged or incomplete"),
    "jpeg of many scans": (with_scans(200), "unreadable", "is drawn in more than 100 scans"),
    "jpeg of many scans behind a comment": (
        with_scans(200, b"\xff\xfe\x00\x04\xff\xd9"),
        "unreadable",
        "is drawn in more than 100 scans",
    ),
    "webp whose end is blank": (blank_end(encode(noise(), "WEBP")), "unreadable", "(its end is blank)"),
    "heic whose end is blank": (HEIC + bytes(1024), "unreadable", "(its end is blank)"),
    "16-bit tiff in planes": (
        tiff(skin(64, 64, np.uint16), in_planes=True),
        "unsupported_format",
        "separate planes",
    ),
    "tiff of fractions": (
        tiff((skin(64, 64) / 255).astype(np.float32), kind=3),
        "unsupported_format",
        "a TIFF of a kind that is not read",
    ),
    "png of wide primaries": (png_with(b"cHRM", P3_PRIMARIES), "unsupported_format", "other primary colours"),
    "png of high range": (png_with(b"cICP", bytes([9, 16, 0, 1])), "unsupported_format", "dynamic-range PNG"),
    "png in linear light": (png_with(b"gAMA", struct.pack(">I", 100000)), "unsupported_format", "gamma of 1"),
    "png nearly of 1/2": (png_with(b"gAMA", struct.pack(">I", 50000)), "unsupported_format", "gamma of 0.5"),
    "png of short codes": (png_with(b"cICP", bytes([12, 13])), "unsupported_format", "cICP that is not read"),
    "png of no codes": (png_with(b"cICP", b""), "unsupported_format", "cICP that is not read (empty"),
    "png of long codes": (png_with(b"cICP", bytes([1, 13, 0, 1, 0])), "unsupported_format", "four bytes"),
    "png of narrow range": (png_with(b"cICP", bytes([1, 13, 0, 0])), "unsupported_format", "of full range"),
    "png with a matrix": (png_with(b"cICP", bytes([1, 13, 6, 1])), "unsupported_format", "00 01 at their"),
    "jpeg of 12 bits": (jpeg_frame(0xC1, 12), "unsupported_format", "is a JPEG of more than 8 bits"),
    "jpeg without loss": (jpeg_frame(0xC3, 8), "unsupported_format", "JPEG compressed without loss"),
    "big tiff": (big_tiff(), "unsupported_format", "is a BigTIFF whose numbers begin with their high byte"),
    **{
        f"tiff as {name}": (
            tiff(skin(64, 64, kind), compression=number),
            "unsupported_format",
            f"is a TIFF compressed as {name}, which is not read",
        )
        for name, number, kind in (
            ("JPEG 2000", 34712, np.uint8),
            ("LERC", 34887, np.uint8),
            ("WebP", 50001, np.uint8),
            ("JPEG XL", 50002, np.uint16),
            ("ZSTD", 50000, np.uint16),
            ("LZMA", 34925, np.uint16),
            ("its number 33003 says", 33003, np.uint8),
        )
    },
    "gray stored as colour": (encode(gray_rgb(), "JPEG"), "not_colour", "is a grayscale image"),
    "half transparent": (encode(with_alpha(100)), "unsupported_format", "has transparent parts"),
    "gif": (encode(COLOUR.convert("P"), "GIF"), "unsupported_format", "is a GIF image"),
    "avif": (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf", "unsupported_format", "is an AVIF image"),
    "video": (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "unsupported_format", "is a video"),
    "pdf": (b"%PDF-1.7", "unsupported_format", "is a PDF document"),
    "dicom": (bytes(128) + b"DICM" + bytes(50), "unsupported_format", "is a DICOM file"),
    "pages": (encode(COLOUR, "TIFF", save_all=True, append_images=[COLOUR]), "unsupported_format", "several"),
    "moving": (
        encode(COLOUR, "PNG", save_all=True, append_images=[Image.fromarray(255 - skin())]),
        "unsupported_format",
        "holds several pictures",
    ),
}  # fmt: skip


def test_the_colour_codes_of_a_png_are_followed(tmp_path):
    plain = read_photo(saved(tmp_path, encode(skin())))
    wide = read_photo(saved(tmp_path, png_with(b"cICP", bytes([12, 13, 0, 1]))))
    assert wide.capture.colour_space == "Display P3"
    assert (wide.srgb == known_space("Display P3").to_srgb(plain.srgb)).all()
    told = read_photo(saved(tmp_path, png_with(b"cICP", bytes([1, 13, 0, 1]))))
    assert (told.srgb == plain.srgb).all()


def test_codes_that_leave_the_colours_open_leave_them_to_the_profile_and_others_tell_them(tmp_path):
    profile = icc_profile(P3, SRGB_PARA, "Display P3")
    told = read_photo(saved(tmp_path, encode(skin(), icc_profile=profile)))
    open_ = read_photo(saved(tmp_path, png_with(b"cICP", bytes([2, 2, 0, 1]), icc_profile=profile)))
    assert np.array_equal(open_.srgb, told.srgb)
    assert not np.array_equal(told.srgb, skin())
    linear = png_with(b"gAMA", struct.pack(">I", 100000))
    coded = png_with(b"cICP", bytes([1, 13, 0, 1]))[33 : 33 + 16]
    assert np.array_equal(read_photo(saved(tmp_path, linear[:33] + coded + linear[33:])).srgb, skin())


def bmp(space, icc=b"", *, endpoints=bytes(36), bits=24):
    """A BMP with a header of version 5."""
    rows = skin()[::-1].astype(np.uint16)
    if bits == 24:
        pixels = rows.astype(np.uint8)[..., ::-1].tobytes()
    else:
        pixels = (
            (rows[..., 0] >> 3 << 11 | rows[..., 1] >> 2 << 5 | rows[..., 2] >> 3).astype("<u2").tobytes()
        )
    masks = (0, 0, 0, 0) if bits == 24 else (0xF800, 0x7E0, 0x1F, 0)
    header = struct.pack(
        "<IiiHHIIiiII", 124, 128, 96, 1, bits, 0 if bits == 24 else 3, len(pixels), 0, 0, 0, 0
    )
    header += struct.pack("<4I", *masks) + space[::-1] + endpoints + bytes(12)
    header += struct.pack("<4I", 4, 124 + len(pixels) if icc else 0, len(icc), 0)
    return struct.pack("<2sIHHI", b"BM", 138 + len(pixels) + len(icc), 0, 0, 138) + header + pixels + icc


@pytest.mark.parametrize("space", [b"sRGB", b"Win ", bytes(4)])
def test_a_bmp_that_says_srgb_or_nothing_is_taken_as_it_is(tmp_path, space):
    assert np.array_equal(read_photo(saved(tmp_path, bmp(space))).srgb, skin())


def test_the_profile_within_a_bmp_is_followed(tmp_path):
    profile = icc_profile(P3, SRGB_PARA, "Display P3")
    told = read_photo(saved(tmp_path, encode(skin(), icc_profile=profile)))
    assert np.array_equal(read_photo(saved(tmp_path, bmp(b"MBED", profile))).srgb, told.srgb)
    assert "colour profile that is damaged" in refusal(saved(tmp_path, bmp(b"MBED", profile[:90]))).message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bmp(b"LINK"), "a colour space of its own"),
        (bmp(bytes(4), endpoints=bytes(35) + b"\1"), "a colour space of its own"),
        (bmp(b"sRGB", bits=16), "keeps 5 or 6 bits of a colour"),
    ],
)
def test_a_bmp_whose_colours_nobody_can_tell_is_refused(tmp_path, data, said):
    refused = refusal(saved(tmp_path, data))
    assert (refused.reason, said in refused.message) == ("unsupported_format", True)


def test_a_gamma_of_srgb_that_was_rounded_is_taken_as_it_is(tmp_path):
    for gamma in (43500, 45000, 47000):
        photo = read_photo(saved(tmp_path, png_with(b"gAMA", struct.pack(">I", gamma))))
        assert np.array_equal(photo.srgb, skin())


def test_a_heic_of_other_colours_is_not_called_high_range(tmp_path):
    pytest.importorskip("pi_heif", reason="needs the extra heic")
    said = {}
    for codes in ((6, 6), (9, 16)):
        data = HEIC.replace(b"nclx\0\1\0\r", struct.pack(">4sHH", b"nclx", *codes))
        assert data != HEIC
        said[codes] = refusal(saved(tmp_path, data)).message
    assert "is a HEIC photo of other colours (codes 6 and 6)" in said[6, 6]
    assert "is a high-dynamic-range HEIC photo" in said[9, 16]


def test_a_tiff_that_calls_itself_a_copy_is_told_by_that(tmp_path):
    pytest.importorskip("rawpy", reason="needs the extra raw")
    refused = refusal(saved(tmp_path, tiff(skin(64, 64), more_tags={254: (4, 1)}), "front.tif"))
    assert "calls itself a small copy of another picture" in refused.message


def test_half_a_photo_is_refused_whatever_another_library_switched_on(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data, reason, _ = REFUSED["tiff cut in half"]
    assert refusal(saved(tmp_path, data)).reason == reason


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_colour_photograph_is_refused_in_a_sentence(tmp_path, case):
    data, reason, words = REFUSED[case]
    refused = refusal(saved(tmp_path, data))
    assert refused.reason == reason
    assert refused.message.startswith("left.jpg ")
    assert words in refused.message
    assert "Expected" in refused.message


def test_a_limit_on_megapixels_can_be_set(tmp_path):
    path = saved(tmp_path, encode(skin()))
    assert refusal(path, max_megapixels=0.01).reason == "too_large"


def test_a_phone_photo_with_a_second_picture_behind_it_is_the_first(tmp_path):
    second = Image.fromarray(255 - skin())
    data = encode(COLOUR, "MPO", save_all=True, append_images=[second], quality=95)
    assert np.abs(read_photo(saved(tmp_path, data)).srgb.astype(int) - skin()).mean() < 2


def test_scans_that_no_decoder_goes_over_are_not_counted(tmp_path):
    film = encode(COLOUR, "JPEG") + b"\xff\xda" * 500
    data = with_scans(1, b"\xff\xfe\x02\x02" + b"\xff\xda" * 256)
    for name, picture in (("film.jpg", film), ("comment.jpg", data)):
        assert read_photo(saved(tmp_path, picture, name)).srgb.shape == (96, 128, 3)


def test_pillow_keeps_its_own_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_photo(saved(tmp_path, encode(skin()))).srgb.shape == (96, 128, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_an_opaque_alpha_channel_is_no_obstacle_but_a_palette_is(tmp_path):
    assert np.array_equal(read_photo(saved(tmp_path, encode(with_alpha(255)))).srgb, skin())
    deep = np.concatenate([skin(dtype=np.uint16), np.full((96, 128, 1), 65535, np.uint16)], axis=2)
    photo = read_photo(saved(tmp_path, cv2.imencode(".png", deep)[1].tobytes()))
    assert np.array_equal(photo.srgb, skin(dtype=np.uint16)[..., ::-1])
    palette = COLOUR.convert("P", palette=Image.Palette.ADAPTIVE)
    refused = refusal(saved(tmp_path, encode(palette)))
    assert refused.reason == "unsupported_format"
    assert "palette of at most 256 colours" in str(refused)


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    expected = {
        ".": "is a folder",
        "missing.jpg": "cannot be opened",
        "dangling.jpg": "cannot be opened",
        "nul\0.jpg": "cannot be opened",
        "x" * 300: "cannot be opened",
    }
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        expected["pipe.jpg"] = "is a pipe or device"
    for name, words in expected.items():
        refused = refusal(tmp_path / name)
        assert refused.reason == "unreadable"
        assert words in refused.message


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    def forbid(path):
        raise PermissionError(13, "Permission denied", str(path))

    path = saved(tmp_path, encode(skin()))
    monkeypatch.setattr(Path, "read_bytes", forbid)  # a test run as root may read everything
    assert "cannot be opened (permission denied)" in refusal(path).message


@pytest.mark.parametrize(
    "name", ["фото é 顔.jpg", "a\nb.jpg", "sp ace;'\".JPG", os.fsdecode(b"latin\xe9.jpg")]
)
def test_any_file_name_is_read_and_can_be_printed(tmp_path, name):
    photo = read_photo(saved(tmp_path, encode(skin()), name))
    assert photo.name.isprintable()
    assert photo.name.encode("utf-8")


def test_a_senseless_argument_is_a_mistake_of_the_caller(tmp_path):
    with pytest.raises(ValueError, match="min_side_px must be at least 1, got 0"):
        read_photo(tmp_path, min_side_px=0)
    with pytest.raises(ValueError, match=r"shape \(H, W, 3\), got float64 \(2, 2, 3\)"):
        Photo.from_srgb(np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match=r"srgb must be an array, got Image\. Of a picture of Pillow"):
        Photo.from_srgb(Image.new("RGB", (4, 4)))


@pytest.mark.parametrize("full_size", [(128, 96), (95, 128), (200, 256), (0, 0)])
def test_a_full_size_that_is_no_multiple_of_the_pixels_is_a_mistake(full_size):
    with pytest.raises(ValueError, match="full_size must be that of srgb"):
        Photo(skin(), full_size, "front.jpg", "")
    assert Photo(skin(), (191, 255), "front.jpg", "").scale == 0.5


def test_a_photo_of_pixels_stays_what_it_was_when_they_are_used_again():
    pixels = skin().copy()
    photo, before = Photo.from_srgb(pixels), pixels.copy()
    pixels[:] = 0
    assert np.array_equal(photo.srgb, before)
    assert photo.sha256 == Photo.from_srgb(before[:, ::-1][:, ::-1]).sha256
    swapped = (before.astype(np.uint16) * 257).astype(">u2")
    assert np.array_equal(Photo.from_srgb(swapped).srgb, swapped)


def test_photos_can_be_read_side_by_side(tmp_path):
    path = saved(tmp_path, encode(skin(), icc_profile=icc_profile(P3, SRGB_PARA, "Display P3")))
    alone, found = read_photo(path).srgb, []
    threads = [threading.Thread(target=lambda: found.append(read_photo(path).srgb)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(np.array_equal(alone, one) for one in found)


WHOLE = {
    "jpeg": encode(
        skin(), "JPEG", exif=exif(orientation=6, make="x"), icc_profile=icc_profile(P3, GAMMA, "P3")
    ),
    "png": encode(skin(), exif=exif(orientation=6)),
    "16-bit png": png_16_bit(),
    "tiff": encode(skin(), "TIFF", compression="tiff_lzw"),
    "16-bit tiff": cv2.imencode(".tif", skin(dtype=np.uint16))[1].tobytes(),
    "webp": encode(skin(), "WEBP"),
    "bmp": encode(skin(), "BMP"),
    "heic": HEIC,
    "dng": dng(128, 96),
}
HEADS = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"II*\0",
    b"BM",
    b"RIFF0000WEBP",
    b"\0\0\0\x18ftypheic",
    b"IIU\0",
]


def photo_or_refusal(folder, data):
    try:
        assert isinstance(read_photo(saved(folder, data), max_megapixels=5), Photo)
    except PhotoUnreadable as refused:
        assert refused.message.startswith("left.jpg ")


@settings(max_examples=150, deadline=None)
@given(head=st.sampled_from(HEADS), body=st.binary(max_size=400))
def test_random_bytes_never_raise_anything_else(tmp_path_factory, head, body):
    photo_or_refusal(tmp_path_factory.getbasetemp(), head + body)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(sorted(WHOLE)),
    cut=st.floats(0.02, 1),
    wounds=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=6),
)
def test_a_damaged_file_never_raises_anything_else(tmp_path_factory, kind, cut, wounds):
    data = bytearray(WHOLE[kind][: int(len(WHOLE[kind]) * cut)])
    for place, value in wounds:
        start = int(place**3 * len(data))  # most wounds in the headers
        data[start : start + len(value)] = value
    photo_or_refusal(tmp_path_factory.getbasetemp(), bytes(data))


WHOLE_JPEG = encode(noise(), "JPEG")
CODES = WHOLE_JPEG.index(b"\xff\xda") + 14
SOS = WHOLE_JPEG[: CODES - 3] + bytes(3) + WHOLE_JPEG[CODES:]


@pytest.mark.parametrize(
    "data",
    [
        WHOLE_JPEG[:-2] + bytes(700) + WHOLE_JPEG[-2:],
        WHOLE_JPEG[:-2] + bytes(700) + WHOLE_JPEG[-2:] + WHOLE_JPEG,
        SOS,
        WHOLE_JPEG[:11] + b"\x02" + WHOLE_JPEG[12:],
        WHOLE_JPEG[:20] + bytes(3) + WHOLE_JPEG[20:],
    ],
    ids=[
        "zeros before the end",
        "and a second picture",
        "a phone's spectrum",
        "JFIF 2",
        "bytes before a table",
    ],
)
def test_what_cameras_write_otherwise_than_the_standard_says_is_no_damage(tmp_path, data):
    one, other = (read_photo(saved(tmp_path, some)) for some in (WHOLE_JPEG, data))
    np.testing.assert_array_equal(one.srgb, other.srgb)


def test_damage_is_seen_behind_the_odd_header_of_a_phone(tmp_path):
    with pytest.raises(PhotoUnreadable, match="premature end"):
        read_photo(saved(tmp_path, lossy(SOS)))
