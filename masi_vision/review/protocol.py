"""The protocol of a reading: what is graded, when, and what readers may see."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from masi_vision.settings_file import Section, checked, read_yaml
from masi_vision.shipped import shipped_file

Language = Literal["en", "zh"]
_Count = Annotated[int, Field(ge=1)]
_Amount = Annotated[float, Field(ge=0)]
_Minutes = Annotated[float, Field(ge=0, le=525_600)]  # a year
_Reason = Annotated[str, Field(min_length=1)]


def _different(reasons: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(reasons)) < len(reasons):
        raise ValueError("every reason must be named once")
    return reasons


class SessionLimits(Section):
    """Against fatigue: units that may be locked in a session, the pause after it, and when it ends unused."""

    units: _Count
    pause_minutes: _Minutes
    idle_minutes: Annotated[float, Field(gt=0, le=525_600)]


class AdjudicationRule(Section):
    """By how much two reads must differ to go to the adjudicator: `masi_vision.review.grades.discordance`."""

    mmasi_points: _Amount
    mmasi_percent: _Amount
    area_grades: _Count
    darkness_grades: _Count


class SignInLimits(Section):
    """Wrong passwords before a name must wait, and minutes that it waits."""

    attempts: _Count
    minutes: _Minutes


class ReadingProtocol(Section):
    """What `configs/protocol.yaml` says, key by key.

    Parameters
    ----------
    homogeneity : bool
        Grade it too; MASI needs it.
    ungradable : tuple of str
        Reasons to choose from.
    software : {"never", "after_lock", "adjudicator"}
        Who sees the software's own score, once the whole list is locked (the adjudicator: everybody's).
    parts : int
        Into so many parts every reader's list is cut.
    days_between_parts : float
    """

    homogeneity: bool
    ungradable: Annotated[tuple[_Reason, ...], Field(min_length=1), AfterValidator(_different)]
    software: Literal["never", "after_lock", "adjudicator"]
    languages: Annotated[tuple[Language, ...], Field(min_length=1)]
    session: SessionLimits
    parts: _Count
    days_between_parts: Annotated[float, Field(ge=0, le=3650)]
    adjudication: AdjudicationRule
    sign_in: SignInLimits

    @cached_property
    def text(self) -> str:
        """Every value, as JSON."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @cached_property
    def sha256(self) -> str:
        """Hash of every value."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def grades(self) -> tuple[tuple[str, int], ...]:
        """What is graded in every region, and the highest grade."""
        homogeneity = (("homogeneity", 4),) if self.homogeneity else ()
        return (("area", 6), ("darkness", 4), *homogeneity)


def load_reading_protocol(file: Path | None = None) -> ReadingProtocol:
    """Read a protocol; the shipped one where none is named.

    Raises
    ------
    SettingsError
        Naming every key that does not fit.
    """
    place = file or shipped_file("configs", "protocol.yaml")
    return checked(ReadingProtocol, read_yaml(place), place, "protocol.yaml")
