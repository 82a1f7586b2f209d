"""Whether a coded set is clean: every leak that is known, looked for in every file."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from masi_vision.blinding.coded_set import (
    CONTENTS,
    FILE_TIME,
    ORDER_COLUMNS,
    ORDERS,
    CodingPlan,
    SetContents,
    read_contents,
    read_order,
)
from masi_vision.blinding.key import CodedUnit, Key
from masi_vision.blinding.order import ALPHABET, CODE_LENGTH, is_of_codes
from masi_vision.blinding.originals import copied
from masi_vision.blinding.photo import leaks_of
from masi_vision.errors import BlindingError
from masi_vision.names import VIEWS, natural_key
from masi_vision.version import __version__
from masi_vision.visit.folder import spelled_in_two_ways

_CODE = rf"[{ALPHABET}]{{{CODE_LENGTH}}}"
_NAME = re.compile(rf"{_CODE}/(?:{'|'.join(VIEWS)})\.(?:jpg|png)")
_OF_CHANCE = re.compile(rf"[0-9a-f]{{16}}|[0-9a-f]{{64}}|{_NAME.pattern}")
_ROW = re.compile(rf"^\d+,{_CODE}$|\A{','.join(ORDER_COLUMNS)}$", re.M)
"""What the lists of a set hold anyhow: hashes, codes, counts. A patient's number turns up there by chance."""
_KEYS = frozenset(("format", "masi_vision", "set", "units", "readers", "photos"))
_OWN_WORDS = frozenset((__version__, *CodingPlan().readers))
_COUNTS = frozenset(("format", "units"))
_IN_PICTURES = (b"ICC_PROFILE\0", b"\x08profile\0")
"""Words that every picture with a colour profile has: a visit may be called so."""
_LEAST_NAME = 3
_UNLIKELY, _SHUFFLES, _SHUFFLES_WITHIN = 0.001, 9999, 2999
Whole = npt.NDArray[np.int64]


def problems_of(folder: Path, key: Key | None = None) -> list[str]:
    """What gives the set away, a sentence each; empty where it is clean.

    Parameters
    ----------
    key : Key, optional
        With it, names are looked for in every byte, orders are held against patients and visits, and photos
        and orders against those that the key was sealed with.

    Raises
    ------
    BlindingError
        It is no coded set, or the key is of another.
    """
    contents = read_contents(folder)
    if key is not None and key.set_id != contents.set_id:
        raise BlindingError(
            f"The key is of set {key.set_id}, not of {contents.set_id}. Expected the key that was written "
            "with the set. Name another."
        )
    found = [*_files(folder, contents), *_photos(folder, contents), *_orders(folder, contents)]
    if key is not None:
        found += [*_unbound(folder, contents, key), *_names(folder, key), *_chance(folder, key)]
    return found


def warnings_of(folder: Path, key: Key) -> list[str]:
    """What is no leak, and should be mended in the study before it is coded again, a sentence each."""
    remedy = (
        "Copy them from the camera again, and code the study anew; where readers have begun, see "
        "--corrections of masi unblind."
    )
    places = [(unit.patient, unit.visit) for unit in key.units]
    return [*tells_visits(folder, key), *copied(key, remedy), *spelled_in_two_ways(places)]


def tells_visits(folder: Path, key: Key) -> list[str]:
    """What the photos themselves tell of the visits, a sentence each: coding changes none of it.

    Notes
    -----
    Format, views and sizes of the units, repeats apart, against which of its patient's visits each is (the
    first, the second, ...), by permutation within the patients. What tells a visit without fail is named
    in a set too small for that too. Where another camera or protocol came in with a visit, they tell it
    without a name.
    """
    units = sorted((unit for unit in key.units if unit.repeat_of is None), key=lambda unit: unit.code)
    photos = [{file.stem: file for file in (folder / unit.code).glob("*.*")} for unit in units]
    patients = np.unique([unit.patient for unit in units], return_inverse=True)[1]
    ranks = _visit_ranks(units)
    traits: dict[str, dict[int, Any]] = {
        "the format of its files": {
            at: sorted({file.suffix for file in one.values()}) for at, one in enumerate(photos)
        },
        "which views it has": {at: sorted(one) for at, one in enumerate(photos)},
        **{
            f"the size of its {view} in pixels": {
                at: _size_px(one[view]) for at, one in enumerate(photos) if view in one
            }
            for view in VIEWS
        },
    }
    return [
        f"A reader may tell which visit a unit is by {what}. Coding does not change it. Make the photos "
        "alike, and code them again."
        for what, values in traits.items()
        if _goes_with_visits(list(values.values()), ranks[list(values)], patients[list(values)])
    ]


def _goes_with_visits(values: Sequence[Any], ranks: Whole, patients: Whole) -> bool:
    """Whether values, of some order, part the visits or rise or fall with them more than chance would."""
    kinds = sorted({*map(repr, values)}, key=natural_key)
    value = np.array([kinds.index(repr(one)) for one in values], np.int64)
    if len(kinds) < 2 or not ranks.max():
        return False
    place = value - value.mean()
    ways = (partial(_parted, value), lambda of: abs(float(place @ of)))
    return _tells_a_visit(value, ranks, patients) or any(
        chance_within(way, ranks, patients) < _UNLIKELY for way in ways
    )


def _size_px(photo: Path) -> tuple[int, int]:
    """Width and height of a photo, whatever its size: nothing is decoded."""
    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(photo) as image:
            return image.size
    finally:
        Image.MAX_IMAGE_PIXELS = most


def _visit_ranks(units: Sequence[CodedUnit]) -> Whole:
    """Which of its patient's visits each unit is, from 0, in the order of their names."""
    named: dict[str, list[str]] = {}
    for unit in units:
        named.setdefault(unit.patient, []).append(unit.visit)
    place = {patient: sorted(set(visits), key=natural_key) for patient, visits in named.items()}
    return np.array([place[unit.patient].index(unit.visit) for unit in units], np.int64)


def _parted(value: Whole, rank: Whole) -> float:
    """How evenly a trait parts the visits: the statistic of Pearson's test, but for what is constant."""
    width = int(rank.max()) + 1
    counts = np.bincount(width * value + rank, minlength=width * (int(value.max()) + 1)).reshape(-1, width)
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0))
    return float((counts**2 / np.maximum(expected, 1)).sum())


def _tells_a_visit(value: Whole, rank: Whole, patients: Whole) -> bool:
    """Whether some visit is told by values that no other visit has, each of several patients.

    Of two visits that tells both, and two patients are several; of more visits chance does it among two.
    """
    several = 2 if rank.max() == 1 else 3
    for one in range(int(rank.max()) + 1):
        here = rank == one
        own = np.unique(value[here])
        shared = all(len(set(patients[value == each])) >= several for each in own)
        if own.size and shared and not here.all() and not np.isin(value[~here], own).any():
            return True
    return False


def chance_within(statistic: Callable[[Whole], float], ranks: Whole, patients: Whole) -> float:
    """How often chance gives a statistic at least as great: visits are shuffled within their patients."""
    rng, found, there = np.random.default_rng(0), statistic(ranks), np.argsort(patients, kind="stable")
    at_least, shuffled = 0, np.empty_like(ranks)
    for _ in range(_SHUFFLES_WITHIN):
        shuffled[there] = ranks[np.lexsort((rng.random(len(ranks)), patients))]
        at_least += statistic(shuffled) >= found - 1e-9
    return (1 + at_least) / (1 + _SHUFFLES_WITHIN)


def _files(folder: Path, contents: SetContents) -> Iterator[str]:
    """Names, times, and what does not belong."""
    lists = {CONTENTS, *(f"{ORDERS}/{reader}.csv" for reader in contents.readers)}
    places = sorted(folder.rglob("*"))
    present = {place.relative_to(folder).as_posix() for place in places if not place.is_dir()}
    for name in sorted(present - lists - set(contents.photos)):
        yield f"{name} does not belong to the set."
    for name in sorted((lists | set(contents.photos)) - present):
        yield f"{name} is missing."
    for name in sorted(contents.photos):
        if not _NAME.fullmatch(name):
            yield f"{name} is no code and view."
    odd = [place for place in places if int(place.stat().st_mtime) != FILE_TIME]
    if odd:
        yield (
            f"{len(odd)} files or folders, such as {odd[0].relative_to(folder).as_posix()}, have times of "
            "their own: copy the set with its times (cp -a), or make it anew."
        )
    links = [place for place in places if place.is_symlink()]
    yield from (
        f"{place.relative_to(folder).as_posix()} is a link, which names its target." for place in links
    )


def _photos(folder: Path, contents: SetContents) -> Iterator[str]:
    """Metadata, changed files, and files that are the same to the byte."""
    seen: dict[str, str] = {}
    for name, told in sorted(contents.photos.items()):
        file = folder / name
        if not file.is_file():
            continue
        data = file.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != told:
            yield f"{name} was changed since the set was made."
        if digest in seen:
            yield f"{name} and {seen[digest]} are the same file: one repeats the other."
        seen[digest] = name
        yield from (f"{name} carries {leak}." for leak in leaks_of(data))


def _orders(folder: Path, contents: SetContents) -> Iterator[str]:
    for reader in contents.readers:
        try:
            order = read_order(folder, reader)
        except BlindingError as error:
            yield str(error)
            continue
        if sorted(order) != contents.codes:
            yield f"The order of {reader} does not hold every unit once."
        if is_of_codes(order):
            yield f"The order of {reader} is that of the codes."


def _unbound(folder: Path, contents: SetContents, key: Key) -> Iterator[str]:
    """Photos and orders that are not those of the key: units may be exchanged, and the lists mended."""
    for name in sorted(contents.photos.keys() | key.coded.keys()) if key.coded else ():
        if contents.photos.get(name) != key.coded.get(name):
            yield f"{name} is not the photo that the key was sealed with."
    for reader, codes in key.orders.items():
        try:
            is_as_sealed = tuple(read_order(folder, reader)) == codes
        except BlindingError:
            continue  # said already
        if not is_as_sealed:
            yield f"The order of {reader} is not the one that the key was sealed with."


def _names(folder: Path, key: Key) -> Iterator[str]:
    """Patients and visits in the bytes of any file, or in its name."""
    names = {name for unit in key.units for name in (unit.patient, unit.visit)}
    sought = sorted({part for name in names for part in name.split("/") if len(part) >= _LEAST_NAME})
    for file in sorted(place for place in folder.rglob("*") if place.is_file()):
        called = file.relative_to(folder).as_posix()
        is_picture = file.suffix in (".jpg", ".png")
        data = _said_by(file) + _said_by_name(called).encode()
        for name in sought:
            # Three letters turn up in a megabyte of coded picture by chance: there only longer ones tell.
            if name.encode() in data and not (is_picture and len(name) < 6):
                yield f"{called} holds {name!r}, of the name of a patient or visit."
                break


def _said_by(file: Path) -> bytes:
    """What a file holds beside what stands in every set."""
    data = file.read_bytes()
    if file.suffix in (".jpg", ".png"):
        for word in _IN_PICTURES:
            data = data.replace(word, b"")
        return data
    text = data.decode(errors="replace")
    if file.name != CONTENTS:
        return _ROW.sub("", text).encode()
    # Its values, not its bytes: a visit may be called "photos", and JSON may write a letter as its number.
    try:
        words = list(_words_of(json.loads(text, object_pairs_hook=tuple)))
    except ValueError:
        return data
    told = [word for word in words if word not in _OWN_WORDS and not _OF_CHANCE.fullmatch(word)]
    return "\n".join(told).encode(errors="replace")


def _words_of(value: Any, key: str = "") -> Iterator[str]:
    """Values and unknown keys; an object comes as its pairs, so that of two with one key none is lost."""
    if isinstance(value, tuple):
        for name, inner in value:
            if name not in _KEYS:
                yield name
            yield from _words_of(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _words_of(inner, key)
    elif not (isinstance(value, int) and key in _COUNTS):
        yield str(value)


def _said_by_name(called: str) -> str:
    """What the name of a file tells beside what stands in every set: of an order, its reader."""
    if called == CONTENTS or _NAME.fullmatch(called):
        return ""
    folder, _, name = called.rpartition("/")
    if folder != ORDERS or not name.endswith(".csv"):
        return called
    reader = name.removesuffix(".csv")
    return "" if reader in _OWN_WORDS else reader


def _chance(folder: Path, key: Key) -> Iterator[str]:
    """Codes and orders against the visits behind them, by permutation."""
    units = sorted(key.units, key=lambda unit: unit.code)
    visits = _ranks(units)
    lists = {"The order of the codes": [unit.code for unit in units]}
    lists |= {f"The order of {reader}": read_order(folder, reader) for reader in key.orders}
    lists |= {f"The order in which the disk {how}": codes for how, codes in _on_disk(folder, units)}
    at = {unit.code: place for place, unit in enumerate(units)}
    for name, codes in lists.items():
        if set(codes) - at.keys():
            continue  # said already: it does not hold the units of the set
        ranks = {what: of[[at[code] for code in codes]] for what, of in visits.items()}
        for what, ordered in ranks.items():
            p = chance_of_order(ordered)
            if p < _UNLIKELY:
                yield f"{name} goes with the {what}s (p = {p:.1g})."


def _on_disk(folder: Path, units: Sequence[CodedUnit]) -> Iterator[tuple[str, list[str]]]:
    """Codes in the order in which their photos were made, as far as the system tells."""
    photos = {unit.code: sorted((folder / unit.code).glob("*")) for unit in units}
    made = {code: files[0].stat() for code, files in photos.items() if files}
    yield "numbers the photos", sorted(made, key=lambda code: made[code].st_ino)
    born = {code: getattr(one, "st_birthtime", None) for code, one in made.items()}
    if None not in born.values():
        yield "made the photos", sorted(born, key=lambda code: float(born[code] or 0))


def _ranks(units: Sequence[CodedUnit]) -> dict[str, np.ndarray]:
    """Rank of each unit's patient among the patients, and of its visit among the visits."""
    made = {}
    for what in ("patient", "visit"):
        names = [str(getattr(unit, what)) for unit in units]
        place = {name: rank for rank, name in enumerate(sorted(set(names), key=natural_key))}
        made[what] = np.array([place[name] for name in names], float)
    return made


def chance_of_order(ranks: np.ndarray, *, shuffles: int = _SHUFFLES, seed: int = 0) -> float:
    """How often chance orders these at least as much as they are: a permutation test of their correlation."""
    if len(Counter(ranks.tolist())) < 2 or len(ranks) < 4:
        return 1.0
    place = np.arange(len(ranks)) - (len(ranks) - 1) / 2
    centred = ranks - ranks.mean()
    rng = np.random.default_rng(seed)
    found = abs(float(centred @ place))
    shuffled = np.abs(rng.permuted(np.tile(centred, (shuffles, 1)), axis=1) @ place)
    return float((1 + (shuffled >= found - 1e-9).sum()) / (1 + shuffles))
