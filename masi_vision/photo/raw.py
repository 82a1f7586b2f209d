"""Camera RAW, developed by LibRaw (extra `raw`)."""

from __future__ import annotations

import io
from dataclasses import replace

from masi_vision.photo.exif import CaptureFacts, facts_of, parse_exif
from masi_vision.photo.formats import UndecodableError, missing_extra
from masi_vision.photo.pixels import Decoded, Limits, check_colour, reduce

RAW_SPACE = "camera RAW"
"""What `CaptureFacts.colour_space` says of every camera RAW."""
_UNKNOWN = (
    "is no camera RAW, or one of a camera that LibRaw does not know. "
    "Expected a photograph. Export it as JPEG, or as TIFF of 8 or 16 bits."
)
_PREVIEW = (
    "calls itself a small copy of another picture (NewSubfileType 1), and no camera RAW that LibRaw knows is "
    "in it. Expected the photograph itself. Export it anew, as JPEG or TIFF."
)


def decode_raw(data: bytes, limits: Limits, *, is_preview: bool = False) -> Decoded:
    """Develop a camera RAW: camera white balance, sRGB, 16 bits, no automatic brightness.

    Where only a preview in front made it a RAW, a file that is none is told by that.
    """
    try:
        import rawpy
    except ImportError as error:
        raise missing_extra("camera RAW photo", "raw") from error
    try:
        opened = rawpy.imread(io.BytesIO(data))
    except rawpy.LibRawFileUnsupportedError as error:
        raise UndecodableError("unsupported_format", _PREVIEW if is_preview else _UNKNOWN) from error
    with opened as raw:
        limits.check(raw.sizes.width, raw.sizes.height)
        facts = _raw_facts(raw, data)
        curve = (2.4, 12.92)  # sRGB; LibRaw's own default is BT.709
        pixels = raw.postprocess(
            use_camera_wb=True,
            output_color=rawpy.ColorSpace.sRGB,
            output_bps=16,
            no_auto_bright=True,
            adjust_maximum_thr=0.0,  # else one bright thing sets what is white in this photo alone
            gamma=curve,
        )
    check_colour(pixels)
    return Decoded(reduce(pixels, limits), pixels.shape[:2], facts)


def _raw_facts(raw: object, data: bytes) -> CaptureFacts:
    """Take the facts from the TIFF directory most RAW files begin with, else from LibRaw."""
    facts = facts_of(parse_exif(data), bits=16, colour_space=RAW_SPACE)
    other = getattr(raw, "other", None)
    if facts.exposure_s is not None or other is None:
        return facts
    return replace(
        facts,
        exposure_s=other.shutter_speed or None,
        f_number=other.aperture or None,
        iso=other.iso_speed or None,
        focal_length_mm=other.focal_length or None,
    )
