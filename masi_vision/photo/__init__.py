"""Reading photographs: any camera file in, upright sRGB pixels and the facts of the capture out."""

from masi_vision.photo.colour import Pixels, linear_to_srgb8, srgb_to_linear
from masi_vision.photo.exif import CaptureFacts
from masi_vision.photo.read import Photo, printable, printable_name, read_photo

__all__ = [
    "CaptureFacts",
    "Photo",
    "Pixels",
    "linear_to_srgb8",
    "printable",
    "printable_name",
    "read_photo",
    "srgb_to_linear",
]
