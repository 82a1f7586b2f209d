"""Protocols: the shipped one, and what is wrong in another; when two reads differ too much."""

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra review")

from masi_vision.errors import SettingsError
from masi_vision.review.grades import Reading, discordance
from masi_vision.review.protocol import load_reading_protocol
from masi_vision.scale import MASI_REGIONS
from masi_vision.shipped import shipped_file

SHIPPED = shipped_file("configs", "protocol.yaml")


def test_the_shipped_protocol_is_read_and_its_hash_is_of_its_values(tmp_path):
    again = tmp_path / "mine.yaml"
    again.write_text("# mine\n" + SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_reading_protocol(again).sha256 == load_reading_protocol().sha256
    again.write_text(SHIPPED.read_text(encoding="utf-8").replace("parts: 3", "parts: 2"), encoding="utf-8")
    assert load_reading_protocol(again).sha256 != load_reading_protocol().sha256


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("software: never", "software: sometimes", "software"),
        ("units: 40", "units: 0", "session.units"),
        ("parts: 3", "parts: three", "parts"),
        ("[en, zh]", "[fr]", "languages"),
        ("homogeneity: false", "homogenity: false", "homogenity"),
        ("days_between_parts: 14", "days_between_parts: 3000000", "days_between_parts"),
        ("pause_minutes: 15", "pause_minutes: 1e12", "session.pause_minutes"),
        ("idle_minutes: 30", "idle_minutes: 0", "session.idle_minutes"),
    ],
)
def test_a_value_that_does_not_fit_is_named(tmp_path, old, new, named):
    file = tmp_path / "mine.yaml"
    file.write_text(SHIPPED.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(SettingsError, match=named):
        load_reading_protocol(file)


def read(area, darkness, **of):
    grades = {region: {"area": area, "darkness": darkness} for region in MASI_REGIONS}
    for region, (a, d) in of.items():
        grades[region] = {"area": a, "darkness": d}
    return Reading(grades)


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        (read(2, 2), read(2, 2), False),
        (read(2, 2), read(2, 3), False),  # 4.0 and 6.0: two points are not more than two
        (read(2, 3), read(3, 3), True),  # 6.0 and 9.0: three points, 40 % of the mean
        (read(5, 4), read(6, 4), False),  # 20.0 and 24.0: four points, 18 % of the mean
        (read(2, 2), read(2, 2, chin=(4, 2)), True),  # 0.4 points, but two grades
        (read(2, 1), read(2, 1, chin=(2, 3)), True),
        (read(2, 2, chin=(1, 2)), read(2, 2, chin=(0, 0)), False),  # no darkness without pigment
        (read(2, 2), Reading(ungradable="other"), True),
        (Reading(ungradable="other"), Reading(ungradable="skin covered"), False),
    ],
)
def test_two_reads_differ_too_much_by_score_or_by_grade(one, other, differ):
    assert bool(discordance(one, other, load_reading_protocol())) is differ
    assert bool(discordance(other, one, load_reading_protocol())) is differ
