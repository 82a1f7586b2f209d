"""What is printed is whole, however narrow the terminal is."""

import io

import pytest
from rich.console import Console

from masi_vision.cli.screen import _region, print_table, regions_table
from masi_vision.report.tables import VisitRows

ROW = (
    *("MEL-2026-SITE03-PATIENT-0042", "week-24-follow-up", "scored, moderate", "12.3 (10.1-15.9)", "22.4"),
    *("2 x 2 23%?", "6 x 4 98%", "hidden", "1 x 1 <1%"),
)


@pytest.mark.parametrize("width", [40, *range(60, 101, 2), 140])
@pytest.mark.parametrize("row", [ROW, ("P1", "v1", *ROW[2:])], ids=["long names", "short names"])
def test_every_number_of_a_table_is_printed_whole(width, row):
    table = regions_table(("Patient", "Visit", "Status", "mMASI (90 %)", "MASI"), "What it means.")
    table.add_row(*row)
    stream = io.StringIO()
    print_table(Console(file=stream, width=width), table)
    words = stream.getvalue().split()
    for cell in row:
        assert [word for word in cell.split() if word not in words] == []
    assert "What it means." in stream.getvalue()


@pytest.mark.parametrize(
    ("flag", "mark"),
    [
        *(("", ""), ("other_view", ""), ("views_unlike", "?"), ("undecided", "?"), ("disagreement", "?")),
        *(("undecided;disagreement", "?"), ("other_view;undecided", "?")),
    ],
)
def test_a_region_of_which_the_picture_is_to_be_looked_at_has_a_question_mark(flag, mark):
    region = {"area": 2, "darkness": 3, "pigmented_fraction": 0.2, "flag": flag}
    assert _region(VisitRows({}, (), {"regions": {"chin": region}}), "chin") == f"2 x 3 20%{mark}"


@pytest.mark.parametrize("fraction", [None, 0.02])
def test_a_region_without_a_grade_says_why_also_where_nothing_of_it_is_seen(fraction):
    region = {"area": None, "pigmented_fraction": fraction, "flag": "region_hidden"}
    rows = VisitRows({}, (), {"regions": {"forehead": region}})
    assert _region(rows, "forehead") == "hidden"
    assert _region(rows, "chin") == ""
