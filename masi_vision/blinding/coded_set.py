"""A coded set on disk: SET/CODE/front.jpg, the readers' orders, and a list of its files. Nothing else.

SET/
  set.json            set, readers, number of units, SHA-256 of every photo
  orders/READER.csv   place,code
  CODE/front.jpg      left and right beside it; .png where the original is no JPEG
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from masi_vision.batch.address import at_hand
from masi_vision.batch.job import sha256_of
from masi_vision.batch.study import StudyVisit
from masi_vision.blinding.key import CodedUnit, Key, PhotoLeftOut
from masi_vision.blinding.order import draw_codes, reading_order, repeats_wanted
from masi_vision.blinding.photo import CodedPhoto, coded_photo
from masi_vision.csv_table import csv_text, is_no_name, read_csv
from masi_vision.errors import BlindingError, LeakError, OutputError, PhotoUnreadable, reason_of
from masi_vision.names import View, folded
from masi_vision.photo import read_photo
from masi_vision.report.names import safe_name
from masi_vision.version import __version__
from masi_vision.written import make_private_folder, write_file

FORMAT = 1
CONTENTS, ORDERS, ORDER_COLUMNS = "set.json", "orders", ("place", "code")
FILE_TIME = 946_684_800
"""2000-01-01 in UTC: when every file of every set was written, as far as the disk tells."""

_LEAST_ALIKE = 5
"""Visits with the same views among which two units are not known for a pair. Chosen here."""


@dataclass(frozen=True)
class CodingPlan:
    """How a set is coded.

    Parameters
    ----------
    readers : tuple of str
        Names without a meaning to a patient; each gets an order of his own.
    repeat_share : float
        Hidden repeats as a share of the visits.
    """

    readers: tuple[str, ...] = ("reader-1", "reader-2")
    repeat_share: float = 0.2

    def __post_init__(self) -> None:
        if not self.readers or len({folded(name) for name in self.readers}) < len(self.readers):
            raise BlindingError(
                f"readers are {', '.join(self.readers) or 'none'}. Expected names that differ in more than "
                "capitals."
            )
        wrong = [name for name in self.readers if not _names_a_file(name)]
        if wrong:
            raise BlindingError(
                f"A reader is called {wrong[0]!r}. Expected at most 160 letters, digits, - and _ alone, and "
                "no name that Windows keeps for a device: it names a file."
            )
        if nothing := list(filter(is_no_name, self.readers)):
            raise BlindingError(
                f"A reader is called {nothing[0]!r}, which tables have where there is nothing. Expected a "
                "name: the reads would be without a reader. Call the reader otherwise."
            )


def _refuse_no_names(visits: Iterable[StudyVisit]) -> None:
    """Refuse a patient or visit that tables take for nothing: once opened, nobody could analyse the reads.

    Raises
    ------
    BlindingError
    """
    for one in visits:
        if name := next(filter(is_no_name, (one.patient, one.visit)), None):
            raise BlindingError(
                f"The photos of {one.place} are of {name!r}, which tables have where there is nothing. "
                "Expected a name: the reads would be of nobody. Rename the folder, or correct the manifest."
            )


def _names_a_file(name: str) -> bool:
    """Whether it is a file's name on every system."""
    return name.replace("-", "").replace("_", "").isalnum() and safe_name(name) == name


@dataclass(frozen=True)
class SetContents:
    """What a set says of itself."""

    set_id: str
    readers: tuple[str, ...]
    photos: Mapping[str, str]

    @property
    def codes(self) -> list[str]:
        """The codes, sorted."""
        return sorted({name.split("/", 1)[0] for name in self.photos})

    @property
    def sha256(self) -> str:
        """Hash of the names and hashes of all photos."""
        listed = "\n".join(f"{name} {self.photos[name]}" for name in sorted(self.photos))
        return hashlib.sha256(listed.encode()).hexdigest()


@contextmanager
def coding(
    visits: Sequence[StudyVisit],
    out: Path,
    plan: CodingPlan,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Key]:
    """Write a coded set that stands in its place once what is done within is done.

    Put its key away there: without one nobody can ever open the set.

    Raises
    ------
    BlindingError
        No visit can be coded.
    OutputError
        The folder cannot be written, is there already, or is being written by another.
    """
    partial = out.with_name(f"{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(out.with_name(f".{out.name}.lock"), timeout=0):
            if out.exists():
                raise OutputError(f"{out} is there already. Expected a new folder. Name another.")
            shutil.rmtree(partial, ignore_errors=True)
            try:
                yield _written(visits, partial, plan, progress)
                partial.replace(out)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except Timeout as error:
        raise OutputError(
            f"Another masi blind writes {out}. Expected none. Wait until it is done, or name another place."
        ) from error
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written ({reason_of(error)}). Expected free space and the permission to write. "
            "Name another place."
        ) from error


def _written(
    visits: Sequence[StudyVisit], folder: Path, plan: CodingPlan, progress: Callable[[int, int], None]
) -> Key:
    _refuse_no_names(visits)
    make_private_folder(folder)
    seed = secrets.randbits(128)
    rng = np.random.default_rng(seed)
    usable = [one for one in visits if one.problem is None and one.photos]
    left_out = [
        PhotoLeftOut(one.patient, one.visit, "", str(one.problem or "no photo"))
        for one in visits
        if one not in usable
    ]
    chosen = _drawn_by_views([one.photos for one in usable], rng)
    chosen = chosen[: repeats_wanted(len(usable), plan.repeat_share)]
    codes = draw_codes(len(usable) + len(chosen))
    planned: list[tuple[str, StudyVisit, str | None]]
    planned = [(code, usable[at], None) for at, code in enumerate(codes[: len(usable)])]
    planned += [(code, usable[at], codes[at]) for at, code in zip(chosen, codes[len(usable) :], strict=True)]
    hashes: dict[str, str] = {}
    units: list[CodedUnit] = []
    # In the order of the codes: the disk keeps the order in which files are made, whatever time they tell.
    for done, (code, visit, repeat_of) in enumerate(sorted(planned, key=lambda one: one[0]), 1):
        originals, why = _coded(visit, folder / code, hashes)
        if originals:
            units.append(CodedUnit(code, visit.patient, visit.visit, repeat_of, originals))
        left_out += [one for one in why if one not in left_out]
        progress(done, len(planned))
    written = {unit.code for unit in units}
    units = [unit if unit.repeat_of in written else replace(unit, repeat_of=None) for unit in units]
    if not units:
        raise BlindingError(
            "No visit can be coded"
            + (f" ({left_out[0]})" if left_out else "")
            + ". Expected photographs as STUDY/PATIENT/VISIT/front.jpg, or a manifest."
        )
    orders = _orders(units, plan.readers, rng)
    set_id = secrets.token_hex(8)
    _write_lists(folder, set_id, orders, hashes)
    _even_times(folder)
    return Key(set_id, seed, tuple(units), orders, tuple(left_out), hashes)


def _drawn_by_views(photos: Sequence[Mapping[View, object]], rng: np.random.Generator) -> list[int]:
    """Places as chance has them; those with views of few visits last: two such are known for a pair."""
    alike = Counter(frozenset(one) for one in photos)
    return sorted(
        rng.permutation(len(photos)).tolist(), key=lambda at: -min(alike[frozenset(photos[at])], _LEAST_ALIKE)
    )


def _coded(
    visit: StudyVisit, folder: Path, hashes: dict[str, str]
) -> tuple[dict[View, str], list[PhotoLeftOut]]:
    """Write the photos of a visit under a code; their originals' hashes, and what could not be coded."""
    why: list[PhotoLeftOut] = []
    originals: dict[View, str] = {}
    with ExitStack() as stack:
        try:
            files = stack.enter_context(at_hand(visit.photos))
        except OSError as error:  # of its address; the rest goes on
            return {}, [PhotoLeftOut(visit.patient, visit.visit, "", str(error))]
        for view, file in files.items():
            try:
                copy, original = _unlike(hashes.values(), file)
            except (LeakError, PhotoUnreadable, OSError) as error:  # only of reading: nothing is written yet
                is_of_system = isinstance(error, OSError)
                told = f"{file.name} cannot be read ({reason_of(error)})." if is_of_system else str(error)
                why.append(PhotoLeftOut(visit.patient, visit.visit, view, told, sha256_of(file) or ""))
                continue
            originals[view] = original
            _write_photo(folder, view, copy, hashes)
    return originals, why


def _unlike(written: Collection[str], file: Path) -> tuple[CodedPhoto, str]:
    """A copy whose hash is none of those written, and the original's: by chance one in some thousand is."""
    pixels = read_photo(file).srgb  # first: it refuses a pipe, which would keep us for ever
    data = file.read_bytes()
    while _hash_of((copy := coded_photo(data, pixels)).data) in written:
        pass
    return copy, _hash_of(data)


def _hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_photo(folder: Path, view: View | str, photo: CodedPhoto, hashes: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{view}{photo.suffix}").write_bytes(photo.data)
    hashes[f"{folder.name}/{view}{photo.suffix}"] = _hash_of(photo.data)


def _orders(
    units: Sequence[CodedUnit], readers: Sequence[str], rng: np.random.Generator
) -> dict[str, tuple[str, ...]]:
    codes = sorted(unit.code for unit in units)
    first_of = {unit.code: unit.repeat_of for unit in units if unit.repeat_of is not None}
    return {reader: tuple(reading_order(codes, first_of, rng)[0]) for reader in readers}


def _write_lists(
    folder: Path, set_id: str, orders: Mapping[str, Sequence[str]], hashes: Mapping[str, str]
) -> None:
    contents = {
        "format": FORMAT,
        "masi_vision": __version__,
        "set": set_id,
        "units": len({name.split("/")[0] for name in hashes}),
        "readers": list(orders),
        "photos": dict(sorted(hashes.items())),
    }
    write_file(folder / CONTENTS, json.dumps(contents, indent=1) + "\n")
    for reader, codes in orders.items():
        rows = ({"place": place, "code": code} for place, code in enumerate(codes, 1))
        write_file(folder / ORDERS / f"{reader}.csv", csv_text(ORDER_COLUMNS, rows))


def _even_times(folder: Path) -> None:
    """The same time for every file, then for every folder, those above last."""
    inside = sorted(folder.rglob("*"), key=lambda place: len(place.parts), reverse=True)
    for place in (*inside, folder):
        os.utime(place, (FILE_TIME, FILE_TIME))


def read_contents(folder: Path) -> SetContents:
    """What a set says of itself.

    Raises
    ------
    BlindingError
        It is no coded set.
    """
    file = folder / CONTENTS
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        found = SetContents(values["set"], tuple(values["readers"]), dict(values["photos"]))
        version = values["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BlindingError(
            f"{folder} is no coded set: {CONTENTS} is missing or cannot be read. Expected a folder that masi "
            "blind made."
        ) from error
    if version != FORMAT:
        raise BlindingError(
            f"{file.name} has format {version!r}. Expected {FORMAT}. Use the masi that made it."
        )
    return found


def read_order(folder: Path, reader: str) -> list[str]:
    """The codes in a reader's order.

    Raises
    ------
    BlindingError
        There is no order for this reader.
    """
    try:
        rows = read_csv(folder / ORDERS / f"{reader}.csv", BlindingError).rows
        return [row["code"] for row in sorted(rows, key=lambda row: int(row["place"]))]
    except (BlindingError, KeyError, ValueError) as error:
        raise BlindingError(
            f"The set has no order for {reader!r}. Expected one of "
            f"{', '.join(read_contents(folder).readers)}."
        ) from error
