"""Which names are one."""

import pytest

from masi_vision.names import spelled_alike, without_zeros


@pytest.mark.parametrize(
    ("name", "other"), [("001", "1"), ("P 007", "p7"), ("01-003", "1-3"), ("visit-01", "Visit-1")]
)
def test_a_spreadsheet_s_numbers_are_the_same_names(name, other):
    assert without_zeros(name) == without_zeros(other)
    assert spelled_alike([name, other]) == []  # in one table they may be two


@pytest.mark.parametrize(
    ("name", "other"), [("0.05 %", "0.5 %"), ("0,01", "0,1"), ("1.05", "1.5"), ("10", "1"), ("100", "10")]
)
def test_zeros_that_count_stay(name, other):
    assert without_zeros(name) != without_zeros(other)
    assert spelled_alike([name, other]) == []
