"""`masi qc` on real photographs: what it finds, what it writes, what it refuses."""

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter
from remembered import once_a_photo
from verbs import masi, table

from masi_vision.cli import gate
from masi_vision.config import load_settings
from masi_vision.report.quality import QUALITY_COLUMNS, CheckedPhoto, _shortened, contact_sheets
from masi_vision.shipped import shipped_file
from masi_vision.visit.seen import see_photo


@pytest.fixture(scope="module", autouse=True)
def photos_that_are_seen_once():
    """What is tested is what becomes of checks: face and skin of the same few photos are found once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("masi_vision.cli.gate.see_photo", once_a_photo(see_photo))
        yield


@pytest.fixture(scope="module")
def study(demo_visits, tmp_path_factory):
    """Two visits of a patient, the second out of focus and its left view named right; a third not a photo."""
    patient = tmp_path_factory.mktemp("qc") / "study" / "=P1"
    first, second, third = (patient / name for name in ("V1", "V2", "V3"))
    shutil.copytree(demo_visits[0], first)
    second.mkdir()
    sharp = cv2.imread(str(demo_visits[1] / "front.jpg"))
    cv2.imwrite(str(second / "front.jpg"), cv2.GaussianBlur(sharp, (0, 0), 9), [cv2.IMWRITE_JPEG_QUALITY, 90])
    shutil.copy(demo_visits[1] / "left.jpg", second / "right.jpg")
    third.mkdir()
    (third / "front.jpg").write_text("not a picture")
    return patient.parent


@pytest.fixture(scope="module")
def checked(study):
    out = study.parent / "out"
    return masi("qc", study, "--out", out), out


def edited(folder, old, new):
    """The shipped settings with one line of it otherwise."""
    shipped = shipped_file("configs", "scoring.yaml").read_text(encoding="utf-8")
    assert old in shipped
    (folder / "mine.yaml").write_text(shipped.replace(old, new), encoding="utf-8")
    return folder / "mine.yaml"


def test_every_check_has_its_row_and_every_photo_its_result(checked):
    done, out = checked
    assert done.exit_code == 1
    columns, rows = table(out / "quality.csv")
    assert tuple(columns) == QUALITY_COLUMNS
    failed = {(row["visit"], row["view"], row["check"]) for row in rows if row["result"] == "fail"}
    assert ("V2", "front", "blur_percent") in failed
    assert ("V2", "right", "yaw_deg_oblique_least") in failed
    assert ("V3", "front", "unreadable") in failed
    assert not {visit for visit, _, _ in failed} - {"V2", "V3"}
    assert {row["patient"] for row in rows} == {"'=P1"}  # a spreadsheet would run it
    assert all(row["message"] for row in rows if row["result"] != "pass")
    assert "3 of 6 photos fail." in done.stdout
    told = [line.split(":")[0] for line in done.stdout.splitlines() if line.startswith(("fail: ", "warn: "))]
    assert told.count("fail") > 2 < told.count("warn")
    assert told == sorted(told), "what fails comes first"
    assert "shows the patient's other side" in done.stdout


def test_later_visits_are_held_against_the_first(checked):
    _, rows = table(checked[1] / "quality.csv")
    against = {(row["visit"], row["view"]) for row in rows if row["check"] == "yaw_change_deg"}
    assert against == {("V2", "front"), ("V2", "right")}
    assert "visits_likeness" not in {row["check"] for row in rows}  # V2's front fails


def test_a_cheek_with_a_view_of_its_own_is_not_judged_in_front(checked):
    _, rows = table(checked[1] / "quality.csv")
    front = {row["region"] for row in rows if (row["visit"], row["view"]) == ("V1", "front")}
    assert front == {"", "forehead", "chin"}
    lone = {row["region"] for row in rows if (row["visit"], row["view"]) == ("V2", "front")}
    assert lone == {"", "forehead", "chin", "left_malar"}


def test_a_side_view_is_held_against_the_front_of_its_visit(checked, demo_visits, tmp_path):
    one, _, another = demo_visits
    visit = tmp_path / "study" / "P1" / "V1"
    visit.mkdir(parents=True)
    for view, whose in (("front", one), ("left", another), ("right", one)):
        shutil.copy(whose / f"{view}.jpg", visit)
    done = masi("qc", tmp_path / "study", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    _, rows = table(tmp_path / "out" / "quality.csv")
    found = {row["view"]: row for row in rows if row["check"] == "views_likeness"}
    assert {view: row["result"] for view, row in found.items()} == {"left": "warn", "right": "pass"}
    assert float(found["left"]["value"]) < float(found["left"]["warn"]) < float(found["right"]["value"])
    assert "it may be another person" in found["left"]["message"]
    _, rows = table(checked[1] / "quality.csv")
    held = {(row["visit"], row["view"]) for row in rows if row["check"] == "views_likeness"}
    assert held == {("V1", "left"), ("V1", "right")}  # of V2 neither photo is scored


def test_views_that_cannot_be_held_against_each_other_have_no_row_of_it(demo_visits, tmp_path, monkeypatch):
    monkeypatch.setattr("masi_vision.visit.quality.likeness_of", lambda front, side: None)
    visit = tmp_path / "study" / "P1" / "V1"
    visit.mkdir(parents=True)
    for view in ("front", "right"):
        shutil.copy(demo_visits[0] / f"{view}.jpg", visit)
    assert masi("qc", tmp_path / "study", "--out", tmp_path / "out").exit_code == 0
    _, rows = table(tmp_path / "out" / "quality.csv")
    assert {row["view"] for row in rows} == {"front", "right"}
    assert "views_likeness" not in {row["check"] for row in rows}


@pytest.mark.parametrize(("whose", "told"), [((0, 2, 2, 2), True), ((0, 0, 0, 2), False)])
def test_a_study_of_one_visit_each_is_taken_for_no_patient_in_silence(demo_visits, tmp_path, whose, told):
    for number, place in enumerate(whose):
        (tmp_path / "study" / f"P{number}").mkdir(parents=True)
        shutil.copy(demo_visits[place] / "front.jpg", tmp_path / "study" / f"P{number}")
    done = masi("qc", tmp_path / "study", "--out", tmp_path / "out")
    remark = "Of 3 fronts 3 are unlike the first, P0: these may be patients of one visit each"
    assert (remark in " ".join(done.output.split())) == told
    assert ("these may be patients" in done.output) == told


def test_a_whole_visit_of_another_patient_is_warned_of(demo_visits, tmp_path):
    """Its views are alike, and its camera the same: only the first good front tells."""
    blurred = tmp_path / "study" / "P1" / "V0"
    blurred.mkdir(parents=True)
    with Image.open(demo_visits[2] / "front.jpg") as photo:
        photo.filter(ImageFilter.GaussianBlur(9)).save(blurred / "front.jpg", quality=92)
    for number, visit in enumerate(demo_visits, start=1):
        shutil.copytree(visit, tmp_path / "study" / "P1" / f"V{number}")
    masi("qc", tmp_path / "study", "--out", tmp_path / "out")
    _, rows = table(tmp_path / "out" / "quality.csv")
    found = {(row["visit"], row["view"]): row for row in rows if row["check"] == "visits_likeness"}
    assert {place: row["result"] for place, row in found.items()} == {
        ("V2", "front"): "pass",
        ("V3", "front"): "warn",
    }
    told = found["V3", "front"]
    assert float(told["value"]) < float(told["warn"]) < float(found["V2", "front"]["value"])
    assert told["fail"] == ""
    assert told["message"].startswith("Laid over the front of V1, the skin is alike by 0.")
    assert "views_likeness" not in {row["check"] for row in rows if row["result"] != "pass"}


def test_a_side_view_that_a_visit_before_has_is_missed(demo_visits, tmp_path):
    """V0, the screening, had the front alone."""
    patient = tmp_path / "study" / "P1"
    for name, front_alone in (("V0", True), ("V1", False), ("V2", False), ("V3", True)):
        (patient / name).mkdir(parents=True)
        for view in ("front",) if front_alone else ("front", "left"):
            shutil.copy(demo_visits[0] / f"{view}.jpg", patient / name)
    (patient / "V2" / "left.jpg").rename(patient / "V2" / "IMG_2.jpg")
    done = masi("qc", tmp_path / "study", "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert "0 of 5 photos fail." in done.stdout
    assert "lack" not in done.stdout
    _, rows = table(tmp_path / "out" / "quality.csv")
    told = {row["visit"]: row for row in rows if row["check"] == "view_missing"}
    assert {visit: (row["view"], row["photo"], row["result"]) for visit, row in told.items()} == {
        "V2": ("left", "", "warn"),
        "V3": ("left", "", "warn"),
    }
    assert told["V3"]["message"] == (
        "V1 has a left view, this visit has none. Expected the same views at every visit. "
        "Take it, or name it left.jpg."
    )
    assert told["V2"]["message"] == f"{told['V3']['message']} IMG_2.jpg may be it."
    run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert run["counts"]["photos"] == len(run["inputs"]) == 5


def test_a_side_view_that_the_first_visit_has_not_is_no_loss(checked, demo_visits, tmp_path):
    _, rows = table(checked[1] / "quality.csv")
    assert {(r["visit"], r["view"]) for r in rows if r["check"] == "view_missing"} == {
        ("V2", "left"),
        ("V3", "left"),
        ("V3", "right"),
    }
    shutil.copytree(demo_visits[0], tmp_path / "P1" / "V2")
    (tmp_path / "P1" / "V1").mkdir()
    shutil.copy(demo_visits[0] / "front.jpg", tmp_path / "P1" / "V1")
    masi("qc", tmp_path, "--out", tmp_path / "out")
    assert "view_missing" not in (tmp_path / "out" / "quality.csv").read_text(encoding="utf-8")


def test_the_run_is_on_record_and_marks_the_folder(checked):
    record = json.loads((checked[1] / "run.json").read_text(encoding="utf-8"))
    assert record["state"] == "finished"
    assert record["counts"]["photos"] == 6
    assert record["counts"]["fail"] == 3
    assert len(record["inputs"]) == 6
    assert record["settings"]["quality"]["blur_percent"]["fail"] > 0
    assert str(checked[1].parent) not in (checked[1] / "run.json").read_text(encoding="utf-8")


def test_the_contact_sheet_shows_the_worst_first(checked):
    (sheet,) = sorted((checked[1] / "contact").glob("*.jpg"))
    picture = cv2.imread(str(sheet))[..., ::-1].astype(int)
    frames = [picture[2 + 318 * row, 60 + 236 * column] for row in range(2) for column in range(6)]
    red, green = np.array([213, 94, 0]), np.array([0, 158, 115])
    assert all(np.abs(frame - red).max() < 40 for frame in frames[:3])
    assert all(
        np.abs(frame - green).max() < 40 for frame in frames[7:9]
    )  # before them views that V2, V3 lack


def test_results_are_not_overwritten_unless_asked_for(study, checked):
    again = masi("qc", study, "--out", checked[1])
    assert again.exit_code == 2
    assert "already holds" in again.stderr
    assert masi("qc", study / "=P1" / "V1", "--out", checked[1], "--overwrite").exit_code == 0


def test_an_accepted_check_is_no_failure(study, tmp_path):
    photo = study / "=P1" / "V2" / "front.jpg"
    assert masi("qc", photo, "--out", tmp_path / "a").exit_code == 1
    accepted = masi("qc", photo, "--out", tmp_path / "b", "--accept", "blur_percent")
    _, rows = table(tmp_path / "b" / "quality.csv")
    assert {row["check"] for row in rows if row["result"] == "accepted"} == {"blur_percent"}
    assert accepted.exit_code == 0
    refused = masi("qc", photo, "--out", tmp_path / "c", "--accept", "sharpness")
    assert refused.exit_code == 2
    assert "not 'sharpness'" in refused.stderr


def test_score_refuses_what_qc_fails_and_says_what_was_accepted(study, tmp_path):
    photo = study / "=P1" / "V2" / "front.jpg"
    masi("score", photo, "--out", tmp_path / "a", "--no-overlays")
    _, (row,) = table(tmp_path / "a" / "scores.csv")
    assert (row["status"], row["reason"], row["quality"], row["mmasi"]) == (
        "not_scored",
        "out_of_focus",
        "fail",
        "",
    )
    asked = ("--no-overlays", "--accept", "blur_percent@front/front")
    done = masi("score", photo, "--out", tmp_path / "b", *asked)
    assert "measured though it fails blur_percent, which was accepted" in " ".join(done.stdout.split())
    _, (row,) = table(tmp_path / "b" / "scores.csv")
    assert (row["status"], row["quality"]) == ("scored", "accepted")


def test_what_was_checked_is_kept_when_the_run_is_stopped(study, tmp_path, monkeypatch):
    see, seen = gate.see_photo, []

    def stops(path, *rest):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(path)
        return see(path, *rest)

    monkeypatch.setattr(gate, "see_photo", stops)
    assert masi("qc", study, "--out", tmp_path / "out").exit_code == 130
    _, rows = table(tmp_path / "out" / "quality.csv")
    assert len({(row["visit"], row["view"]) for row in rows}) == 2


def test_many_photos_fill_several_sheets():
    blank = [CheckedPhoto(f"P{n}", "V1", "front", "front.jpg", None, ()) for n in range(40)]
    sheets = list(contact_sheets(blank))
    assert len(sheets) == 2
    assert sheets[0].shape[1] == sheets[1].shape[1]
    assert (sheets[0][20:200, 20:200] == 255).all(axis=2).mean() == 0  # no picture is not a white one


def test_a_visit_that_cannot_be_scored_fails_though_its_photos_are_good(demo_visits, tmp_path):
    for name in ("P1/V1", "P1/V2"):
        (tmp_path / "study" / name).mkdir(parents=True)
    shutil.copy(demo_visits[0] / "left.jpg", tmp_path / "study" / "P1" / "V1")
    for name in ("front.jpg", "front-2.jpg"):
        shutil.copy(demo_visits[0] / "front.jpg", tmp_path / "study" / "P1" / "V2" / name)
    done = masi("qc", tmp_path / "study", "--out", tmp_path / "out")
    _, rows = table(tmp_path / "out" / "quality.csv")
    failed = {(row["visit"], row["check"]) for row in rows if row["result"] == "fail"}
    assert failed == {("V1", "no_photo"), ("V2", "ambiguous_view")}
    assert done.exit_code == 1
    assert "0 of 1 photos fail. 2 visits lack what they need." in done.stdout
    run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert run["counts"]["photos"] == len(run["inputs"]) == 1


@pytest.mark.parametrize(("twice", "checked"), [("front", {"left", "right"}), ("left", {"front", "right"})])
def test_a_view_taken_twice_keeps_no_other_from_being_checked(demo_visits, tmp_path, twice, checked):
    patient = tmp_path / "study" / "P1"
    for visit in ("V1", "V2"):
        shutil.copytree(demo_visits[0], patient / visit)
    shutil.copy(patient / "V2" / f"{twice}.jpg", patient / "V2" / f"{twice}-2.jpg")
    done = masi("qc", tmp_path / "study", "--out", tmp_path / "out")
    _, rows = table(tmp_path / "out" / "quality.csv")
    second = [row for row in rows if row["visit"] == "V2"]
    assert {row["view"] for row in second if row["check"] == "own_file"} == checked
    assert [row["view"] for row in second if row["result"] == "fail"] == [twice]
    assert "view_missing" not in {row["check"] for row in rows}
    assert (done.exit_code, "1 visit lacks what it needs." in done.stdout) == (1, True)
    masi("score", tmp_path / "study", "--out", tmp_path / "scored", "--no-overlays")
    _, scores = table(tmp_path / "scored" / "scores.csv")
    assert {row["visit"]: row["reason"] for row in scores} == {"V1": "", "V2": "ambiguous_view"}


def test_one_patient_named_alone_is_held_against_the_first_visit_too(study, tmp_path):
    masi("qc", study / "=P1", "--out", tmp_path / "out")
    _, rows = table(tmp_path / "out" / "quality.csv")
    assert {row["visit"] for row in rows if row["check"] == "yaw_change_deg"} == {"V2"}


def test_a_visit_named_alone_is_not_held_against_any_and_says_so(study, tmp_path, monkeypatch):
    alone = "nothing earlier of this patient was named, so what changed since is not checked"
    first, second = study / "=P1" / "V1", study / "=P1" / "V2"
    done = masi("qc", second, "--out", tmp_path / "a")
    assert f"V2: {alone}. Name the patient's folder." in " ".join(done.stdout.split())
    for number, paths in enumerate([(first, second), (study / "=P1",), (study,), (second / "front.jpg",)]):
        assert alone not in " ".join(masi("qc", *paths, "--out", tmp_path / str(number)).stdout.split())
    monkeypatch.chdir(second)
    assert alone in " ".join(masi("qc", ".", "--out", tmp_path / "b").stdout.split())
    together = masi("qc", first, ".", "--out", tmp_path / "c")
    assert alone not in " ".join(together.stdout.split())
    assert "yaw_change_deg" in (tmp_path / "c" / "quality.csv").read_text(encoding="utf-8")


def test_units_of_a_coded_set_are_not_held_against_each_other(demo_visits, tmp_path):
    """It would tell which are of one patient, and which are hidden repeats."""
    for unit, visit in zip(("4TX4NM9", "569ZM7C", "6RDWYD5"), demo_visits, strict=True):
        shutil.copytree(visit, tmp_path / "set" / unit)
    (tmp_path / "set" / "6RDWYD5" / "left.jpg").unlink()
    (tmp_path / "set" / "orders").mkdir()
    (tmp_path / "set" / "set.json").write_text("{}")
    for paths in ([tmp_path / "set"], [tmp_path / "set" / "4TX4NM9"]):
        done = masi("qc", *paths, "--out", tmp_path / "out", "--overwrite")
        columns = {row["check"] for row in table(tmp_path / "out" / "quality.csv")[1]}
        assert not columns & {"visits_likeness", "view_missing", "yaw_change_deg", "own_file"}
        assert "views_likeness" in columns
        assert "named" not in done.stdout


def test_a_first_visit_that_fails_is_no_measure_for_later_ones(study, demo_visits, tmp_path):
    for number, photo in enumerate(("left.jpg", "front.jpg", "front.jpg"), start=1):
        (tmp_path / "P1" / f"V{number}").mkdir(parents=True)
        shutil.copy(demo_visits[0] / photo, tmp_path / "P1" / f"V{number}" / "front.jpg")
    masi("qc", tmp_path, "--out", tmp_path / "out")
    _, rows = table(tmp_path / "out" / "quality.csv")
    turned = {row["visit"]: row["result"] for row in rows if row["check"] == "yaw_change_deg"}
    assert turned == {"V3": "pass"}


def taken_by(photo, camera, day, file):
    """A photograph as a camera saves it."""
    exif = Image.Exif()
    exif[271], exif[272], exif[306] = "Maker", camera, f"{day} 10:00:00"
    exif.get_ifd(0x8769)[36867] = f"{day} 10:00:00"
    file.parent.mkdir(parents=True, exist_ok=True)
    photo.save(file, exif=exif, quality=92)


def test_the_clock_tells_an_old_photo_among_new_ones_and_visits_that_are_mixed_up(demo_visits, tmp_path):
    """V2's left is V1's, saved again; V4 was taken between V1 and V3."""
    days = {
        "V1": ("2026:03:01", "2026:03:01"),
        "V2": ("2026:03:29", "2026:03:01"),
        "V3": ("2026:05:24", "2026:05:24"),
        "V4": ("2026:04:26", "2026:04:26"),
    }
    for visit, of_visit in days.items():
        for view, day in zip(("front", "left"), of_visit, strict=True):
            with Image.open(demo_visits[0] / f"{view}.jpg") as photo:
                dimmed = photo.point(lambda level, by=int(visit[1:]): max(0, level - by))
                taken_by(dimmed, "Cam A", day, tmp_path / "P1" / visit / f"{view}.jpg")
    masi("qc", tmp_path, "--out", tmp_path / "out")
    _, rows = table(tmp_path / "out" / "quality.csv")
    clocks = {"order", "own_moment", "own_file", "views_day"}
    told = {(r["visit"], r["view"], r["check"]): r for r in rows if r["check"] in clocks}
    assert {place for place, row in told.items() if row["result"] != "pass"} == {
        ("V2", "left", "own_moment"),
        ("V2", "left", "views_day"),
        ("V4", "front", "order"),
        ("V4", "left", "order"),
    }
    assert "this was taken before V3." in told["V4", "front", "order"]["message"]
    assert "2026" not in (tmp_path / "out" / "quality.csv").read_text(encoding="utf-8")


def test_visits_whose_order_is_open_are_told(tmp_path):
    for place in ("P1/D-14", "P1/D1", "P2/V1", "P2/V2"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "front.jpg").write_text("not a picture")
    done = masi("qc", tmp_path, "--out", tmp_path / "out")
    assert done.output.count("which visit came first, nobody can tell") == 1
    assert "P1 has the visits 'D1', 'D-14': whether a dash there is a minus" in done.output
    run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert [one[:2] for one in run["remarks"] if "a minus" in one] == ["P1"]


@pytest.mark.parametrize("wrong", ["2000:01:01", "2062:03:01"])
def test_a_clock_that_lost_its_time_is_told_of_its_photo_and_blames_no_other(demo_visits, tmp_path, wrong):
    for visit, day in {"V1": wrong, "V2": "2024:04:01", "V3": "2024:05:01"}.items():
        for view in ("front", "left"):
            with Image.open(demo_visits[0] / f"{view}.jpg") as photo:
                dimmed = photo.point(lambda level, by=int(visit[1:]): max(0, level - by))
                of_day = "2024:04:20" if (visit, view) == ("V1", "left") else day
                taken_by(dimmed, "Cam A", of_day, tmp_path / "P1" / visit / f"{view}.jpg")
    masi("qc", tmp_path, "--out", tmp_path / "out")
    _, rows = table(tmp_path / "out" / "quality.csv")
    told = {(r["visit"], r["view"], r["check"]): r["result"] for r in rows}
    clocks = {place[:2]: result for place, result in told.items() if place[2] == "clock"}
    assert {place for place, result in clocks.items() if result == "warn"} == {("V1", "front")}
    assert len(clocks) == 6
    others = {place: told[place] for place in told if place[2] in ("order", "own_moment", "views_day")}
    assert ("V1", "left", "views_day") not in others
    assert ("V2", "front", "order") not in others
    assert others["V3", "front", "order"] == "pass"
    assert others["V2", "left", "order"] == "warn"  # V1's left has a clock of its own
    assert wrong[:4] not in "".join(r["message"] for r in rows)


def test_a_visit_that_later_ones_are_held_against_is_named(demo_visits, tmp_path):
    """V1 cannot be read, so V2 is the first that anything is told of."""
    shutil.copytree(demo_visits[0], tmp_path / "P1" / "V2")
    shutil.copytree(demo_visits[0], tmp_path / "P1" / "V3")
    (tmp_path / "P1" / "V1").mkdir()
    (tmp_path / "P1" / "V1" / "front.jpg").write_text("not a picture")
    masi("qc", tmp_path, "--out", tmp_path / "out")
    _, rows = table(tmp_path / "out" / "quality.csv")
    (row,) = (row for row in rows if (row["view"], row["check"]) == ("front", "own_file"))
    assert (row["visit"], row["result"]) == ("V3", "warn")
    assert row["message"].startswith("This is the very file of V2.")


def test_camera_and_clock_are_held_against_the_true_first_visit_though_it_fails(demo_visits, tmp_path):
    """Blurred by one camera, then sharp by another, and earlier by the clock; then the first camera again."""
    taken = [("Cam B", "2024:05:01"), ("Cam A", "2024:03:01"), ("Cam B", "2024:07:01")]
    for number, (camera, day) in enumerate(taken, start=1):
        photo = Image.open(demo_visits[0] / "front.jpg")
        sharp = photo if number > 1 else photo.filter(ImageFilter.GaussianBlur(9))
        taken_by(sharp, camera, day, tmp_path / "P1" / f"V{number}" / "front.jpg")
    masi("qc", tmp_path, "--out", tmp_path / "out")
    _, rows = table(tmp_path / "out" / "quality.csv")
    told = {(row["visit"], row["check"]): row["result"] for row in rows}
    assert told["V1", "blur_percent"] == "fail"
    assert [told[visit, "camera"] for visit in ("V2", "V3")] == ["warn", "pass"]
    assert [told[visit, "order"] for visit in ("V2", "V3")] == ["warn", "pass"]
    assert {visit for visit, check in told if check == "yaw_change_deg"} == {"V3"}


def test_a_photo_too_large_to_be_read_is_not_read_for_the_sheet_either(study, tmp_path):
    settings = edited(tmp_path, "max_megapixels: 200", "max_megapixels: 0.01")
    masi("qc", study / "=P1" / "V1", "--out", tmp_path / "out", "--settings", settings)
    _, rows = table(tmp_path / "out" / "quality.csv")
    assert {row["check"] for row in rows} == {"too_large"}
    photo = study / "=P1" / "V1" / "front.jpg"
    assert gate.what_there_is(photo, load_settings(settings)) is None
    assert gate.what_there_is(photo, load_settings()) is not None


def test_advice_is_in_the_words_that_the_settings_take_for_views(demo_visits, tmp_path):
    settings = edited(tmp_path, "front: [front, frontal]", "front: [vorn]")
    (tmp_path / "P1" / "V1").mkdir(parents=True)
    shutil.copy(demo_visits[0] / "left.jpg", tmp_path / "P1" / "V1")
    for verb in ("qc", "score"):
        done = masi(verb, tmp_path / "P1", "--out", tmp_path / verb, "--settings", settings)
        assert "name it vorn.jpg." in " ".join(done.output.split())


def test_a_front_whose_name_ends_wrongly_is_named(demo_visits, tmp_path):
    visit = tmp_path / "P1" / "V1"
    visit.mkdir(parents=True)
    shutil.copy(demo_visits[0] / "left.jpg", visit)
    shutil.copy(demo_visits[0] / "front.jpg", visit / "front.jpg.txt")
    masi("qc", tmp_path, "--out", tmp_path / "out")
    _, rows = table(tmp_path / "out" / "quality.csv")
    (told,) = (row["message"] for row in rows if row["check"] == "no_photo")
    assert told == ("There is no front photo. Expected one: name it front.jpg. front.jpg.txt may be it.")


def test_an_override_that_fits_no_photo_is_told(study, tmp_path):
    visit = study / "=P1" / "V2"
    for verb in ("qc", "score"):
        out = tmp_path / verb
        done = masi(verb, visit, "--out", out, "--accept", "blur_percent@=P1/V2/front")
        assert "Nothing was accepted by blur_percent@=P1/V2/front" in done.stdout
        assert "such as V2/front" in done.stdout
        fits = masi(verb, visit, "--out", out, "--overwrite", "--accept", "blur_percent@V2/front")
        assert "Nothing was accepted" not in fits.stdout


def test_on_the_contact_sheet_patients_with_long_names_are_told_apart():
    captions = {_shortened(f"{site}-{'0123456789' * 3}/visit-1/front") for site in ("NORTH", "SOUTH")}
    assert len(captions) == 2
    assert all(caption.endswith("/visit-1/front") and "..." in caption for caption in captions)
    assert _shortened("P1/V1/front") == "P1/V1/front"
