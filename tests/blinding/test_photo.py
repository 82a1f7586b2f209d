"""Photos of a coded set: the pixels are those of the original, and no word of it is left."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from named_photos import KINDS, forms_of, named_icc, named_photo, segment
from PIL import Image, ImageCms

from masi_vision.blinding.colour_profile import clean_profile, profile_leaks
from masi_vision.blinding.jpeg import jpeg_leaks, segments_of, strip_jpeg
from masi_vision.blinding.photo import coded_photo, leaks_of
from masi_vision.blinding.png import SIGNATURE, chunks_of, png_leaks, strip_png
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
    # Two in some thousand are alike by chance.
    assert len(set(copies)) > 3
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


SECRET = b"Alvarez-0417"


def png_of(chunks):
    return SIGNATURE + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def with_chunk(data, kind, content):
    """A chunk put behind the header, or in the place of the one that is there."""
    chunks = [one for one in chunks_of(data) if one[0] != kind]
    return png_of([chunks[0], (kind, content), *chunks[1:]])


def plain_png(picture, mode="RGB"):
    out = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(out, "PNG")
    return out.getvalue()


def assert_cleaned(told, clean, leaks, said):
    assert SECRET in told
    assert said in " ".join(leaks(told))
    assert SECRET not in clean
    assert leaks(clean) == []
    before, after = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in (told, clean))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"sRGB", b"\0"),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"cICP", bytes((1, 13, 0, 1))),
        (b"sBIT", bytes((8, 8, 8))),
        (b"tRNS", bytes(6)),
        (b"PLTE", b""),
    ],
)
def test_text_behind_the_content_of_a_png_chunk_is_found_and_taken_out(picture, kind, content):
    told = with_chunk(plain_png(picture), kind, content + SECRET)
    assert_cleaned(told, strip_png(told, padding=3), png_leaks, f"a chunk {kind.decode()} with more")
    kept = dict(chunks_of(strip_png(told, padding=0)))
    assert kept.get(kind, b"") == content


def test_a_palette_keeps_its_colours_and_loses_what_stands_behind_them(picture):
    data = plain_png(picture, "P")
    entries = dict(chunks_of(data))[b"PLTE"].ljust(768, b"\0")
    told = with_chunk(data, b"PLTE", entries + SECRET)
    clean = strip_png(told, padding=0)
    assert SECRET not in clean
    assert "a chunk PLTE with more" in " ".join(png_leaks(told))
    assert dict(chunks_of(clean))[b"PLTE"] == entries
    assert png_leaks(clean) == []


def test_a_chunk_that_is_there_twice_stays_once(picture):
    gamma = (b"gAMA", struct.pack(">I", 45455))
    chunks = list(chunks_of(plain_png(picture)))
    told = png_of([chunks[0], gamma, gamma, *chunks[1:]])
    assert png_leaks(told) == ["a chunk gAMA more than once"]
    assert png_leaks(strip_png(told, padding=0)) == []


def test_text_in_the_end_marker_or_a_checksum_of_a_png_is_found(picture):
    data = plain_png(picture)
    assert "a chunk IEND with more" in " ".join(png_leaks(with_end(data, SECRET)))
    assert png_leaks(data[:-4] + b"Anna") == ["a checksum that is none"]


def with_end(data, content):
    return png_of([*[one for one in chunks_of(data) if one[0] != b"IEND"], (b"IEND", content)])


def with_codes(data, change):
    chunks = list(chunks_of(data))
    packed = b"".join(content for kind, content in chunks if kind == b"IDAT")
    others = [one for one in chunks if one[0] != b"IDAT"]
    return png_of([*others[:-1], (b"IDAT", change(packed)), others[-1]])


def test_text_behind_the_compressed_rows_of_a_png_is_found_and_taken_out(picture):
    told = with_codes(plain_png(picture), lambda packed: packed + SECRET)
    assert_cleaned(told, strip_png(told, padding=0), png_leaks, "bytes behind its coded picture")


def test_text_in_rows_below_the_picture_is_found_and_taken_out(picture):
    told = with_codes(
        plain_png(picture), lambda packed: zlib.compress(zlib.decompress(packed) + SECRET, level=0)
    )
    assert_cleaned(told, strip_png(told, padding=0), png_leaks, "bytes behind its coded picture")


@pytest.mark.parametrize("spoil", [lambda packed: packed[:-9], lambda packed: zlib.compress(b"few rows")])
def test_a_png_whose_rows_do_not_end_is_refused(picture, spoil):
    told = with_codes(plain_png(picture), spoil)
    with pytest.raises(LeakError, match="is cut off"):
        strip_png(told, padding=0)
    assert png_leaks(told) == ["is cut off"]


@pytest.mark.parametrize(("mode", "bits"), [("RGB", 24), ("RGBA", 32), ("P", 8), ("L", 8), ("1", 1)])
@pytest.mark.parametrize("size", [(1, 1), (3, 9), (96, 120)])
def test_every_kind_of_png_is_as_long_as_its_header_says(picture, mode, bits, size):
    data = plain_png(picture[: size[1], : size[0]], mode)
    assert png_leaks(strip_png(data, padding=1)) == []


def test_an_interlaced_png_is_as_long_as_its_seven_passes():
    """5 x 3 grey pixels by hand: rows of 1, 1, 1, 3, 2, 2 and 5 pixels, a filter byte for each row."""
    head = struct.pack(">IIBBBBB", 5, 3, 8, 0, 0, 0, 1)
    rows = [1, 1, 1, 3, 2, 2, 5]  # columns of each row of each pass
    data = b"".join(bytes(1 + columns) for columns in rows)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    assert np.asarray(Image.open(io.BytesIO(png_of(chunks)))).shape == (3, 5)
    assert png_leaks(png_of(chunks)) == []


def test_text_behind_a_packed_profile_is_found_and_taken_out(picture):
    clean = zlib.compress(clean_profile(named_icc(WORDS)))
    told = with_chunk(plain_png(picture), b"iCCP", b"icc\0\0" + clean + SECRET)
    assert_cleaned(told, strip_png(told, padding=0), png_leaks, "bytes behind its colour profile")


def icc_of(tags, icc):
    """A profile with these tags."""
    place, table, bodies = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for key, body in tags.items():
        table += struct.pack(">4sII", key, place + len(bodies), len(body))
        bodies += body + b"\0" * (-len(body) % 4)
    whole = icc[:128] + table + bodies
    return struct.pack(">I", len(whole)) + whole[4:]


def tags_of(icc):
    count = struct.unpack_from(">I", icc, 128)[0]
    entries = [struct.unpack_from(">4sII", icc, 132 + 12 * at) for at in range(count)]
    return {key: icc[start : start + size] for key, start, size in entries}


@pytest.mark.parametrize("key", [b"rTRC", b"rXYZ", b"wtpt", b"chad", b"chrm"])
@pytest.mark.parametrize("change", [lambda tag: tag + SECRET, lambda tag: tag[:4] + b"Anna" + tag[8:]])
def test_text_behind_or_within_a_tag_of_a_profile_is_found_and_taken_out(key, change):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tags = tags_of(icc)
    told = icc_of(tags | {key: change(tags[key])}, icc)
    clean = clean_profile(told)
    assert clean == clean_profile(icc)
    assert profile_leaks(told) == ["a colour profile that holds more than colours"]
    assert profile_leaks(clean) == []


CURVE = b"curv" + bytes(4) + struct.pack(">I2H", 2, 0, 65535)
GRID = bytes((2, 2, 2)) + bytes(13) + bytes((2, 0, 0, 0)) + bytes(range(48))


def stages(*gaps):
    """A lutAToBType of curves, grid and curves, with bytes between them."""
    curves = CURVE * 3
    first, second = 32 + len(gaps[0]), 32 + len(gaps[0]) + len(curves) + len(gaps[1])
    third = second + len(GRID) + len(gaps[2])
    head = b"mAB " + bytes(4) + bytes((3, 3, 0, 0)) + struct.pack(">5I", first, 0, 0, second, third)
    return head + gaps[0] + curves + gaps[1] + GRID + gaps[2] + curves


@pytest.mark.parametrize(
    ("told", "plain"),
    [
        (stages(SECRET, SECRET, SECRET) + SECRET, stages(b"", b"", b"")),
        (b"mft1" + b"Anna" + bytes((3, 3, 2, 65)) + bytes(36 + 768 + 24 + 768) + SECRET, None),
        (b"mft2" + b"Anna" + bytes((3, 3, 2, 65)) + bytes(36) + b"\0\2\0\2" + bytes(72) + SECRET, None),
    ],
)
def test_tables_of_a_profile_keep_their_numbers_alone(told, plain):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if plain is None:
        plain = told[:4] + bytes(4) + told[8:11] + b"\0" + told[12 : -len(SECRET)]
    clean = clean_profile(icc_of(tags_of(icc) | {b"A2B0": told}, icc))
    assert tags_of(clean)[b"A2B0"] == plain
    assert profile_leaks(clean) == []


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        (b"mpet" + bytes(20), "kind b'mpet', which cannot be cleaned"),
        (b"text" + bytes(4) + SECRET, "kind b'text', which cannot be cleaned"),
        (b"curv" + bytes(4) + struct.pack(">I", 90), "cut off"),
        (b"para" + bytes(4) + struct.pack(">HH", 9, 0), "cut off"),
    ],
)
def test_a_tag_whose_length_nobody_can_tell_is_refused(tag, said):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with pytest.raises(LeakError, match=said):
        clean_profile(icc_of(tags_of(icc) | {b"gTRC": tag}, icc))


def test_a_header_of_a_profile_has_the_white_of_all():
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert clean_profile(icc[:68] + SECRET + icc[80:]) == clean_profile(icc)


def jpeg_with(picture, **how):
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=92, **how)
    return out.getvalue()


def longer(data, marker, added):
    """A segment with more behind what its kind has."""
    at = data.index(bytes((0xFF, marker)))
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    head, rest = data[at + 4 : at + 2 + length], data[at + 2 + length :]
    return data[: at + 2] + (length + len(added)).to_bytes(2, "big") + head + added + rest


@pytest.mark.parametrize("marker", [0xDD, 0xDA, 0xC0])
def test_text_behind_a_header_of_a_jpeg_is_found_and_taken_out(picture, marker):
    data = jpeg_with(picture, restart_marker_blocks=5)
    told = longer(data, marker, SECRET)
    assert "tables or headers with more than its picture needs" in jpeg_leaks(told)
    clean = strip_jpeg(told, orientation=1, padding=0)
    assert SECRET not in clean
    assert clean == strip_jpeg(data, orientation=1, padding=0)
    assert jpeg_leaks(clean) == []


@pytest.mark.parametrize(
    "table",
    [
        b"\xff\xdb" + (67).to_bytes(2, "big") + b"\x03" + SECRET.ljust(64, b"\1"),
        b"\xff\xc4" + (19 + 12).to_bytes(2, "big") + b"\x12" + bytes(15) + b"\x0c" + SECRET,
    ],
)
def test_a_table_that_no_scan_uses_is_found_and_taken_out(picture, table):
    data = jpeg_with(picture)
    at = data.index(b"\xff\xdb")
    for told in (data[:at] + table + data[at:], data[:-2] + table + data[-2:]):
        clean = strip_jpeg(told, orientation=1, padding=0)
        assert_cleaned(told, clean, jpeg_leaks, "tables or headers with more")
        assert clean == strip_jpeg(data, orientation=1, padding=0)


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"restart_marker_blocks": 5}, {"subsampling": 0}])
def test_text_behind_the_codes_of_a_jpeg_is_found_and_zeros_are_taken_out(picture, how):
    data = jpeg_with(picture, **how)
    plain = strip_jpeg(data, orientation=1, padding=0)
    assert jpeg_leaks(plain) == []
    assert jpeg_leaks(plain[:-2] + SECRET + plain[-2:]) == ["bytes behind its codes"]
    with pytest.raises(LeakError, match="bytes behind its codes"):
        strip_jpeg(data[:-2] + SECRET + data[-2:], orientation=1, padding=0)
    assert strip_jpeg(data[:-2] + bytes(400) + data[-2:], orientation=1, padding=0) == plain


def test_text_before_a_restart_marker_is_found(picture):
    data = strip_jpeg(jpeg_with(picture, restart_marker_blocks=5), orientation=1, padding=0)
    at = data.index(b"\xff\xd3")
    assert jpeg_leaks(data[:at] + SECRET + data[at:]) == ["bytes behind its codes"]


def adobe(transform):
    return segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform))


def odd_photos(picture):
    """What the reader takes otherwise than the rules say by which a file is stripped, by what is odd."""
    plain = jpeg_with(picture)[20:]  # without its start and its JFIF header
    scans = jpeg_with(picture, progressive=True)
    late = scans.rindex(b"\xff\xc4")
    wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wide = wide.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")
    png = plain_png(picture)
    end = png_of([(b"gAMA", struct.pack(">I", 100000))])[len(SIGNATURE) :]
    return {
        "two Adobe markers": b"\xff\xd8" + adobe(0) + adobe(1) + plain,
        "a JFIF header cut short": b"\xff\xd8" + segment(0xE0, b"JFIF\0\1\2\0") + adobe(0) + plain,
        "a profile between two scans": (
            scans[:late] + segment(0xE2, b"ICC_PROFILE\0\1\1" + wide) + scans[late:]
        ),
        "an Adobe marker between two scans": scans[:2] + scans[20:late] + adobe(0) + scans[late:],
        "a gamma behind the picture": png[:-12] + end + png[-12:],
    }


@pytest.mark.parametrize("what", odd_photos(np.zeros((64, 64, 3), np.uint8)))
def test_a_copy_that_would_show_other_colours_is_written_as_its_pixels(picture, tmp_path, what):
    data = odd_photos(picture)[what]
    (tmp_path / "before").write_bytes(data)
    pixels = read_photo(tmp_path / "before").srgb
    copy = coded_photo(data, pixels)
    assert (copy.suffix, leaks_of(copy.data)) == (".png", [])
    (tmp_path / "after").write_bytes(copy.data)
    np.testing.assert_array_equal(read_photo(tmp_path / "after").srgb, pixels)
