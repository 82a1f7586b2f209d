"""The words below the faces of a contact sheet."""

import pytest

from masi_vision.config import load_settings
from masi_vision.errors import NotScorable
from masi_vision.report.picture import ascii_text, drawn_names
from masi_vision.report.quality import _FOUND, _LINE, CheckedPhoto, _short
from masi_vision.visit.quality import Finding


def checked(*findings, problem=None):
    return CheckedPhoto("P", "v", "front", "front.jpg", None, findings, problem)


def failed(check, region=None):
    return Finding(check, region, "fail", 0.0, 0.7, 0.5, "")


def test_a_check_is_told_once_with_the_regions_that_fail_it():
    told = _short(checked(failed("visible_fraction", "chin"), failed("visible_fraction", "left_malar")))
    assert told == ["fail", "hidden: chin, left malar"]
    assert _short(checked(problem=NotScorable("no_face", "None."))) == ["fail", "no face"]
    assert _short(checked()) == ["pass"]


@pytest.mark.parametrize(
    ("turned", "words"), [(-42.0, "the other side"), (4.0, "turned too little"), (-9.0, "turned too little")]
)
def test_a_side_view_of_the_other_side_is_called_so(turned, words):
    found = Finding("yaw_deg_oblique_least", None, "fail", turned, 25, 15, "")
    assert _short(checked(found)) == ["fail", words]


def test_what_does_not_fit_two_lines_ends_with_dots():
    regions = ("forehead", "right_malar", "left_malar", "chin")
    many = [failed(check, one) for check in ("clipped_fraction", "visible_fraction") for one in regions]
    lines = _short(checked(*many))[1:]
    assert len(lines) == 2
    assert lines[1].endswith(" ...")
    assert max(map(len, lines)) <= _LINE


def test_every_check_with_a_limit_has_words():
    limits = {name for name, one in load_settings().quality if hasattr(one, "fail")}
    assert limits <= set(_FOUND)


@pytest.mark.parametrize(("name", "told"), [("Jürgen", "Jurgen"), ("Søren", "S?ren"), ("患者", "??")])
def test_names_keep_their_letters_where_opencv_has_them(name, told):
    assert ascii_text(name) == told


def test_names_of_another_script_are_told_apart_by_their_number():
    told = drawn_names(["基线", "week 4", "визит 2", "基线", "who?"])
    assert told == {
        "基线": "?? (no. 1)",
        "week 4": "week 4",
        "визит 2": "????? 2 (no. 3)",
        "who?": "who?",
    }
