"""The audit trail: whatever is altered, removed or put elsewhere is found."""

import random
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra review")

from typer.main import get_command

from masi_vision.cli.main import app
from masi_vision.review.accounts import LEAST_PASSWORD
from masi_vision.review.audit import COLUMNS, START, faults, row_hash
from masi_vision.review.export import READ_COLUMNS
from masi_vision.review.tables import Account
from masi_vision.review.texts import RefusedError, texts
from masi_vision.scale import MASI_REGIONS

PAGE = (Path(__file__).parents[2] / "docs" / "review.md").read_text(encoding="utf-8")


@pytest.fixture
def written():
    """200 rows as `note` writes them, and the head."""
    rng, before, rows = random.Random(4), START, []
    for number in range(1, 201):
        row = {name: f"{name} {rng.random():.6f}" for name in COLUMNS} | {"number": number}
        row["hash"] = before = row_hash(row, before)
        rows.append(row)
    return rows, SimpleNamespace(number=200, hash=before)


def found(rows, head):
    return list(faults([SimpleNamespace(**row) for row in rows], head))


def test_a_trail_as_it_was_written_has_no_fault(written):
    assert found(*written) == []


def test_any_changed_letter_of_any_row_is_found(written):
    rows, head = written
    rng = random.Random(9)
    for row in rows:
        name = rng.choice([*COLUMNS[1:], "hash"])
        at = rng.randrange(len(row[name]))
        changed = row[name][:at] + chr(ord(row[name][at]) ^ 1) + row[name][at + 1 :]
        other = [one if one is not row else row | {name: changed} for one in rows]
        assert found(other, head), (row["number"], name)


def test_a_row_that_is_removed_moved_or_doubled_is_found(written):
    rows, head = written
    for at in range(200):
        assert found(rows[:at] + rows[at + 1 :], head), at
    for at in range(199):
        swapped = [*rows[:at], rows[at + 1], rows[at], *rows[at + 2 :]]
        assert found(swapped, head), at
        renumbered = [row | {"number": number} for number, row in enumerate(swapped, 1)]
        assert found(renumbered, head), at
    assert found([*rows, rows[-1]], head)


def test_rows_moved_between_columns_are_found(written):
    rows, head = written
    row = rows[50]
    moved = row | {"old": row["old"] + row["new"], "new": ""}
    assert found([*rows[:50], moved, *rows[51:]], head)


def test_both_languages_have_the_same_words():
    assert set(texts("en")) == set(texts("zh"))
    for part in ("reasons", "moves", "meanings", "refusals", "roles", "flags"):
        assert set(texts("en")[part]) == set(texts("zh")[part])


def facts_in(words):
    """What stands in every sentence, by its key."""
    if not isinstance(words, dict):
        return sorted(re.findall(r"{\w+}", str(words)))
    return {key: facts_in(value) for key, value in words.items() if key != "signed"}


def test_a_sentence_has_the_same_facts_in_both_languages_and_chinese_has_its_own_marks():
    assert facts_in(texts("en")) == facts_in(texts("zh"))
    chinese = str(texts("zh")).replace("', '", "").replace("': '", "")
    assert re.findall("[一-鿿][,;:.]|[,;:.][一-鿿]", chinese) == []


def test_every_flag_of_a_region_has_its_words():
    page = (Path(__file__).parents[2] / "docs/outputs.md").read_text(encoding="utf-8")
    rows = page.partition("#### Flags\n")[2].partition("\n### ")[0].splitlines()
    flags = {flag for row in rows for flag in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")}
    assert flags - {"flag", "no_photo", "out_of_focus"} == set(texts("en")["flags"])


def test_a_refusal_names_what_lacks_in_the_language_of_the_page():
    refused = RefusedError("not_graded", lacks=["chin area", "right_malar darkness"])
    assert "Not graded yet: chin area, right cheek (the patient's) darkness." in str(refused)
    said = refused.words("zh")
    assert said.startswith("尚未评分：下颏面积、右颊部（患者右侧）颜色深度。")
    assert not any(letter.isascii() and letter.isalpha() for letter in said)


def test_what_is_no_term_of_the_page_stays_as_it_is():
    refused = RefusedError("photo_unreadable", code=["CHIN2"], view=["front"], cause=["No such area"])
    assert str(refused).startswith("CHIN2, front, cannot be read (No such area).")


def test_every_column_of_both_tables_is_explained():
    names = {*READ_COLUMNS, *COLUMNS, "hash"}
    for region in MASI_REGIONS:
        names = {name.replace(f"{region}_", "REGION_") for name in names} | {region}
    assert [name for name in sorted(names) if f"`{name}`" not in PAGE] == []


def test_the_clauses_on_signatures_name_columns_of_reads_and_where_the_signer_s_name_is():
    section = PAGE.partition("## 21 CFR 11, clause by clause")[2].partition("\n## ")[0]
    rows = {line.split("|")[1].split()[0]: line for line in section.splitlines() if line.startswith("| 11.")}
    parts = [f"11.10({letter})" for letter in "abcdefg"]
    assert list(rows) == [*parts, "11.10(h)-(k),", "11.50", "11.70", "11.100", "11.200", "11.300"]
    named = set(re.findall(r"`([a-z0-9_]+)`", rows["11.50"] + rows["11.70"]))
    assert named == {"locked_utc", "signed_by", "meaning", "sha256"} <= {*READ_COLUMNS}
    told = {column.name for column in Account.__table__.columns if "name" in column.name}
    assert told == {"name", "list_name"}  # a field for the printed name would make 11.50 say otherwise
    assert f"{LEAST_PASSWORD} characters" in rows["11.300"]


def test_every_option_is_explained():
    verbs, asked = [get_command(app).commands[name] for name in ("review", "audit")], set()
    while verbs:
        verb = verbs.pop()
        verbs += getattr(verb, "commands", {}).values()
        asked |= {one for option in verb.params for one in (*option.opts, *option.secondary_opts)}
    assert {one for one in asked if one.startswith("--")} - set(re.findall(r"--[a-z-]+", PAGE)) == set()
