"""Photographs that say everywhere whose they are: in every field into which words are written."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from masi_vision.blinding.coded_set import coding

KINDS = ("jpg", "jpg turned", "jpg progressive", "png", "png deep", "tif", "webp", "jpg adobe rgb")
"""Every way in which a photo comes in; the last says its colours in Exif alone."""


def named_icc(words: str) -> bytes:
    """An sRGB profile described by these words, in its description, copyright and maker."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = struct.unpack_from(">I", icc, 128)[0]
    entries = [struct.unpack_from(">4sII", icc, 132 + 12 * at) for at in range(count)]
    tags = {key: icc[start : start + size] for key, start, size in entries}
    text = words.encode("utf-16-be")
    named = b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
    tags |= {
        b"desc": named,
        b"cprt": named,
        b"dmnd": named,
        b"priv": b"text\0\0\0\0" + words.encode() + b"\0",
    }
    place, table, bodies = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for key, body in tags.items():
        padded = body + b"\0" * (-len(body) % 4)
        table += struct.pack(">4sII", key, place + len(bodies), len(body))
        bodies += padded
    whole = icc[:48] + words.encode()[:4].ljust(4) + icc[52:128] + table + bodies
    return struct.pack(">I", len(whole)) + whole[4:]


def named_exif(words: str, *, orientation: int = 1, adobe_rgb: bool = False) -> Image.Exif:
    """Camera, artist, serial number, time and place; words in all that take words."""
    exif = Image.Exif()
    for tag in (0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x8298, 0x9C9B & 0xFFFF):
        exif[tag] = words
    exif[0x0112] = orientation
    exif[0x0132] = words
    inner = exif.get_ifd(0x8769)
    inner |= {
        0x9003: words,
        0x9004: words,
        0xA430: words,
        0xA431: words,
        0x927C: words.encode(),
        0xA420: words,
    }
    if adobe_rgb:
        inner[0xA001] = 0xFFFF
        inner[0xA005] = {1: "R03"}
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 12.0), 0x1D: words})
    return exif


def segment(marker: int, content: bytes) -> bytes:
    """A JPEG segment."""
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def named_jpeg(
    pixels: np.ndarray, words: str, *, orientation: int = 1, icc: bool = True, **how: bool
) -> bytes:
    """A JPEG with Exif, XMP, IPTC, a comment, a thumbnail in JFIF, and a second picture behind the first."""
    exif = named_exif(words, orientation=orientation, adobe_rgb=not icc)
    out = io.BytesIO()
    profile = {"icc_profile": named_icc(words)} if icc else {}
    Image.fromarray(pixels).save(
        out,
        "JPEG",
        quality=92,
        exif=exif,
        comment=words,
        **profile,
        progressive=how.get("progressive", False),
    )
    data = out.getvalue()
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>" + words.encode() + b"</x:xmpmeta>"
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(words)) + words.encode()
    more = segment(0xE1, xmp) + segment(0xED, iptc) + segment(0xE2, b"MPF\0" + words.encode())
    more += segment(0xEF, words.encode())
    return data[:2] + more + data[2:] + words.encode() + data[:400]


def named_png(pixels: np.ndarray, words: str) -> bytes:
    """A PNG of 8 or 16 bits with text, international text, a time, Exif and a named profile."""
    written, data = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
    assert written
    plain = data.tobytes()
    if pixels.dtype == np.uint8:
        facts = PngInfo()
        facts.add_text("Author", words)
        facts.add_itxt("Comment", words)
        facts.add(b"tIME", struct.pack(">HBBBBB", 2026, 3, 4, 5, 6, 7))
        out = io.BytesIO()
        Image.fromarray(pixels).save(
            out, "PNG", pnginfo=facts, exif=named_exif(words), icc_profile=named_icc(words)
        )
        plain = out.getvalue()
    else:
        import zlib

        body = b"tEXtAuthor\0" + words.encode("latin-1", "replace")
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        plain = plain[:33] + chunk + plain[33:]
    return plain + words.encode()


def named_photo(kind: str, pixels: np.ndarray, words: str) -> tuple[bytes, str]:
    """A file of one of the `KINDS`, and the ending of its name."""
    if kind == "png":
        return named_png(pixels, words), ".png"
    if kind == "png deep":
        return named_png(pixels.astype(np.uint16) * 257, words), ".png"
    out = io.BytesIO()
    if kind == "tif":
        Image.fromarray(pixels).save(out, "TIFF", exif=named_exif(words), icc_profile=named_icc(words))
        return out.getvalue(), ".tif"
    if kind == "webp":
        Image.fromarray(pixels).save(
            out, "WEBP", lossless=True, exif=named_exif(words), icc_profile=named_icc(words)
        )
        return out.getvalue(), ".webp"
    turned = {"jpg turned": 6}.get(kind, 1)
    return (
        named_jpeg(
            pixels,
            words,
            orientation=turned,
            icc=kind != "jpg adobe rgb",
            progressive=kind == "jpg progressive",
        ),
        ".jpg",
    )


def write_named_study(folder: Path, patients: list[str], visits: list[str], picture: np.ndarray) -> list[str]:
    """A study whose photos say patient, visit and date everywhere; returns what must be found nowhere."""
    planted: set[str] = set()
    number = 0
    for place, patient in enumerate(patients):
        for at, visit in enumerate(visits):
            words = f"{patient} {visit} 2026:0{1 + at}:1{place % 10} serial-{patient}-{at}"
            for view in ("front", "left", "right")[: 1 + (place % 3)]:
                kind = KINDS[number % len(KINDS)]
                number += 1
                tint = np.clip(picture.astype(int) + (7 * number) % 23 - 11, 0, 255).astype(np.uint8)
                data, suffix = named_photo(kind, tint, words)
                file = folder / patient / visit / f"{view}{suffix}"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            planted |= {patient, visit, words, f"2026:0{1 + at}:1{place % 10}", f"serial-{patient}-{at}"}
    return sorted(planted)


def make_set(*of, **how):
    """A coded set as `coding` writes it; the key, which is not written."""
    with coding(*of, **how) as key:
        return key


def forms_of(words: str) -> list[bytes]:
    """A text in the ways in which files hold texts."""
    return [words.encode("utf-8"), words.encode("utf-16-le"), words.encode("utf-16-be")]


def found_in(folder: Path, planted: list[str]) -> list[str]:
    """Where a planted text stands in the bytes or the name of any file below a folder."""
    hits = []
    for file in sorted(place for place in folder.rglob("*") if place.is_file()):
        data = file.read_bytes() + file.relative_to(folder).as_posix().encode()
        hits += [
            f"{file.name}: {words}" for words in planted if any(form in data for form in forms_of(words))
        ]
    return hits


def write_noise_study(folder, patients, visits, views, damaged):
    """A study of small pictures of noise, no two alike, with one file more that is no photo.

    Parameters
    ----------
    damaged : (str, str, str)
        Patient, visit and view of what cannot be read.
    """
    rng = np.random.default_rng(0)
    for patient in patients:
        for visit in visits:
            (folder / patient / visit).mkdir(parents=True)
            for view in views:
                picture = rng.integers(30, 230, (64, 64, 3), dtype=np.uint8)
                cv2.imwrite(str(folder / patient / visit / f"{view}.png"), picture)
    (folder / damaged[0] / damaged[1] / f"{damaged[2]}.png").write_bytes(b"no photo")
