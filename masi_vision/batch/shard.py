"""One part of a study that is split without a scheduler."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from masi_vision.batch.study import StudyVisit


@dataclass(frozen=True)
class Shard:
    """Part `number` of `of`, from 1 on."""

    number: int
    of: int

    def __post_init__(self) -> None:
        """Refuse a part that is none."""
        if not 1 <= self.number <= self.of:
            raise ValueError(f"a shard must be one of 1/{self.of} to {self.of}/{self.of}, got {self}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read I/N."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found:
            raise ValueError(f"a shard must be I/N such as 3/16, got {text!r}")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        """I/N."""
        return f"{self.number}/{self.of}"

    def holds(self, visit: StudyVisit) -> bool:
        """Whether a visit belongs to this part: by its name, so that another new visit moves none."""
        digest = sha256(f"{visit.patient}/{visit.visit}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1
