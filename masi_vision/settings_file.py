"""A file of settings: YAML, read strictly; what is wrong with it names every key that does not fit."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from masi_vision.errors import SettingsError, reason_of


class Section(BaseModel):
    """Keys of a file of settings: no key may lack or be unknown, no value of another kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, which are checked like those of a file; pydantic's own checks nothing."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate(values | dict(update or {}))


def differing(
    before: Mapping[str, Any], now: Mapping[str, Any], above: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Keys that two settings have otherwise, with those above them, and both values, None where one lacks."""
    for key in sorted(before.keys() | now.keys()):
        one, other = before.get(key), now.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            yield from differing(one, other, f"{above}{key}.")
        elif one != other:
            yield f"{above}{key}", one, other


_Kind = TypeVar("_Kind", bound=Section)


def checked(
    kind: type[_Kind],
    values: Mapping[Any, Any],
    file: Path | str,
    shipped: str,
    misplaced: Mapping[str, Iterable[str]] | None = None,
) -> _Kind:
    """Values of a settings file as the settings they are.

    Parameters
    ----------
    kind : type of Section
    file : path or str
        Where they are from, for the message.
    shipped : str
        The file in configs/ that explains them.
    misplaced : mapping of str to iterable of str, optional
        What to say of a file that holds keys of another kind of file, and those keys.

    Raises
    ------
    SettingsError
        Naming every key that does not fit.
    """
    try:
        plain = json.dumps(values, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"{file} does not hold usable settings ({error}). Expected text and numbers, as in the shipped "
            f"configs/{shipped}. Correct the file."
        ) from error
    try:
        return kind.model_validate_json(plain)
    except ValidationError as error:
        problems = "\n".join(f"  {_sentence(problem, kind, shipped)}" for problem in error.errors())
        what = "option" if str(file).startswith("--") else "file"
        other = {one["type"] for one in error.errors()} & {"missing", "extra_forbidden"}
        hint = " A file of another version of masi_vision has other keys." if other else ""
        for words, keys in (misplaced or {}).items():
            hint = words if values.keys() & set(keys) else hint
        raise SettingsError(
            f"{file} does not hold usable settings:\n{problems}\n"
            f"Correct the {what}; the shipped configs/{shipped} explains every value.{hint}"
        ) from error


_MORE_THAN_TEXT = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "null", "timestamp")}
"""What YAML takes words such as no and off for, and days."""


_DECIMAL = re.compile(
    r"[-+]?(0|[1-9][0-9]*)|[-+]?([0-9]+\.[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|[-+]?\.(inf|nan)", re.I
)
"""A number as it is read everywhere. YAML takes 010 for 8, 1:30 for 90, 0x1F for 31 and 1_0 for 10."""


class _UnusableYaml(Exception):
    """YAML that is none of ours: says what."""


class _StrictLoader(yaml.SafeLoader):
    """YAML as usual, but a key given twice is an error, where PyYAML silently takes the last.

    So is an alias: a few that name one another come to more values than the memory holds.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()  # type: ignore[no-untyped-call]
            raise _UnusableYaml(
                f"line {alias.start_mark.line + 1} repeats what stands elsewhere, by *{alias.anchor}. "
                "Expected every value written out. Write it there again; a text that begins with * needs "
                "quotation marks."
            )
        return super().compose_node(parent, index)

    def decimal(self, node: yaml.ScalarNode) -> float:
        """A number that says what it is."""
        read = self.construct_yaml_int if node.tag.endswith(":int") else self.construct_yaml_float
        value: float = read(node)
        if not _DECIMAL.fullmatch(node.value):
            raise _UnusableYaml(
                f"line {node.start_mark.line + 1} has {node.value}, which YAML reads as {value:g}. Expected "
                "a decimal number without zeros in front, as 8, 0.5 or 5.0e-4. Write it so; a text, as the "
                "name of a visit, needs quotation marks."
            )
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        for key, _ in node.value:
            if key.tag in _MORE_THAN_TEXT:
                raise _UnusableYaml(
                    f"the key {key.value!r} in line {key.start_mark.line + 1} is no text to YAML. Expected "
                    "text. Put it into quotation marks."
                )
        if len(mapping) < len(node.value):
            raise yaml.YAMLError(f"a key stands twice in the block at line {node.start_mark.line + 1}")
        return mapping


for _kind in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _StrictLoader.decimal)


def read_yaml(file: Path) -> dict[Hashable, Any]:
    """Keys and values of a YAML file.

    Raises
    ------
    SettingsError
        It cannot be read, or is not YAML of keys and values, each key once.
    """
    try:
        values = yaml.load(file.read_text(encoding="utf-8-sig"), Loader=_StrictLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{file} cannot be read ({reason_of(error)}). Expected a YAML file in UTF-8"
            + (", and PowerShell's > writes UTF-16." if isinstance(error, UnicodeDecodeError) else ".")
        ) from error
    except _UnusableYaml as error:
        raise SettingsError(f"{file} cannot be used: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingsError(f"{file} is not YAML: {error}. Compare it with the shipped configs.") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{file} holds no settings. Expected keys and values, as in the shipped configs.")
    return values


_EXPECTED = {
    "tuple_type": "a list in square brackets",
    "list_type": "a list in square brackets",
    "model_type": "keys and values, as in the shipped file",
    "dict_type": "keys and values, as in the shipped file",
    "string_pattern_mismatch": "words of letters and digits",
    "string_too_short": "at least {min_length} characters",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
}
"""What pydantic says in its own terms, by its kind of error, in those of a settings file."""


def _may_be_null(kind: object, key: Sequence[object]) -> bool:
    for part in key:
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        if part not in fields:
            return False
        kind = fields[str(part)].annotation
    return type(None) in get_args(kind)


def _sentence(problem: ErrorDetails, kind: type[Section], shipped: str) -> str:
    key = ".".join(str(part) for part in problem["loc"]).removesuffix(".[key]")
    if problem["type"] == "missing":
        return f"{key}: found nothing. Expected a value."
    if problem["type"] == "extra_forbidden":
        return f"{key}: found a key that is not a setting. Expected only the keys of configs/{shipped}."
    if not key:
        return f"Expected {problem['msg'].removeprefix('Value error, ')}."
    said = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    ours = _EXPECTED.get(problem["type"])
    expected = said if ours is None else ours.format(**problem.get("ctx", {}))
    if _may_be_null(kind, problem["loc"]):
        expected += ", or null"
    hint = ""
    given = problem["input"]
    if isinstance(given, str) and re.fullmatch(r"[-+]?[0-9]+e[-+]?[0-9]+", given, re.IGNORECASE):
        hint = " YAML takes it for text: write it with a point, as 5.0e-4."
    return f"{key}: found {json.dumps(problem['input'])}. Expected {expected}.{hint}"
