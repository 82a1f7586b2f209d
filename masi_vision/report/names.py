"""File names made of the names of patients and visits, safe on every file system and never the same."""

from __future__ import annotations

import unicodedata

_LONGEST_BYTES = 160  # file systems take 255; the view, an ending and a number come on top
_FORBIDDEN = set('<>:"/\\|?*;')
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


class FileNames:
    """Gives each visit a file name of its own."""

    def __init__(self) -> None:
        """Begin with none taken."""
        self._taken: set[str] = set()

    def of(self, patient: str, visit: str) -> str:
        """PATIENT_VISIT, numbered from the second that would be the same on some file system."""
        plain = safe_name("_".join(part for part in (patient, visit) if part))
        name, number = plain, 1
        while name.casefold() in self._taken:
            number += 1
            name = f"{plain}-{number}"
        self._taken.add(name.casefold())
        return name


def safe_name(text: str) -> str:
    """The text as a file name: other scripts stay, what some file system forbids becomes "-"."""
    composed = unicodedata.normalize("NFC", text)
    letters = "".join("-" if c in _FORBIDDEN or not c.isprintable() else c for c in composed)
    name = letters.encode()[:_LONGEST_BYTES].decode(errors="ignore").strip(" .") or "visit"
    return f"{name}-" if name.partition(".")[0].casefold() in _RESERVED else name
