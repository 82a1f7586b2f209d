"""One tree of errors.

    MasiError                    everything this package raises on purpose
    ├── SettingsError            a settings file or value that cannot be used
    ├── ModelError               a model file is missing, altered or of another version
    ├── OutputError              results cannot be written there
    ├── StudyError               a study, a manifest or a cluster cannot be used
    ├── DatasetError             annotations or a data set of them cannot be used
    ├── BlindingError            a set cannot be coded, or a code cannot be broken
    │   ├── LeakError            ... because nobody can say that a photo gives nothing away
    │   └── KeyFileError         ... because the sealed key does not open
    ├── ReadingError             a read, an account or the database of reads cannot be used
    ├── StatsError               reads or outcomes cannot be analysed
    └── NotScorable              this photo or visit cannot be scored; carries a reason code
        └── PhotoUnreadable      ... because the file does not decode to a colour photograph

A message has three parts: what was found, what was expected, what to do.
`NotScorable` never reaches a user as an exception: `score_photo` and `score_visit` turn it into
a result with status ``not_scored``. A caller's mistake (a number out of range) is a `ValueError`.
"""

from __future__ import annotations

from typing import Literal, get_args

ReasonCode = Literal[
    "unreadable",
    "unsupported_format",
    "too_large",
    "too_small",
    "no_face",
    "other_face",
    "pose",
    "out_of_focus",
    "noisy",
    "compressed",
    "uneven_light",
    "region_hidden",
    "clipped",
    "too_dark",
    "colour_card",
    "not_aligned",
    "not_colour",
    "no_photo",
    "ambiguous_view",
    "crashed",
    "timed_out",
]
"""Why a photo or visit was not scored; `docs/outputs.md` explains each."""

REASON_CODES: tuple[str, ...] = get_args(ReasonCode)


def reason_of(error: BaseException) -> str:
    """Why something failed, in the system's words and without Python's."""
    return str(getattr(error, "strerror", None) or error).lower()


def broken_library(error: BaseException) -> str:
    """Say which library cannot be loaded; "" where it is a module of our own, which is a bug."""
    while error.__cause__ is not None:  # numpy's own sentence is a page
        error = error.__cause__
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    raised_in = last.tb_frame.f_globals.get("__name__", "") if last is not None else ""
    name, _, _ = (getattr(error, "name", None) or raised_in).partition(".")
    if name == "masi_vision":
        return ""
    why, _, _ = str(error).strip().partition("\n")
    if "failed to map segment" in why or "annot allocate memory" in why:
        return f"Too little memory to load the library {name} ({why}). Expected 1 GB for each process."
    return (
        f"The library {name} cannot be loaded ({why}). Expected all that masi_vision needs, whole, of this "
        "machine's kind. Install masi_vision into a new virtual environment."
    )


class MasiError(Exception):
    """Anything this package raises on purpose."""


class SettingsError(MasiError):
    """A settings file or value that cannot be used."""


class ModelError(MasiError):
    """A model file is missing, altered or made for another version."""


class OutputError(MasiError):
    """Results cannot be written there."""


class StudyError(MasiError):
    """A study, a manifest or a cluster cannot be used."""


class DatasetError(MasiError):
    """Annotations or a data set of them cannot be used."""


class BlindingError(MasiError):
    """A set cannot be coded, or a code cannot be broken."""


class LeakError(BlindingError):
    """A photo of which nobody can say that it gives nothing away; the sentence lacks its subject."""


class KeyFileError(BlindingError):
    """The sealed key of a coded set does not open."""


class StatsError(MasiError):
    """Reads or outcomes cannot be analysed."""


class ReadingError(MasiError):
    """A read, an account or the database of reads cannot be used."""


class NotScorable(MasiError):
    """This photo or visit cannot be scored.

    Parameters
    ----------
    reason : ReasonCode
        Code for tables.
    message : str
        One sentence or three: found, expected, what to do. Names no folder outside the input.
    photo_sha256 : str, optional
        Of the photo's file, where it could be read.
    """

    def __init__(self, reason: ReasonCode, message: str, photo_sha256: str | None = None) -> None:
        super().__init__(message)
        self.reason: ReasonCode = reason
        self.message = message
        self.photo_sha256 = photo_sha256


class PhotoUnreadable(NotScorable):
    """The file does not decode to a colour photograph."""


def how_to_install(extra: str) -> str:
    """Say how to get an extra, to who has the checkout and to who has the package alone."""
    return (
        f'In the checkout of masi_vision run: pip install ".[{extra}]", or: pip install "FILE.whl[{extra}]"'
    )
