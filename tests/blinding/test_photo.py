"""Photos of a coded set: the pixels are those of the original, and no word of it is left."""

import hashlib

import cv2
import numpy as np
import pytest
from named_photos import KINDS, forms_of, named_icc, named_photo

from masi_vision.blinding.colour_profile import clean_profile, profile_leaks
from masi_vision.blinding.jpeg import jpeg_leaks, segments_of, strip_jpeg
from masi_vision.blinding.photo import coded_photo, leaks_of
from masi_vision.blinding.png import png_leaks
from masi_vision.errors import LeakError
from masi_vision.photo import read_photo
from masi_vision.photo.profile import icc_to_srgb

WORDS = "Alvarez-0417 visit-6 2026:03:14"


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(1)
    coarse = rng.integers(40, 220, (8, 7, 3), dtype=np.uint8)
    return cv2.resize(coarse, (96, 120), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def coded(picture, tmp_path):
    """The original and its coded copy, both read back."""

    def made(kind):
        data, suffix = named_photo(kind, picture, WORDS)
        before = tmp_path / f"before{suffix}"
        before.write_bytes(data)
        original = read_photo(before)
        copy = coded_photo(data, original.srgb)
        after = tmp_path / f"after{copy.suffix}"
        after.write_bytes(copy.data)
        return data, original, copy, read_photo(after)

    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_coded_photo_has_the_same_pixels_and_no_word(coded, kind):
    data, original, copy, again = coded(kind)
    assert any(form in data for form in forms_of(WORDS))
    assert not any(form in copy.data for form in forms_of(WORDS))
    assert b"Alvarez" not in copy.data
    assert again.srgb.dtype == original.srgb.dtype
    np.testing.assert_array_equal(again.srgb, original.srgb)
    assert leaks_of(copy.data) == []
    assert leaks_of(data)


@pytest.mark.parametrize("kind", KINDS)
def test_two_copies_of_a_photo_are_different_files(picture, kind, tmp_path):
    data, suffix = named_photo(kind, picture, WORDS)
    (tmp_path / f"one{suffix}").write_bytes(data)
    pixels = read_photo(tmp_path / f"one{suffix}").srgb
    copies = [coded_photo(data, pixels).data for _ in range(6)]
    assert len({hashlib.sha256(copy).hexdigest() for copy in copies}) == 6
    assert max(map(len, copies)) - min(map(len, copies)) > 100


def test_a_photo_that_carries_its_colours_in_exif_alone_is_decoded(coded):
    """Without Exif nobody would know that it is Adobe RGB: its reds would be paler."""
    _, original, copy, again = coded("jpg adobe rgb")
    assert copy.suffix == ".png"
    np.testing.assert_array_equal(again.srgb, original.srgb)


@pytest.mark.parametrize(
    ("added", "named"),
    [
        (b"\xff\xfe\x00\x07hello", "a comment"),
        (b"\xff\xe1\x00\x08Exif\0\0", "Exif or XMP"),
        (b"\xff\xed\x00\x06abcd", "IPTC"),
        (b"\xff\xe9\x00\x06abcd", "0xE9"),
    ],
)
def test_a_segment_that_says_more_is_found(coded, added, named):
    _, _, copy, _ = coded("jpg")
    assert named in " ".join(jpeg_leaks(copy.data[:2] + added + copy.data[2:]))


def test_bytes_behind_a_picture_are_found(coded):
    for kind, leaks in (("jpg", jpeg_leaks), ("png", png_leaks)):
        _, _, copy, _ = coded(kind)
        assert "bytes behind the picture" in leaks(copy.data + b"secret")


def test_a_profile_keeps_its_colours_and_loses_its_names():
    icc = named_icc(WORDS)
    clean = clean_profile(icc)
    assert any(form in icc for form in forms_of(WORDS))
    assert not any(form in clean for form in forms_of(WORDS))
    assert b"Alva" not in clean
    assert profile_leaks(icc)
    assert profile_leaks(clean) == []
    cube = np.stack(np.meshgrid(*[np.arange(0, 256, 51, dtype=np.uint8)] * 3), axis=-1).reshape(36, 6, 3)
    np.testing.assert_array_equal(icc_to_srgb(cube, clean)[0], icc_to_srgb(cube, icc)[0])


@pytest.mark.parametrize("length", [2, 3, 40, 300, 1000])
def test_a_file_that_is_cut_off_is_refused(picture, length):
    data, _ = named_photo("jpg", picture, WORDS)
    with pytest.raises(LeakError, match=r"cut off|damaged"):
        strip_jpeg(data[:length], orientation=1, padding=0)


def test_padding_changes_the_size_and_nothing_else(picture):
    data, _ = named_photo("jpg progressive", picture, WORDS)
    short, long = (strip_jpeg(data, orientation=1, padding=count) for count in (0, 150_000))
    assert len(long) == len(short) + 150_000 + 3 * 4
    kept = [[one for one in segments_of(file) if one.marker != 0xEF] for file in (short, long)]
    assert kept[0] == kept[1]
    decoded = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR) for one in (short, long)]
    np.testing.assert_array_equal(*decoded)
    assert jpeg_leaks(long) == []
    told = long.replace(bytes(100), bytes(50) + b"secret" + bytes(44), 1)
    assert jpeg_leaks(told) == ["a segment 0xEF"]
