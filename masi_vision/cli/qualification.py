"""The record of a self-test that a site keeps; docs/models.md has its keys."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from masi_vision.cli.checks import Check
from masi_vision.report.versions import library_versions
from masi_vision.source_code import code_sha256
from masi_vision.version import __version__


def qualification(
    checks: Sequence[Check],
    measured: Mapping[str, Mapping[str, float | None]],
    tolerances: Mapping[str, float],
    hashes: Mapping[str, str],
) -> dict[str, Any]:
    """When and where what was held against what, and whether all of it was as expected.

    Parameters
    ----------
    measured : mapping
        Name of each phantom to its numbers, as they were held against the expected ones.
    hashes : mapping
        Of settings, models and expected numbers.
    """
    return {
        "program": "masi_vision",
        "version": __version__,
        "code_sha256": code_sha256(),
        "made_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "platform": platform.platform(),
        "libraries": library_versions(),
        **{f"{what}_sha256": sha256 for what, sha256 in hashes.items()},
        "passed": all(passed for _, passed, _ in checks),
        "checks": [{"check": name, "passed": passed, "found": found} for name, passed, found in checks],
        "tolerances": dict(tolerances),
        "measured": {
            name: {key: _in_json(one) for key, one in numbers.items()} for name, numbers in measured.items()
        },
    }


def _in_json(number: float | None) -> float | str | None:
    """JSON has no number for what a broken installation may measure: "nan", "inf"."""
    return number if number is None or isfinite(number) else str(number)
