"""The results folder of a study: who holds it, where parts of a split study lie, what a killed run left."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from masi_vision.batch.history import HISTORY, refuse_other_history
from masi_vision.batch.ledger import LEDGER, Ledger, Place, Record, copy_ledger
from masi_vision.batch.shard import Shard
from masi_vision.errors import OutputError
from masi_vision.report.pictures import MASKS, OVERLAYS, Pictures, make_folders
from masi_vision.report.tables import TABLES
from masi_vision.visit.folder import SHARDS
from masi_vision.written import half_written, make_private_folder, writing

LOCK = ".run.lock"
_PATIENCE_S = 10.0  # shards that begin at once wait for each other this long


@dataclass(frozen=True)
class ResultsFolder:
    """Where a run writes.

    Parameters
    ----------
    out : Path
        With the pictures.
    shard : Shard or None
        A part has ledger and tables of its own.
    study : Path
        Where the photos lie, as their addresses spell it: the folder may lie in it.
    """

    out: Path
    shard: Shard | None = None
    study: Path = Path("/")

    @property
    def folder(self) -> Path:
        """Where ledger and tables lie."""
        if self.shard is None:
            return self.out
        return self.out / SHARDS / f"{self.shard.number:04d}-of-{self.shard.of:04d}"

    def parts(self) -> list[Path]:
        """The folders of all parts that have a ledger."""
        return [folder for folder in self._part_folders() if (folder / LEDGER).exists()]

    def _part_folders(self) -> list[Path]:
        return sorted(folder for folder in (self.out / SHARDS).glob("*") if folder.is_dir())

    @contextmanager
    def held(self, pictures: tuple[Pictures, ...]) -> Iterator[Ledger]:
        """Hold the folder, alone, and make what is missing of it.

        Raises
        ------
        OutputError
            Another run holds it, or it cannot be used.
        """
        self._check()
        with ExitStack() as stack:
            with writing(self.folder):
                make_private_folder(self.out)
                self.folder.mkdir(parents=True, exist_ok=True)
            make_folders(self.out, pictures)
            if self.shard is None:
                stack.enter_context(locked(self.out))
                for folder in self._part_folders():
                    stack.enter_context(locked(folder))
                self._clear_parts()
                stack.callback(self._clear_parts)
            else:
                with locked(self.out, _PATIENCE_S):  # no run of the whole study is at work
                    stack.enter_context(locked(self.folder))
            yield stack.enter_context(Ledger(self.folder / LEDGER))

    @contextmanager
    def looked_at(self) -> Iterator[Ledger]:
        """A copy of the ledger as it stands, or an empty one: nothing is written."""
        self._check()
        with self.copied(self.folder / LEDGER) as copy:
            yield copy

    def other_records(self) -> list[Mapping[Place, Record]]:
        """What stands in the other ledgers of the folder: that of the whole, and those of its parts."""
        others = [one / LEDGER for one in (self.out, *self.parts()) if one != self.folder]
        found: list[Mapping[Place, Record]] = []
        for file in others:
            if file.exists():
                with self.copied(file) as copy:
                    found.append(copy.records())
        return found

    @contextmanager
    def copied(self, ledger: Path) -> Iterator[Ledger]:
        """A copy of a ledger, to be read: nothing is written beside it."""
        with tempfile.TemporaryDirectory(prefix="masi-") as scratch:
            with writing(ledger):
                if ledger.exists():
                    copy_ledger(ledger, Path(scratch) / LEDGER)
            with Ledger(Path(scratch) / LEDGER, copy_of=ledger) as copy:
                yield copy

    def _check(self) -> None:
        with writing(self.folder):
            if self.folder.exists() and not self.folder.is_dir():
                raise OutputError(f"{self.folder} is a file. Expected a folder. Name another with --out.")
            held = [name for name in TABLES if (self.folder / name).exists()]
            ledger = self.folder / LEDGER
            if held and not (ledger.exists() and ledger.stat().st_size):  # a power cut leaves it empty
                raise OutputError(
                    f"{self.folder} holds {', '.join(held)}, and its {LEDGER} is missing or empty. Expected "
                    "the ledger that they were written from: put it back. Results of another verb have "
                    "none: name another folder with --out."
                )
        refuse_other_history(self.folder / HISTORY)

    def _clear_parts(self) -> None:
        """Take away what a killed run or worker was writing."""
        with writing(self.out):
            for part in half_written(self.out, self.out / OVERLAYS, self.out / MASKS):
                part.unlink(missing_ok=True)

    def hold(self, *files: str) -> bool:
        """Whether any of these is one of the results: a picture, or a part's."""
        kinds = tuple(
            os.path.join(prefix, kind, "")  # noqa: PTH118
            for prefix in self._prefixes
            for kind in (OVERLAYS, MASKS, SHARDS)
        )
        return any(file.startswith(kinds) for file in files)

    def lie_in(self, folder: str) -> bool:
        """Whether this is the very folder, spelled with a slash at its end."""
        return folder in self._prefixes

    def surround(self, *files: str) -> bool:
        """Whether any of these lies in the folder."""
        return any(file.startswith(self._prefixes) for file in files)

    @cached_property
    def _prefixes(self) -> tuple[str, ...]:
        """How its files may be spelled. Strings, not paths: thousands of files are asked for."""
        spelled = [self.out.absolute()]
        study, out = self.study.absolute(), self.out.resolve()
        if out.is_relative_to(study.resolve()):
            spelled.append(study / out.relative_to(study.resolve()))
        return tuple(os.path.join(one, "") for one in spelled)  # noqa: PTH118


@contextmanager
def locked(folder: Path, patience_s: float = 0) -> Iterator[None]:
    """Hold a folder against other runs; the system lets go of it when the run dies."""
    lock = FileLock(folder / LOCK, timeout=patience_s)
    with writing(folder):
        try:
            lock.acquire()
        except Timeout as error:
            raise OutputError(
                f"Another run works in {folder}. Expected none. Wait until it is done, or name another "
                "folder with --out."
            ) from error
    try:
        yield
    finally:
        lock.release()
