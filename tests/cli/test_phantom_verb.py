"""`masi phantom`: a study whose truth is known, and lies apart."""

import csv
import hashlib
import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
from typer.testing import CliRunner

from masi_vision.cli.main import app

photographs = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("torch", "scipy")), reason="needs the extra train"
)


def phantom(*words):
    return CliRunner().invoke(app, ["phantom", *map(str, words)])


def rows(file):
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """Truth and reads of 12 patients without photographs."""
    folder = tmp_path_factory.mktemp("phantom")
    done = phantom("--out", folder / "study", "--patients", 12, "--seed", 3)
    assert done.exit_code == 0, done.output
    assert not (folder / "study").exists()
    return folder / "study-truth"


def test_every_patient_has_an_arm_three_visits_and_four_regions(apart):
    truth = rows(apart / "truth.csv")
    assert len(truth) == 12 * 3 * 4
    arms = {row["patient"]: row["arm"] for row in truth}
    assert sorted(arms.values()) == sorted("ABCD" * 3)
    assert {row["visit"] for row in truth} == {"visit-1", "visit-2", "visit-3"}


def test_truth_has_less_pigment_after_treatment(apart):
    amount = {}
    for row in rows(apart / "truth.csv"):
        key = row["arm"], row["visit"]
        amount[key] = amount.get(key, 0) + float(row["amount_od"])
    assert amount["D", "visit-3"] < 0.7 * amount["D", "visit-1"]


def test_three_readers_grade_every_region_near_its_truth(apart):
    reads = rows(apart / "reads.csv")
    assert {row["reader"] for row in reads} == {"R1", "R2", "R3"}
    truth = {(r["patient"], r["visit"], r["region"]): int(r["area"]) for r in rows(apart / "truth.csv")}
    off = [int(r["area"]) - truth[r["patient"], r["visit"], r["region"]] for r in reads]
    assert len(off) == 3 * len(truth)
    assert 0.2 < sum(map(abs, off)) / len(off) < 1


def test_the_same_seed_makes_the_same_study_and_another_seed_another(apart, tmp_path):
    for name, seed in (("same", 3), ("other", 4)):
        assert phantom("--out", tmp_path / name, "--patients", 12, "--seed", seed).exit_code == 0
    same, other = ((tmp_path / f"{name}-truth" / "truth.csv").read_bytes() for name in ("same", "other"))
    assert same == (apart / "truth.csv").read_bytes() != other


def test_a_null_trial_has_arms_without_effect(tmp_path):
    done = phantom("--out", tmp_path / "null", "--patients", 24, "--effects", "0,0,0,0")
    assert done.exit_code == 0
    lost = {}
    for row in rows(tmp_path / "null-truth" / "truth.csv"):
        lost[row["visit"]] = lost.get(row["visit"], 0) + float(row["amount_od"])
    assert abs(1 - lost["visit-3"] / lost["visit-1"]) < 0.2


@photographs
def test_a_folder_without_faces_is_refused_in_a_sentence(tmp_path):
    done = phantom("--out", tmp_path / "study", "--faces", tmp_path, "--patients", 2)
    assert done.exit_code == 2
    assert "holds no index.csv" in done.output
    assert not (tmp_path / "study-truth").exists()


@pytest.mark.parametrize("effects", ["0.1,lots", "0.1,7", "0_1,0.2", ",".join(["0.1"] * 27)])
def test_effects_that_are_none_are_refused(tmp_path, effects):
    done = phantom("--out", tmp_path / "study", "--effects", effects)
    assert done.exit_code == 2
    assert "Expected numbers from 0 to 1" in done.output


def test_a_seed_that_nobody_named_is_drawn_and_kept_with_the_truth(tmp_path):
    plans = []
    for name in ("one", "two"):
        assert phantom("--out", tmp_path / name, "--patients", 2).exit_code == 0
        plans.append(json.loads((tmp_path / f"{name}-truth" / "phantom.json").read_text(encoding="utf-8")))
    assert plans[0]["seed"] != plans[1]["seed"]


def test_a_folder_that_is_there_is_not_written_into(apart):
    done = phantom("--out", apart.with_name("study"), "--patients", 2)
    assert done.exit_code == 2
    assert "is there already" in done.output


@pytest.mark.long
@photographs
def test_photographs_lie_in_the_layout_and_tell_nothing(faces_folder, tmp_path):
    done = phantom("--out", tmp_path / "study", "--faces", faces_folder, "--patients", 2)
    assert done.exit_code == 0, done.output
    study, apart = tmp_path / "study", tmp_path / "study-truth"
    photos = sorted(str(file.relative_to(study)) for file in study.glob("*/*/front.jpg"))
    assert len(photos) == 6
    assert photos[0] == "P001/visit-1/front.jpg"
    said = json.loads((study / "phantom.json").read_text())
    truth, plan = (apart / "truth.csv").read_bytes(), json.loads((apart / "phantom.json").read_text())
    salted = hashlib.sha256(plan["salt"].encode() + truth).hexdigest()
    assert said["salted_truth_sha256"] == salted != hashlib.sha256(truth).hexdigest()
    assert not list(study.rglob("*.csv"))
    assert "arm" not in json.dumps(said)


def test_more_visits_are_made_as_asked_for(tmp_path):
    done = phantom("--out", tmp_path / "study", "--patients", 4, "--visits", 5)
    assert done.exit_code == 0
    truth = rows(tmp_path / "study-truth" / "truth.csv")
    assert {row["visit"] for row in truth} == {f"visit-{n}" for n in range(1, 6)}


@pytest.mark.long
@photographs
def test_a_head_is_photographed_from_both_sides_too(faces_folder, tmp_path):
    from masi_vision.config import load_settings
    from masi_vision.visit.models import shipped_models
    from masi_vision.visit.seen import see_photo

    study = tmp_path / "study"
    words = ("--faces", faces_folder, "--patients", 1, "--visits", 2, "--three-views", "--seed", 4)
    assert phantom("--out", study, *words).exit_code == 0
    yaw = {
        photo.stem: see_photo(photo, load_settings(), shipped_models()).face.pose.yaw_deg
        for photo in (study / "P001" / "visit-1").glob("*.jpg")
    }
    assert yaw["right"] > 20 > 10 > abs(yaw["front"])
    assert yaw["left"] < -20
    assert "seed" not in json.loads((study / "phantom.json").read_text(encoding="utf-8"))  # it tells the arms


def test_what_cannot_be_made_is_said_in_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    for place, said in ((".", "is there already"), ("file/study", "cannot be written")):
        refused = phantom("--out", place, "--patients", 4)
        assert refused.exit_code == 2, refused.output
        assert said in " ".join(refused.output.split())


@photographs
def test_a_folder_of_faces_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "index.csv").write_text("id,file\n")
    refused = phantom("--out", tmp_path / "study", "--faces", tmp_path, "--patients", 4)
    assert refused.exit_code == 2, refused.output
    assert "cannot be read" in " ".join(refused.output.split())


def test_tables_alone_need_no_pytorch(tmp_path):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'scipy', 'onnx'))); "
        "from masi_vision.cli.main import main; "
        f"sys.argv = ['masi', 'phantom', '--out', {str(tmp_path / 'study')!r}, '--patients', '2']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "study-truth" / "truth.csv")) == 2 * 3 * 4
