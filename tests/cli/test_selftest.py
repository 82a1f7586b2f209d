"""The self-test that a site runs: it passes here, and it notices when something is broken."""

import json
import platform
import re
import shutil
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from masi_vision.cli import selftest
from masi_vision.cli.main import app
from masi_vision.config import load_settings
from masi_vision.phantom.demo import demo_folder
from masi_vision.pigment import rules
from masi_vision.scale import MASI_REGIONS
from masi_vision.source_code import code_sha256, version_and_code
from masi_vision.visit.score import score_visit

MANUAL = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def measured():
    return {}


@pytest.fixture(scope="module")
def checks(measured):
    return list(selftest.run_selftest(measured))


def test_every_check_of_the_self_test_passes(checks):
    names = [name for name, _, _ in checks]
    assert names[:2] == ["scale", "planted pigment"]
    files = ["position by Exif", "colour profile", "blurred photo"]
    unfit = ["burnt-out skin", "hidden skin", "two opinions"]
    assert names[-8:] == ["more pigment scores more", *files, "picture without a face", *unfit]
    assert {"demo-01/visit-1", "demo-01/visit-2", "demo-02/visit-1", "dose 0.10 OD"} <= set(names)
    for name, passed, found in checks:
        assert passed, f"{name}: {found}"


def test_the_verb_says_what_it_found_and_that_all_is_well(monkeypatch, checks):
    monkeypatch.setattr(selftest, "run_selftest", lambda *_: iter(checks))
    done = CliRunner().invoke(app, ["selftest"])
    assert done.exit_code == 0
    assert "All is as expected." in done.stdout
    assert done.stdout.startswith(f"masi_vision {version_and_code()}, Python {platform.python_version()}")
    assert "more pigment scores more" in done.stdout


def test_the_verb_fails_when_a_check_does(monkeypatch):
    monkeypatch.setattr(selftest, "run_selftest", lambda *_: iter([("scale", False, "worst mMASI 23")]))
    done = CliRunner().invoke(app, ["selftest"])
    assert done.exit_code == 2
    assert "[FAILED] scale: worst mMASI 23" in done.stdout


def qualified(monkeypatch, file, checks, numbers):
    monkeypatch.setattr(selftest, "run_selftest", lambda into: into.update(numbers) or iter(checks))
    done = CliRunner().invoke(app, ["selftest", "--out", str(file)])
    return done, json.loads(file.read_text(encoding="utf-8"))


def test_a_site_keeps_a_dated_record_of_what_was_measured_where_by_what(
    tmp_path, monkeypatch, checks, measured
):
    done, record = qualified(monkeypatch, tmp_path / "record.json", checks, measured)
    assert done.exit_code == 0, done.output
    assert datetime.now(UTC) - datetime.fromisoformat(record["made_utc"]) < timedelta(minutes=5)
    assert record["passed"] is True
    assert record["code_sha256"] == code_sha256()
    assert record["host"] == platform.node()
    assert record["libraries"]["python"] == platform.python_version()
    assert {key.removesuffix("_sha256"): record[key] for key in ("settings_sha256", "models_sha256")} == (
        selftest.made_with()
    )
    expected = (demo_folder() / selftest.RECORD).read_bytes()
    assert record["expected_sha256"] == sha256(expected).hexdigest()
    assert [(one["check"], one["passed"], one["found"]) for one in record["checks"]] == checks
    held = {name: [*numbers] for name, numbers in json.loads(expected)["phantoms"].items()}
    assert {name: [*numbers] for name, numbers in record["measured"].items()} == held
    assert record["measured"]["demo-01/visit-1"]["mmasi"] > 0


def test_the_record_of_a_self_test_that_fails_says_so_and_replaces_none(tmp_path, monkeypatch):
    file, failed = tmp_path / "record.json", [("demo-01/visit-1", False, "1 numbers")]
    numbers = {"demo-01/visit-1": {"mmasi": float("nan"), "masi": None}}
    done, record = qualified(monkeypatch, file, failed, numbers)
    assert done.exit_code == 2
    assert record["passed"] is False
    assert record["measured"] == {"demo-01/visit-1": {"mmasi": "nan", "masi": None}}
    again = CliRunner().invoke(app, ["selftest", "--out", str(file)])
    assert again.exit_code == 2
    assert "record.json is there already. Expected a new file." in again.stderr
    assert json.loads(file.read_text(encoding="utf-8")) == record


def test_what_was_found_is_said_though_the_record_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(selftest, "run_selftest", lambda *_: iter([("scale", False, "worst mMASI 23")]))
    done = CliRunner().invoke(app, ["selftest", "--out", str(tmp_path / "file" / "record.json")])
    assert done.exit_code == 2
    assert "Do not score with it." in done.stdout


def test_the_manual_has_every_key_of_the_record_and_every_tolerance(tmp_path, monkeypatch):
    _, record = qualified(monkeypatch, tmp_path / "record.json", [], {})
    part = MANUAL.partition("## Qualifying an installation")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if "|" in line
    ]
    keys = [key for cell, _ in rows for key in re.findall("`(.+?)`", cell)]
    assert keys == [*record]
    told = {
        key: float(off) for off, names in rows if off[:1].isdigit() for key in re.findall("`(.+?)`", names)
    }
    assert told == record["tolerances"]


def test_the_self_test_notices_a_map_by_rules_that_finds_nothing(monkeypatch):
    real = rules.map_by_rules

    def blind(linear_rgb, skin, **options):
        return real(linear_rgb * 0 + 0.3, skin, **options)

    monkeypatch.setattr(rules, "map_by_rules", blind)
    _, passed, _ = selftest._planted_pigment()
    assert not passed


def test_the_record_holds_scores_and_grades_of_every_region():
    record = json.loads((demo_folder() / selftest.RECORD).read_text(encoding="utf-8"))["phantoms"]
    for key in ("mmasi", "masi", *(f"{region} area" for region in MASI_REGIONS)):
        assert sum(numbers.get(key, 0) > 0 for numbers in record.values()) >= 1, key
    assert {key.rpartition(" ")[2] for numbers in record.values() for key in numbers} == {
        *selftest._TOLERANCES
    }


def _of_phantoms():
    record = json.loads((demo_folder() / selftest.RECORD).read_text(encoding="utf-8"))
    return selftest._phantoms(record["phantoms"], {})


@pytest.fixture(scope="module")
def scored():
    return {
        visit: score_visit(visit) for visit in {one.parent for one in demo_folder().glob("*/*/front.jpg")}
    }


@pytest.mark.parametrize(
    ("place", "broken", "checks_of", "expected"),
    [
        (
            "visit.region.area_grade",
            lambda *_, **__: 0,
            _of_phantoms,
            {"demo-01/visit-1", "demo-01/visit-2", "demo-02/visit-1", "change of demo-01"},
        ),
        ("photo.exif.orientation_of", lambda _: 1, selftest._files, {"position by Exif"}),
        ("visit.score.refusal", lambda _: None, selftest._files, {"blurred photo"}),
        ("visit.region.holding", lambda _: (), selftest._unfit, {"two opinions"}),
        ("visit.region.of_region", lambda *_: (), selftest._unfit, {"burnt-out skin"}),
        (
            "pigment.interval.ChangeError.around_mean",
            lambda *_: (9.0, 11.0),
            _of_phantoms,
            {"change of demo-01"},
        ),
        ("visit.score.change_ends", lambda *_, share: (5.0, 9.0), lambda: [selftest._scale()], {"scale"}),
        ("visit.compare.change_ends", lambda *_, share: (5.0, 9.0), _of_phantoms, {"change of demo-01"}),
    ],
    ids=["no area", "no orientation", "no gate", "no flag", "burnt", "amount", "ends", "ends of a visit"],
)
def test_the_self_test_notices_what_is_broken(monkeypatch, scored, place, broken, checks_of, expected):
    monkeypatch.setattr(selftest, "_DOSES_OD", ())
    monkeypatch.setattr(f"masi_vision.{place}", broken)
    if expected == {"change of demo-01"}:  # the visits themselves are scored as ever
        monkeypatch.setattr("masi_vision.visit.score.score_visit", scored.__getitem__)
    others = {"more pigment scores more"}
    failed = {name for name, passed, _ in checks_of() if not passed and "dose" not in name}
    assert failed - others == expected


def recorded(monkeypatch, numbers, measured):
    monkeypatch.setattr(selftest, "measured_phantoms", lambda: iter(measured.items()))
    return {name: (passed, found) for name, passed, found in selftest._phantoms(numbers, {})}


def doses(*fractions):
    return {
        f"dose {dose:.2f} OD": {
            "mmasi": 1.0,
            "mmasi_continuous": 1.0,
            "right_malar pigmented_fraction": fraction,
            "left_malar pigmented_fraction": fraction,
            "right_malar contrast_od": 0.1,
        }
        for dose, fraction in zip(selftest._DOSES_OD, fractions, strict=True)
    }


def test_a_fraction_that_differs_is_noticed_with_its_difference(tmp_path, monkeypatch):
    expected = doses(0.1, 0.2, 0.3, 0.4)
    found = recorded(monkeypatch, expected, doses(0.1, 0.2, 0.35, 0.4))
    assert found["dose 0.05 OD"][0]
    said = "5 numbers; farthest off: right_malar pigmented_fraction 0.35, expected 0.3"
    assert found["dose 0.10 OD"] == (False, said)


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("mmasi_continuous", 1.2),
        ("right_malar contrast_od", 0.11),
        ("mmasi", 1.1),
        ("mmasi", None),
        ("right_malar contrast_od", float("nan")),
    ],
)
def test_a_score_or_a_contrast_that_differs_is_noticed(tmp_path, monkeypatch, key, other):
    expected, measured = doses(0.1, 0.2, 0.3, 0.4), doses(0.1, 0.2, 0.3, 0.4)
    measured["dose 0.05 OD"][key] = other
    found = recorded(monkeypatch, expected, measured)
    assert not found["dose 0.05 OD"][0]
    assert key in found["dose 0.05 OD"][1]


def test_a_recorded_phantom_that_is_gone_is_noticed(tmp_path, monkeypatch):
    expected = doses(0.1, 0.2, 0.3, 0.4)
    found = recorded(monkeypatch, expected | {"gone": {}}, expected)
    assert found["gone"] == (False, "recorded, but not measured")


def test_pigment_that_is_measured_as_less_is_noticed(tmp_path, monkeypatch):
    wrong = doses(0.1, 0.3, 0.2, 0.4)
    found = recorded(monkeypatch, wrong, wrong)
    assert not found["more pigment scores more"][0]


def test_a_phantom_that_is_not_scored_is_noticed(tmp_path, monkeypatch):
    expected = doses(0.1, 0.2, 0.3, 0.4)
    found = recorded(monkeypatch, expected, expected | {"dose 0.05 OD": {}})
    assert not found["dose 0.05 OD"][0]
    assert not found["more pigment scores more"][0]


@pytest.mark.parametrize("content", [None, b'{"made_with": {"se', b"[]"])
def test_a_record_that_is_missing_or_damaged_is_noticed(tmp_path, monkeypatch, content):
    if content is not None:
        (tmp_path / selftest.RECORD).write_bytes(content)
    photo = tmp_path / "demo-01" / "visit-2"
    shutil.copytree(demo_folder() / "demo-01" / "visit-2", photo)
    monkeypatch.setattr(selftest, "demo_folder", lambda: tmp_path)
    for after in ("_files", "_unfit"):
        monkeypatch.setattr(selftest, after, lambda: iter([("what comes after", True, "")]))
    *_, (name, passed, found), one, _, last = selftest.run_selftest()
    assert (name, one[0], last[0]) == ("phantoms", "what comes after", "what comes after")
    assert not passed
    assert "expected.json, or a photo beside it, is missing or damaged" in found


def test_shipped_settings_that_were_edited_are_noticed_though_no_number_is_another(monkeypatch):
    record = json.loads((demo_folder() / selftest.RECORD).read_text(encoding="utf-8"))
    assert [passed for _, passed, _ in selftest._shipped(record["made_with"])] == [True, True]
    quality = load_settings().quality.model_copy(update={"accepted": ("jpeg_quality",)})
    edited = load_settings().model_copy(update={"quality": quality})
    monkeypatch.setattr("masi_vision.config.load_settings", lambda: edited)
    checks = list(selftest._shipped(record["made_with"]))
    assert [passed for _, passed, _ in checks] == [False, True]
    assert "Install masi_vision again" in checks[0][2]
