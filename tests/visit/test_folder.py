"""Visits are found in whatever a clinic calls its files and folders."""

import os
import random
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.config import ViewSettings, load_settings
from masi_vision.names import natural_key
from masi_vision.visit import folder as folders
from masi_vision.visit.folder import find_visits, one_visit, spelled_in_two_ways, views_told

WORDS = load_settings().views


def photos(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def found(*paths):
    return find_visits(paths, WORDS)


def names(*paths):
    return [(visit.patient, visit.visit) for visit in found(*paths)]


def views(visit):
    return {view: photo.name for view, photo in visit.photos.items()}


def test_a_study_holds_patients_and_their_visits_in_the_order_people_count(tmp_path):
    for visit in ("P2/visit10", "P2/visit2", "P10/visit1"):
        photos(tmp_path / visit, "front.jpg")
    assert names(tmp_path) == [("P2", "visit2"), ("P2", "visit10"), ("P10", "visit1")]


def test_sites_above_the_patients_are_part_of_the_patient(tmp_path):
    photos(tmp_path / "Lyon/P01/V1", "front.jpg")
    photos(tmp_path / "Pune/P01/V1", "front.jpg")
    assert names(tmp_path) == [("Lyon/P01", "V1"), ("Pune/P01", "V1")]


def test_a_visit_whose_photos_are_missing_has_its_row(tmp_path):
    photos(tmp_path / "P1/V1", "front.jpg")
    photos(tmp_path / "P1/V2")
    photos(tmp_path / "P2/V1", "notes.txt")
    photos(tmp_path / "protocol")
    assert names(tmp_path) == [("P1", "V1"), ("P1", "V2"), ("P2", "V1")]
    assert [one.problem and one.problem.reason for one in found(tmp_path)] == [None, "no_photo", "no_photo"]


def test_a_folder_whose_names_tell_views_is_one_visit(tmp_path):
    photos(tmp_path / "V1", "P01_FRONT.JPG", "left-2.png", "Right.tiff")
    (visit,) = found(tmp_path / "V1")
    assert (visit.patient, visit.visit, visit.problem) == ("", "V1", None)
    assert views(visit) == {"front": "P01_FRONT.JPG", "left": "left-2.png", "right": "Right.tiff"}


def test_a_lone_photo_is_the_front_of_a_visit_named_by_its_folder(tmp_path):
    (visit,) = found(photos(tmp_path / "V1", "DSC0001.jpg"))
    assert (visit.visit, views(visit)) == ("V1", {"front": "DSC0001.jpg"})


def test_a_set_of_photos_is_a_visit_each(tmp_path):
    assert names(photos(tmp_path / "set", "b.jpg", "a.jpg", "ünï 皮膚.png")) == [
        ("", "a"),
        ("", "b"),
        ("", "ünï 皮膚"),
    ]


def test_photos_of_a_set_that_share_a_stem_keep_their_endings(tmp_path):
    assert names(photos(tmp_path / "set", "a.jpg", "a.png", "b.png")) == [
        ("", "a.jpg"),
        ("", "a.png"),
        ("", "b"),
    ]


def test_a_file_is_a_front_photo_of_its_own_and_says_so_if_its_name_tells_a_side(tmp_path):
    photos(tmp_path, "left.jpg", "front.jpg")
    side, front = found(tmp_path / "left.jpg", tmp_path / "front.jpg")
    assert (side.visit, views(side)) == ("left", {"front": "left.jpg"})
    assert "scored alone, as a front" in side.remarks[0]
    assert front.remarks == ()


def test_two_photos_of_one_view_make_the_visit_ambiguous(tmp_path):
    (visit,) = found(photos(tmp_path / "V1", "front.jpg", "front_2.jpg", "left.jpg"))
    assert (visit.problem.reason, visit.photos) == ("ambiguous_view", {})
    assert "2 photos of the front view: front_2.jpg, front.jpg" in visit.problem.message
    assert {view: photo.name for view, photo in visit.unscored.items()} == {"left": "left.jpg"}


def test_a_photo_that_tells_two_views_makes_the_visit_ambiguous(tmp_path):
    (visit,) = found(photos(tmp_path / "V1", "front_left.jpg", "right.jpg"))
    assert visit.problem.reason == "ambiguous_view"


def test_a_photo_that_tells_no_view_among_others_that_do_is_passed_over_aloud(tmp_path):
    (visit,) = found(photos(tmp_path / "V1", "front.jpg", "IMG_7.jpg"))
    assert views(visit) == {"front": "front.jpg"}
    assert visit.remarks == (
        "IMG_7.jpg was passed over: its name tells no view. "
        "If it is another view, name it left.jpg or right.jpg.",
    )
    assert visit.passed_over == ("IMG_7.jpg",)


def test_a_photo_is_offered_the_views_that_are_missing_and_no_other(tmp_path):
    """Whose name tells no view may be any of those: to offer a side that is there would exchange the two."""
    for number, (there, offered) in enumerate(
        [
            (("left",), "name it front.jpg or right.jpg."),
            (("front", "left"), "name it right.jpg."),
            (("right",), "name it front.jpg or left.jpg."),
        ]
    ):
        named = [f"{view}.jpg" for view in there]
        (visit,) = found(photos(tmp_path / str(number), *named, "Rechts.JPEG"))
        assert visit.remarks[0].endswith(offered)
    (whole,) = found(photos(tmp_path / "all", "front.jpg", "left.jpg", "right.jpg", "IMG_1.jpg"))
    assert whole.remarks == (
        "IMG_1.jpg was passed over: its name tells no view. The visit has all its views.",
    )


@pytest.mark.parametrize("name", ["front.jpg.txt", "front", "P1_front.jpg_"])
def test_a_file_called_as_a_view_that_is_missing_and_no_photo_by_its_ending_is_told(tmp_path, name):
    (visit,) = found(photos(tmp_path / "P1/V1", "left.jpg", name, "notes.txt", "left.xmp"))
    assert visit.passed_over == (name,)
    assert visit.remarks == (
        f"{name} was passed over: its name ends as no photo's does. "
        "If it is one, end it as the camera did, such as .jpg.",
    )
    (alone,) = found(photos(tmp_path / "S/P1/V2", name, "notes.txt").parents[1])
    assert f"{name}: its name ends as no photo's does." in alone.problem.message
    (there,) = found(photos(tmp_path / "P1/V3", "front.jpg", name))
    assert there.remarks == there.passed_over == ()


def test_photos_of_a_visit_that_tell_no_views_are_visits_of_their_own_and_say_so(tmp_path):
    photos(tmp_path / "STUDY" / "P01" / "v1", "IMG_1.jpg", "IMG_2.jpg")
    for visit in found(tmp_path / "STUDY"):
        assert "v1 holds 2 photos whose names tell no view" in visit.remarks[0]
    assert not any(visit.remarks for visit in found(tmp_path / "STUDY" / "P01" / "v1"))


@pytest.mark.parametrize("stem", ["front", "P01_Front", "front2", "01front", "x-FRONT.v2", "frontal"])
def test_words_tell_the_view_between_anything_but_letters(stem):
    assert views_told(stem, WORDS) == ["front"]


@pytest.mark.parametrize("stem", ["confront", "leftover", "Wright", "fronts", ""])
def test_a_word_within_a_word_tells_no_view(stem):
    assert views_told(stem, WORDS) == []


def test_a_word_of_the_site_may_end_in_a_digit_or_be_written_in_another_script():
    words = ViewSettings(front=("正面",), left=("l45",), right=("gauche_é",))
    assert views_told("P1_l45", words) == ["left"]
    assert views_told("P1_l450", words) == []
    assert views_told("王_正面_1", words) == ["front"]
    assert views_told("P1-GAUCHE_E\u0301", words) == ["right"]  # as macOS writes it


def test_a_look_at_a_study_asks_each_file_once_and_reads_the_words_once(tmp_path, monkeypatch):
    asked = []

    def told(stem, words):
        asked.append(stem)
        return views_told(stem, words)

    photos(tmp_path / "P1/V1", "front.jpg", "left.jpg", "odd.psd")
    photos(tmp_path / "P1/V2", "a.jpg", "b.jpg")
    before = found(tmp_path)
    monkeypatch.setattr(folders, "views_told", told)
    monkeypatch.setattr(folders, "_whole", None)
    assert found(tmp_path) == before
    assert sorted(asked) == ["a", "b", "front", "left", "odd"]


def test_what_programs_write_beside_a_photo_is_no_view(tmp_path):
    for name in ("front.jpg", "left.xmp", "right.aae", "left.JSON"):
        (tmp_path / name).touch()
    (visit,) = find_visits([tmp_path], WORDS)
    assert visit.remarks == visit.passed_over == ()


def test_hidden_files_results_and_other_files_are_passed_over(tmp_path):
    photos(tmp_path / "V1", "front.jpg", "._front.jpg", "notes.txt", "front.xmp")
    photos(tmp_path / ".cache", "front.jpg")
    photos(tmp_path / "results", "run.json")
    photos(tmp_path / "results/overlays", "V1_front.jpg")
    assert names(tmp_path) == [("", "V1")]


@pytest.mark.parametrize("name", ["front.jfif", "front.gif", "front.avif", "front.jxl"])
def test_a_picture_of_another_kind_is_no_missing_photo(tmp_path, name):
    """Reading it says why it cannot be scored, if it cannot."""
    (visit,) = found(photos(tmp_path / "V3", name))
    assert views(visit) == {"front": name}


def test_a_working_file_beside_the_photo_made_of_it_is_passed_over(tmp_path):
    (visit,) = found(photos(tmp_path / "V1", "front.jpg", "front.psd", "left.gif", "logo.gif"))
    assert views(visit) == {"front": "front.jpg", "left": "left.gif"}
    (lone,) = found(photos(tmp_path / "V2", "IMG_1.jpg", "IMG_1.psd", "logo.gif"))
    assert views(lone) == {"front": "IMG_1.jpg"}


def test_a_folder_without_photos_has_its_row(tmp_path):
    (visit,) = found(photos(tmp_path / "V3", "notes.txt"))
    assert (visit.visit, visit.problem.reason) == ("V3", "no_photo")


def test_a_folder_of_results_is_named_as_such(tmp_path):
    (visit,) = found(photos(tmp_path / "out", "run.json"))
    assert "holds results" in visit.problem.message


def test_a_path_that_is_not_there_has_its_row_and_names_no_folder_above(tmp_path):
    (visit,) = found(tmp_path / "secret" / "V9")
    assert (visit.visit, visit.problem.reason) == ("V9", "unreadable")
    assert "secret" not in visit.problem.message


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may open every folder")
def test_a_closed_folder_has_its_row(tmp_path):
    closed = photos(tmp_path / "P1/V1", "front.jpg")
    closed.chmod(0)
    (visit,) = found(tmp_path)
    closed.chmod(0o700)
    assert visit.problem.reason == "unreadable"


def test_the_same_path_twice_is_one_visit(tmp_path):
    study = photos(tmp_path / "S/P1/V1", "front.jpg").parents[1]
    assert names(study, study, study / "P1" / ".." / "P1") == [("P1", "V1")]
    assert names(study / "P1/V1/front.jpg", study / "P1/V1/front.jpg") == [("", "front")]


def test_visits_of_one_name_from_two_places_are_told_apart(tmp_path):
    first, second = (photos(tmp_path / place / "V1", "front.jpg") for place in "ab")
    visits = found(first, second)
    assert [visit.visit for visit in visits] == ["V1", "V1 (2)"]
    assert "Another visit is called V1" in visits[1].remarks[0]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
class TestLinks:
    def test_a_link_to_a_folder_above_ends(self, tmp_path):
        photos(tmp_path / "P1/V1", "front.jpg")
        (tmp_path / "P1/again").symlink_to(tmp_path, target_is_directory=True)
        assert names(tmp_path) == [("P1", "V1")]

    def test_a_coded_link_does_not_tell_where_it_leads(self, tmp_path):
        real = photos(tmp_path / "real/P1/V1", "front.jpg")
        coded = tmp_path / "coded"
        coded.mkdir()
        (coded / "C07").symlink_to(real, target_is_directory=True)
        (coded / "C31").symlink_to(real, target_is_directory=True)  # a hidden repeat is scored again
        assert names(coded) == [("", "C07"), ("", "C31")]
        assert names(coded / "C07") == [("", "C07")]

    def test_a_photo_whose_link_leads_nowhere_is_still_a_photo(self, tmp_path):
        visit = tmp_path / "V1"
        visit.mkdir()
        (visit / "front.jpg").symlink_to(tmp_path / "not-fetched")
        assert views(found(visit)[0]) == {"front": "front.jpg"}


def test_one_visit_refuses_a_study(tmp_path):
    photos(tmp_path / "S/P1/V1", "front.jpg")
    assert one_visit(tmp_path / "S", WORDS).visit == "V1"
    photos(tmp_path / "S/P1/V2", "front.jpg")
    with pytest.raises(ValueError, match=r"S holds 2 visits\. Expected one"):
        one_visit(tmp_path / "S", WORDS)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=12), st.integers())
def test_the_order_of_names_does_not_hang_on_the_order_the_disk_gives(some, seed):
    shuffled = some.copy()
    random.Random(seed).shuffle(shuffled)
    assert sorted(some, key=natural_key) == sorted(shuffled, key=natural_key)


def test_visits_that_an_analysis_refuses_as_one_are_told_where_the_study_is_walked():
    told = spelled_in_two_ways([("P1", "visit-6"), ("P2", "Visit_6"), ("P3", "visit-06"), ("P4", "visit-7")])
    assert [one.partition(" differ")[0] for one in told] == [
        "'Visit_6' and 'visit-06'",
        "'Visit_6' and 'visit-6'",
    ]
    assert spelled_in_two_ways([("1", "D1"), ("01", "D-1"), ("P1", "day 1"), ("P-1", "day -1")]) == []
