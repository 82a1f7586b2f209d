"""The words of the pages, in English and Chinese."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from masi_vision.errors import ReadingError
from masi_vision.settings_file import read_yaml


class RefusedError(ReadingError):
    """What a reader asked for is refused; said in the languages of the page, in English elsewhere.

    Parameters
    ----------
    why : str
        Key of the sentence among `refusals` of the texts.
    facts : list of str
        What stands in it: terms of the texts, or several with spaces between, as "chin area".
    """

    def __init__(self, why: str, **facts: list[str]) -> None:
        self._why, self._facts = why, facts
        super().__init__(self.words("en"))

    def words(self, language: str) -> str:
        """The sentence in a language."""
        known = texts(language)

        def said(term: str) -> str:
            words = term.split()
            if not all(word in known for word in words):
                return term  # a code, a number, a cause in the system's own words
            return str(known["between_words"]).join(str(known[word]).lower() for word in words)

        between = str(known["between_things"])
        facts = {name: between.join(map(said, terms)) for name, terms in self._facts.items()}
        return str(known["refusals"][self._why]).format(**facts)


@lru_cache(maxsize=8)
def texts(language: str) -> dict[str, Any]:
    """The words of a language."""
    return {str(key): value for key, value in read_yaml(Path(__file__).parent / f"{language}.yaml").items()}
