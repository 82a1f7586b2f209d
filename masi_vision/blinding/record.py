"""What the log of a key tells of files, for who has the key: which lines name one, and what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masi_vision.blinding.key import Key
from masi_vision.errors import BlindingError, reason_of

FINGERPRINTS = "hmac_sha256"
"""Under this name stand the fingerprints of a line, by what was done with the files."""


def content_of(file: Path) -> bytes:
    """What a file holds that goes on record.

    Raises
    ------
    BlindingError
        It cannot be read, or is a pipe, of which nobody can say later what it held.
    """
    try:
        if file.exists() and not file.is_file():
            raise OSError("no regular file")
        return file.read_bytes()
    except OSError as error:
        raise BlindingError(
            f"{file} cannot be read ({reason_of(error)}). Expected a file, for its hash goes on record. Look "
            "for a misspelt name."
        ) from error


@dataclass(frozen=True)
class Record:
    """The log of a key, as who has the key reads it.

    Parameters
    ----------
    entries : sequence of mapping
        Its lines.
    """

    key: Key
    entries: Sequence[Mapping[str, Any]]

    def lines_naming(self, content: bytes) -> list[str]:
        """The lines that hold the fingerprint or SHA-256 of a file, and for what, as a person reads them."""
        sought = self._digests(content)
        return [
            f"line {number} of {entry['utc']} ({entry['what']}): {', '.join(found)}"
            for number, entry in enumerate(self.entries, 1)
            if entry.get("set") == self.key.set_id and (found := list(_held(entry, sought)))
        ]

    def wrote(self, file: Path) -> bool:
        """Whether a call of this key wrote a file of this name with this content."""
        written = {
            at.get("written", {}).get(file.name)
            for entry in self.entries
            if entry.get("set") == self.key.set_id
            for at in (entry, entry.get(FINGERPRINTS, {}))  # an earlier version noted plain hashes
        } - {None}
        return bool(written) and not self._digests(content_of(file)).isdisjoint(written)

    def _digests(self, content: bytes) -> set[str]:
        return {self.key.fingerprint(content), hashlib.sha256(content).hexdigest()}


def _held(facts: Mapping[str, Any], sought: set[str], *within: str) -> Iterator[str]:
    """Where among the facts of a line one of these hashes stands: ``written reads.csv``."""
    for name, value in facts.items():
        place = within if name == FINGERPRINTS else (*within, name)
        if isinstance(value, Mapping):
            yield from _held(value, sought, *place)
        elif isinstance(value, str) and value in sought:
            yield " ".join(place)
