"""What a trial compares, and how: endpoint, visits, control, classes; written down before anybody looks."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from masi_vision.settings_file import Section, checked, read_yaml
from masi_vision.shipped import shipped_file
from masi_vision.stats.ancova import Multiplicity
from masi_vision.stats.verdicts import Adjudicated

_Share = Annotated[float, Field(gt=0, le=1)]


class OutcomeProtocol(Section):
    """What `configs/outcome.yaml` says, key by key.

    Parameters
    ----------
    endpoint : str
        Column of the table.
    adjudicated : {"ignored", "replaces"}
        Whether the endpoint of a unit that went to an adjudicator is the adjudicator's.
    baseline, primary, control : str
        Names of two visits and an arm.
    visits : list of str or None
        Visits after the baseline that the model of all visits has, as they follow each other; None takes all
        but the baseline.
    strata : list of str
        Columns of the allocation that the analyses have as factors beside the arm, as the centre.
    classes : dict
        Least improvement rate of every class, from the best down.
    others : dict
        Further outcomes and their least and greatest value.
    high_is : dict
        Of a further outcome, whether a high value is better or worse; nobody knows of one that lacks.
    """

    endpoint: str
    adjudicated: Adjudicated = "ignored"  # as of visits
    baseline: str
    primary: str
    control: str
    visits: list[str] | None = None  # protocols of before have no such key, and their hash stays
    strata: list[str] = Field(default_factory=list)  # as of visits
    multiplicity: Multiplicity
    classes: dict[str, _Share]
    responder: _Share
    others: dict[str, tuple[float, float]]
    high_is: dict[str, Literal["better", "worse"]] = Field(default_factory=dict)  # as of visits

    @property
    def course(self) -> list[str]:
        """The visits that it names, as they follow each other; the baseline alone where it lists none."""
        return [self.baseline, *(self.visits or ())]

    @property
    def sha256(self) -> str:
        """Hash of every value."""
        before: dict[str, object] = {"visits": None, "adjudicated": "ignored", "high_is": {}, "strata": []}
        values = self.model_dump(
            mode="json", exclude={name for name, value in before.items() if getattr(self, name) == value}
        )
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()

    @model_validator(mode="after")
    def _in_order(self) -> OutcomeProtocol:
        rates = list(self.classes.values())
        if rates != sorted(rates, reverse=True) or len(set(rates)) < len(rates):
            raise ValueError("classes must fall from the best down")
        if self.baseline == self.primary:
            raise ValueError("baseline and primary must be two visits")
        if self.visits is not None and (self.primary not in self.visits or self.baseline in self.visits):
            raise ValueError("visits must hold the primary one and not the baseline")
        if len(set(self.strata) - {"patient", "arm"}) < len(self.strata):
            raise ValueError("strata must name each column once, and neither patient nor arm")
        if self.adjudicated == "replaces" and self.endpoint != "mmasi":
            raise ValueError("adjudicated: replaces is of reads, whose endpoint is mmasi")
        if wrong := [name for name, (low, high) in self.others.items() if low >= high]:
            raise ValueError(f"others to have the least value before the greatest, not as {', '.join(wrong)}")
        if unknown := sorted(self.high_is.keys() - self.others.keys()):
            raise ValueError(f"high_is to name outcomes that others has, not {', '.join(unknown)}")
        return self


def load_outcome_protocol(file: Path | None = None) -> OutcomeProtocol:
    """What is compared, as a file says it; None: the shipped one.

    Raises
    ------
    SettingsError
        A key lacks, is unknown or does not fit.
    """
    place = file or shipped_file("configs", "outcome.yaml")
    return checked(OutcomeProtocol, read_yaml(place), place, "outcome.yaml")
