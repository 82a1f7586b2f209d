"""The visits of a study: by folders, by a manifest, by a listing."""

import os
from pathlib import Path

import pytest

from masi_vision.batch.address import is_remote, local_path
from masi_vision.batch.study import _beside, visits_of
from masi_vision.errors import StudyError
from masi_vision.visit.folder import find_visits, visits_among


def told(visits):
    return [(one.patient, one.visit, sorted(one.photos)) for one in visits]


def manifest(folder, *lines):
    file = folder / "study.csv"
    file.write_text("\n".join(["patient,visit,view,path", *lines]) + "\n", encoding="utf-8")
    return str(file)


def test_the_visits_of_a_folder_are_those_that_score_finds(four_visits, settings):
    found = visits_of(str(four_visits), settings.views)
    assert told(found) == [
        ("P01", "visit-1", ["front"]),
        ("P01", "visit-2", ["front"]),
        ("P01", "visit-3", ["front"]),
        ("P02", "visit-1", ["front"]),
    ]
    assert [one.name for one in found][:2] == ["P01_visit-1", "P01_visit-2"]
    assert told(visits_of(f"file://{four_visits}", settings.views)) == told(found)


def test_a_listing_has_the_visits_that_the_folder_has(tmp_path, settings):
    names = [
        "P2/v1/front.jpg",
        "P2/v1/left.jpg",
        "P10/v1/only.png",
        "P10/v2/a_front.jpg",
        "P10/v2/odd.jpg",
        "P10/v3/1.jpg",
        "P10/v3/2.jpg",
        "P1/v1/x_front.jpg",
        "P1/v1/y_front.jpg",
        "loose_right.jpg",
        ".hidden/v1/front.jpg",
        "old/run.json",
        "old/overlays/P1_front.jpg",
        "split/shards/0001-of-0002/run.json",
        "split/overlays/P1_front.jpg",
        "P1/notes.txt",
        "P3/v1/notes.txt",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    near = find_visits([tmp_path], settings.views)
    far = visits_among([Path(name) for name in names], settings.views, tmp_path.name)

    def facts(visits, root):
        return [
            (
                one.patient,
                one.visit,
                {v: p.relative_to(root) for v, p in one.photos.items()},
                str(one.problem),
            )
            for one in visits
        ]

    assert facts(near, tmp_path) == facts(far, "")


@pytest.mark.parametrize("names", [(), ("run.json",), ("P01/V1/notes.txt",)])
def test_what_holds_no_photo_says_so_near_and_far(tmp_path, settings, monkeypatch, names):
    """The results of another run in the working folder are nothing to a study elsewhere."""
    study, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    for file in (*(study / name for name in names), elsewhere / "P01/V1/run.json"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    study.mkdir(exist_ok=True)
    monkeypatch.chdir(elsewhere)
    near = find_visits([study], settings.views)
    far = visits_among([Path(name) for name in names], settings.views, "study")
    assert [(one.visit, str(one.problem)) for one in near] == [(one.visit, str(one.problem)) for one in far]
    assert len(near) == 1


def test_a_manifest_lists_visits_wherever_their_photos_lie(tmp_path, settings):
    file = manifest(
        tmp_path,
        "P2,month 6,left,photos/b.jpg",
        "P2,month 6,FRONT,photos/a.jpg",
        f"P1,baseline,front,{tmp_path / 'c.jpg'}",
        '"Ø, Æ",baseline,front,s3://bucket/d.jpg',
    )
    found = visits_of(file, settings.views)
    assert told(found) == [
        ("P2", "month 6", ["front", "left"]),
        ("P1", "baseline", ["front"]),
        ("Ø, Æ", "baseline", ["front"]),
    ]
    assert list(found[0].photos) == ["front", "left"]
    assert found[0].photos["left"] == str(tmp_path / "photos" / "b.jpg")
    assert found[2].photos["front"] == "s3://bucket/d.jpg"


def test_a_manifest_written_on_windows_is_read_elsewhere(tmp_path, settings):
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1" / "front.jpg").touch()
    (tmp_path / r"odd\name.jpg").touch()
    rows = manifest(tmp_path, r"P1,v1,front,P1\front.jpg", r"P1,v2,front,odd\name.jpg")
    photos = [Path(one.photos["front"]) for one in visits_of(rows, settings.views)]
    assert photos == [tmp_path / "P1" / "front.jpg", tmp_path / r"odd\name.jpg"]


def test_all_wrong_lines_of_a_manifest_are_named_at_once(tmp_path, settings):
    lines = ("P1,v1,front,a.jpg", "P1,v2,side,b.jpg", "P1,,front,c.jpg", "P1,v4,front,")
    with pytest.raises(StudyError, match=r"Line 3 of .* is 'P1,v2,side,b.jpg'\..*, and lines 4, 5\."):
        visits_of(manifest(tmp_path, *lines), settings.views)


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("file:///data/a%20b", "/data/a b"),
        ("file://localhost/data/a", "/data/a"),
        ("FILE:///data/a", "/data/a"),
        ("file:/data/a", "/data/a"),
        ("file:///data/%C3%98", "/data/Ø"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="paths of another system")
def test_an_address_of_this_machine_is_a_path(address, path):
    assert not is_remote(address)
    assert local_path(address) == Path(path)


def test_patients_of_two_sites_are_two_patients(tmp_path, settings):
    listed = visits_of(manifest(tmp_path, "A/P01,v1,front,a.jpg", "B/P01,v1,front,b.jpg"), settings.views)
    assert [(one.patient, one.visit) for one in listed] == [("A/P01", "v1"), ("B/P01", "v1")]


@pytest.mark.parametrize("place", ["NA,v1", "P1,#N/A", "null,v1", "#N/A,NaT"])
def test_a_manifest_names_nobody_as_tables_write_that_there_is_nothing(tmp_path, settings, place):
    manifest = tmp_path / "study.csv"
    manifest.write_text(f"patient,visit,view,path\n#12,none,front,a.jpg\n{place},front,b.jpg\n")
    with pytest.raises(
        StudyError, match=f"^Line 3 of study.csv is '{place},front,b.jpg'. .* nobody called as"
    ):
        visits_of(str(manifest), settings.views)


def test_two_photos_of_a_view_in_a_manifest_are_that_visits_problem_alone(tmp_path, settings):
    file = manifest(tmp_path, "P1,v1,front,a.jpg", "P1,v1,front,b.jpg", "P1,v2,front,c.jpg")
    first, second = visits_of(file, settings.views)
    assert first.problem.reason == "ambiguous_view"
    assert second.problem is None


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (
            ["P1,v1,profile,a.jpg"],
            r"Line 2 of study.csv is 'P1,v1,profile,a.jpg'. Expected a visit without /, a view",
        ),
        (["P1,,front,a.jpg"], r"Line 2 of study.csv"),
        (["P1,v1,front"], r"Line 2 of study.csv"),
        (["P1,v1,front,a,b"], r"study.csv, line 2, has 5 cells for 4 columns"),
        (["P1,v1,front,a\0b.jpg"], r"Line 2 of study.csv has a zero byte in its path"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, settings, lines, sentence):
    with pytest.raises(StudyError, match=sentence):
        visits_of(manifest(tmp_path, *lines), settings.views)


def test_a_manifest_at_an_address_reaches_beside_its_folder_and_no_further():
    at = "s3://bucket/manifests/study.csv"
    assert _beside(at, "../photos/front.jpg", 2) == "s3://bucket/photos/front.jpg"
    assert _beside(at, "s3://other/front.jpg", 2) == "s3://other/front.jpg"
    assert _beside("s3://bucket/study.csv", "a//b.jpg", 2) == "s3://bucket/a//b.jpg"  # a key of its own
    assert _beside("memory://study.csv", "a.jpg", 2) == "memory://a.jpg"
    for path in ("/data/front.jpg", "../../other/front.jpg"):
        with pytest.raises(StudyError, match=r"Line 2 of study.csv has the path .* within its bucket"):
            _beside(at, path, 2)


def test_a_manifest_of_other_columns_is_refused(tmp_path, settings):
    (tmp_path / "study.csv").write_text("id;photo\n")
    with pytest.raises(StudyError, match=r"study.csv is parted by semicolons\. Expected commas"):
        visits_of(str(tmp_path / "study.csv"), settings.views)


def test_a_manifest_s_columns_may_stand_in_any_order_and_case(tmp_path, settings):
    (tmp_path / "study.csv").write_text("Visit,Patient,Path,View\nv1,P1,a.jpg,front\n")
    (one,) = visits_of(str(tmp_path / "study.csv"), settings.views)
    assert (one.patient, one.visit, list(one.photos)) == ("P1", "v1", ["front"])


@pytest.mark.parametrize(
    "lines",
    [
        ("patient,visit,view,path,,,", "P1,v1,front,a.jpg,,,", ",,,,,,"),
        (",patient,visit,view,path", "0,P1,v1,front,a.jpg"),
    ],
)
def test_a_manifest_may_have_columns_without_a_name(tmp_path, settings, lines):
    (tmp_path / "study.csv").write_text("\n".join(lines) + "\n")
    (one,) = visits_of(str(tmp_path / "study.csv"), settings.views)
    assert (one.patient, one.visit, list(one.photos)) == ("P1", "v1", ["front"])


def test_a_study_that_is_not_there_is_refused(tmp_path, settings):
    with pytest.raises(StudyError, match=r"is no folder. Expected STUDY/PATIENT/VISIT"):
        visits_of(str(tmp_path / "nowhere"), settings.views)
    with pytest.raises(StudyError, match="cannot be read"):
        visits_of(str(tmp_path / "nowhere.csv"), settings.views)


def test_a_photo_that_is_spelled_in_two_ways_is_named_twice(tmp_path, settings):
    lines = ("P1,v1,front,x/a.jpg", "P1,v2,front,x/../x/a.jpg")
    with pytest.raises(StudyError, match="names the photo of line 2 again"):
        visits_of(manifest(tmp_path, *lines), settings.views)
