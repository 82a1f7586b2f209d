"""Tables of other programs: read as they are meant, or refused in a sentence."""

import re

import pytest

from masi_vision.csv_table import csv_table, csv_text, guarded, number_in, read_csv, unguarded, whole_number
from masi_vision.errors import StatsError


def test_blank_lines_are_passed_over_and_lines_are_those_of_the_file():
    table = csv_table("a,b\n\n1,2\n,,\n\n3\n", "t.csv", StatsError)
    assert table.columns == ("a", "b")
    assert table.rows == ({"a": "1", "b": "2"}, {"a": "3", "b": ""})
    assert table.lines == (3, 6)


def test_cells_as_they_are_and_as_they_are_meant():
    table = csv_table('Patient , x\n \'-07 ," a\nb "\n', "t.csv", StatsError)
    assert table.rows == ({"Patient": " '-07 ", "x": " a\nb "},)
    assert table.plain_rows == ({"Patient": "-07", "x": "a\nb"},)
    assert csv_table("Patient\n1", "t.csv", StatsError, any_case=True).columns == ("patient",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,a\n1,2\n", "column 'a' twice"),
        ("a;b\n1;2\n", "parted by semicolons"),
        ("a\tb\n1\t2\n", "parted by tabs"),
        ("sep=,\na,b\n1,2\n", "begins with 'sep=,'. Expected the names of the columns"),
        ("# exported, 2026\na,b\n1,2\n", "begins with '# exported, 2026'. Expected the names"),
        ("a,b\n\n1,2,3\n", "line 3, has 3 cells for 2 columns"),
        ("a,b,c\n1,2,3\n4,5", "breaks off in line 3, after 2 of 3 cells"),
        ("a,b\r\n1,2\r\n4", "breaks off in line 3, after 1 of 2 cells"),
        ("a,settings_sha256\n1,2f\n4,2", "breaks off in line 3, after 2 of 2 cells"),
        ('a,b\n"1,' + "x" * 140_000, "no CSV table near line 2 .*quotation mark"),
    ],
)
def test_what_is_no_table_is_refused(text, said):
    with pytest.raises(StatsError, match=f"t.csv .*{said}|t.csv, {said}"):
        csv_table(text, "t.csv", StatsError)


@pytest.mark.parametrize("first", ["#", "#id"])
def test_a_column_may_be_called_by_the_sign_of_numbers(first):
    assert csv_table(f"{first},a\n1,2\n", "t.csv", StatsError).rows == ({first: "1", "a": "2"},)


def test_the_last_row_of_another_program_may_lack_cells_or_the_end_of_its_line():
    for text in ("a,b\n1\n", "a,b\r1\r", "a,b\n1,", "a,b\n1,2"):
        assert csv_table(text, "t.csv", StatsError).rows[0]["a"] == "1"


def test_a_table_that_cannot_be_read_says_what_to_do(tmp_path):
    with pytest.raises(StatsError, match="misspelt"):
        read_csv(tmp_path / "none.csv", StatsError)
    (tmp_path / "latin.csv").write_bytes("größe\n".encode("latin-1"))
    with pytest.raises(StatsError, match="CSV UTF-8"):
        read_csv(tmp_path / "latin.csv", StatsError)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16"),
        (b"PK\x03\x04\x14\0\x06\0\xff", r"a workbook \(.xlsx\)"),
        (b"PK\x03\x04plain", r"a workbook \(.xlsx\)"),
    ],
)
def test_what_excel_writes_beside_csv_is_told_by_its_name(tmp_path, content, said):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(StatsError, match=rf"t.csv cannot be read \({said}.* Save it as .CSV UTF-8"):
        read_csv(tmp_path / "t.csv", StatsError)


def test_a_column_in_capitals_is_told_by_its_name():
    table = csv_table("Patient,ARM\n1,2\n", "t", StatsError)
    with pytest.raises(StatsError, match=r"t has the column Patient, ARM\. Expected patient, arm, in small"):
        table.need(("patient", "arm"), StatsError, "Name the allocation.")


def test_a_lacking_column_is_named_beside_those_that_are_there():
    with pytest.raises(StatsError, match=r"t has no column c; it has a, b\. Expected a, c\. Do so\."):
        csv_table("a,b\n", "t", StatsError).need(("a", "c"), StatsError, "Do so.")


SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("before", ["", "P1;", "P1\t", "P1;'", "\t", ";;"])
def test_no_cell_begins_as_a_formula_however_a_spreadsheet_parts_them(sign, before):
    for part in re.split("[;\t]", guarded(f"{before}{sign}1+1")):
        assert not part.startswith(tuple(SIGNS))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "=1+1",
            "-07",
            "@home",
            "plain",
            "",
            "\uff1d1+1",
            "P1;=1+1",
            "P1\t+1",
            "P1;'=1",
            "=1;-1;2",
            "a; -b",
        ),
    ],
)
def test_a_guarded_name_comes_back(name):
    assert unguarded(guarded(name)) == name
    read = csv_table(csv_text(["name", "n"], [{"name": guarded(name), "n": 1}]), "t", StatsError)
    assert read.plain_rows[0]["name"] == name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("2.5", 2.5),
        (".5", 0.5),
        ("1e1", 10),
        ("1_0", None),
        ("nan", None),
        ("11", None),
        ("٣", None),
    ],
)
def test_numbers_are_those_that_every_program_reads(text, value):
    assert number_in(text, 0, 10) == value


def test_whole_numbers_may_have_a_point():
    assert [whole_number(text) for text in ("2", "2.0", "2.", "2.5", "-1", "")] == [2, 2, 2, None, None, None]
