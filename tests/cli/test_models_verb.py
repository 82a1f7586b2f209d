"""`masi models` as a person meets it, and models other than the shipped ones in the verbs that score."""

import json
import shutil
from pathlib import Path

import pytest
from model_folders import copied, retrained
from verbs import masi, table

from masi_vision.cli.models import models as verbs
from masi_vision.report.tables import TABLES, models_hash
from masi_vision.visit import store
from masi_vision.visit.models import open_models, shipped_models

MANUAL = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("MASI_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "site-a"
    return retrained(folder, made_with="0.1.0", description="48 patients of one clinic")


@pytest.fixture
def trained(trained_once, tmp_path):
    """Models as a training left them; to be changed."""
    return shutil.copytree(trained_once, tmp_path / "site-a")


@pytest.fixture
def visit(demo_visits, tmp_path):
    """A study of one visit of one photo."""
    folder = tmp_path / "study" / "P01" / "visit-1"
    folder.mkdir(parents=True)
    shutil.copy(demo_visits[0] / "front.jpg", folder)
    return tmp_path / "study"


def short(models):
    return models_hash(models.sha256)[:8]


def line_of(shown, word):
    (line,) = [line for line in shown.splitlines() if word in line]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_list_names_models_with_what_they_are_and_where_added_ones_lie(trained, own_store):
    masi("models", "add", trained)
    done = masi("models", "list")
    assert done.exit_code == 0
    assert line_of(done.stdout, "│ shipped") == [
        *("shipped", "yes", "0.1.0", short(shipped_models())),
        *("melasma planted on synthetic faces of SFHQ and SFHQ-T2I (Dav...", "ok"),
    ]
    told = ["site-a", "", "0.1.0", short(open_models(trained)), "48 patients of one clinic", "ok"]
    assert line_of(done.stdout, "│ site-a") == told
    assert f"Added models lie in {own_store}." in done.stdout


@pytest.mark.long
def test_the_list_says_what_is_broken_and_fails_only_where_that_is_in_use(trained, own_store):
    masi("models", "add", trained)
    masi("models", "add", trained, "--name", "site-b")
    masi("models", "use", "site-b")
    (own_store / "site-a" / "face_finder.onnx").unlink()
    done = masi("models", "list")
    assert done.exit_code == 0
    assert "broken: " in done.stdout
    assert "is missing." in done.stdout
    (own_store / "site-b" / "face_finder.onnx").unlink()
    assert masi("models", "list").exit_code == 2


def test_added_models_are_said_with_how_to_use_them(trained):
    done = masi("models", "add", trained, "--name", "site-b")
    assert done.stdout == (
        "Added site-b. Score with it: masi models use site-b, or masi score ... --models site-b\n"
    )
    again = masi("models", "add", trained, "--name", "site-b")
    assert again.exit_code == 2
    assert again.stderr == (
        "masi: There are models called site-b already. Expected a new name. Name them with --name.\n"
    )


@pytest.mark.long
def test_models_that_are_the_shipped_ones_are_added_with_a_word(trained, tmp_path):
    done = masi("models", "add", copied(tmp_path / "site-c"))
    assert done.exit_code == 0
    assert "Every network of these models is the shipped one." in " ".join(done.stderr.split())
    assert "shipped one" not in masi("models", "add", trained).stderr


def test_models_of_a_training_that_did_not_finish_are_refused_with_what_to_do(trained, tmp_path):
    (tmp_path / "run").mkdir()
    trained.rename(tmp_path / "run" / "models.part")
    for verb in ("add", "verify"):
        done = masi("models", verb, tmp_path / "run" / "models")
        assert done.exit_code == 2
        said = " ".join(done.stderr.split())
        assert "the training did not finish" in said and "Make the same call of masi train again" in said


def test_every_file_is_verified_with_its_hash(trained):
    done = masi("models", "verify", trained)
    assert done.exit_code == 0
    for file, digest in open_models(trained).face.sha256.items():
        assert f"ok      {file}  {digest}\n" in done.stdout
    assert done.stdout.endswith(
        f"site-a, hash {models_hash(open_models(trained).sha256)}: every file is the one that its card "
        "describes, and every network runs.\n"
    )


def test_an_altered_file_is_told_among_the_others_with_exit_code_2(trained):
    (trained / "face_reader.onnx").write_bytes(b"x")
    done = masi("models", "verify", trained)
    assert done.exit_code == 2
    assert "NOT OK  face_reader.onnx  6f11178cfd15" in done.stdout
    assert "site-a/face_reader.onnx has SHA-256 2d711642b726. Expected 6f11178cfd15, as in its" in done.stdout
    assert "ok      pigment.json" in done.stdout
    assert done.stdout.endswith("These models cannot be used: see NOT OK above.\n")


def test_what_no_single_file_tells_is_said_too(trained):
    card = json.loads((trained / "pigment.json").read_text()) | {"atlas": "another"}
    (trained / "pigment.json").write_text(json.dumps(card))
    done = masi("models", "verify", trained)
    assert done.exit_code == 2
    assert "masi: site-a/pigment.json is for atlas another. Expected sfhq-atlas-1" in done.stderr


def test_without_a_name_those_in_use_are_verified(trained):
    assert "shipped, hash " in masi("models", "verify").stdout
    masi("models", "add", trained)
    masi("models", "use", "site-a")
    assert "site-a, hash " in masi("models", "verify").stdout
    assert masi("models", "verify", "nothing").exit_code == 2


def test_use_says_what_scores_are_made_with_and_the_way_back(trained):
    masi("models", "add", trained)
    done = masi("models", "use", "site-a")
    assert done.stdout == "Scores are made with site-a from now on. Back: masi models use shipped\n"
    assert masi("models", "use", "shipped").stdout == "Scores are made with shipped from now on.\n"
    assert masi("models", "use", "site-b").exit_code == 2


def test_models_of_newer_code_are_used_with_a_remark_each_time(trained, visit, tmp_path, monkeypatch):
    monkeypatch.setattr("masi_vision.cli.selftest.run_selftest", lambda: [("planted pigment", True, "found")])
    (trained / "model.json").write_text(json.dumps({"made_with": "7.0.1"}))
    said = "masi: The models were written by masi_vision 7.0.1, and this is 0.1.0."
    assert said in masi("models", "add", trained).stderr
    assert said in masi("models", "use", "site-a").stderr
    assert said in masi("models", "verify", "site-a").stderr
    assert said[6:] in masi("models", "list").stdout
    assert said in masi("score", visit, "--out", tmp_path / "out").stderr
    assert said[6:] in masi("doctor").stdout


def test_scores_of_other_models_name_them_in_every_table_and_batch_writes_the_same(trained, visit, tmp_path):
    scored, batched = tmp_path / "scored", tmp_path / "batched"
    done = masi("score", visit, "--out", scored, "--no-overlays", "--models", trained)
    assert done.stderr == (
        f"masi: with the models site-a ({short(open_models(trained))}), not the shipped ones.\n"
    )
    _, (row,) = table(scored / "scores.csv")
    assert row["models"] == "site-a"
    assert row["models_sha256"] == models_hash(open_models(trained).sha256)
    (nested,) = json.loads((scored / "scores.json").read_text())
    assert nested["provenance"]["models"] == "site-a"
    run = json.loads((scored / "run.json").read_text())
    assert run["models"] == "site-a"
    assert run["models_sha256"] == open_models(trained).sha256
    assert str(tmp_path) not in "".join((scored / name).read_text() for name in TABLES)
    assert masi("batch", visit, "--out", batched, "--models", trained).stderr == done.stderr
    for name in ("scores.csv", "regions.csv", "scores.json"):
        assert (batched / name).read_bytes() == (scored / name).read_bytes(), name


@pytest.mark.long
def test_cut_points_that_were_fitted_to_other_models_are_told_by_every_verb_that_grades(
    trained, visit, tmp_path, scored_here
):
    shutil.copytree(visit / "P01" / "visit-1", visit / "P01" / "visit-2")
    mine = tmp_path / "mine.yaml"
    hashed = models_hash(open_models(trained).sha256)
    text = masi("config", "show").stdout.replace("scale:\n", f"scale:\n  fitted_to_models: {hashed}\n", 1)
    mine.write_text(text, encoding="utf-8")
    for number, verb in enumerate((("score", "--no-overlays"), ("batch",), ("compare", "--no-pictures"))):
        call = (verb[0], visit, *verb[1:], "--settings", mine)
        others = masi(*call, "--out", tmp_path / f"others-{number}")
        assert (
            "masi: the cut points of the settings were fitted to measures of models with the hash "
            f"{hashed[:8]}, and shipped ({short(shipped_models())}) measure."
        ) in others.stderr
        own = masi(*call, "--out", tmp_path / f"own-{number}", "--models", trained)
        assert "cut points" not in own.stderr


@pytest.mark.long
def test_models_in_use_score_until_the_option_names_others(trained, visit, tmp_path):
    masi("models", "add", trained)
    masi("models", "use", "site-a")
    used = masi("score", visit, "--out", tmp_path / "used", "--no-overlays")
    back = masi("score", visit, "--out", tmp_path / "back", "--no-overlays", "--models", "shipped")
    assert "masi: with the models site-a (" in used.stderr
    assert back.stderr == ""
    names = [table(tmp_path / out / "scores.csv")[1][0]["models"] for out in ("used", "back")]
    assert names == ["site-a", "shipped"]


def test_compare_and_qc_take_them_too(trained, visit, tmp_path):
    shutil.copytree(visit / "P01" / "visit-1", visit / "P01" / "visit-2")
    done = masi("compare", visit, "--out", tmp_path / "out", "--no-pictures", "--models", trained)
    assert done.exit_code == 1  # one file at both visits
    assert "masi: with the models site-a (" in done.stderr
    assert table(tmp_path / "out" / "changes.csv")[1][0]["models"] == "site-a"
    done = masi("qc", visit, "--out", tmp_path / "qc", "--models", trained)
    assert "masi: with the models site-a (" in done.stderr
    assert json.loads((tmp_path / "qc" / "run.json").read_text())["models"] == "site-a"


def test_models_that_are_not_there_are_exit_code_2_and_write_nothing(visit, tmp_path):
    for verb in ("score", "batch", "compare", "qc"):
        done = masi(verb, visit, "--out", tmp_path / "out", "--models", "site-z")
        assert done.exit_code == 2
        assert done.stderr == (
            "masi: There are no models site-z. Expected one of shipped, or a folder of models.\n"
        )
    assert not (tmp_path / "out").exists()


def test_the_demo_scores_by_the_shipped_models_whatever_is_in_use(trained, visit, tmp_path, monkeypatch):
    masi("models", "add", trained)
    masi("models", "use", "site-a")
    monkeypatch.setattr("masi_vision.phantom.demo.demo_folder", lambda: visit)
    done = masi("demo", "--out", tmp_path / "out")
    assert done.stderr == ""
    assert table(tmp_path / "out" / "scores.csv")[1][0]["models"] == "shipped"


def test_the_doctor_looks_at_the_models_in_use(trained, own_store, monkeypatch):
    monkeypatch.setattr("masi_vision.cli.selftest.run_selftest", lambda: [("planted pigment", True, "found")])
    assert "[ok] models in use: shipped, hash " in masi("doctor").stdout
    masi("models", "add", trained)
    masi("models", "use", "site-a")
    assert f"[ok] models in use: site-a, hash {short(open_models(trained))}" in masi("doctor").stdout
    shutil.rmtree(own_store / "site-a")
    done = masi("doctor")
    assert done.exit_code == 2
    assert "[FAILED] models in use: The models in use, site-a, are gone from" in done.stdout
    assert store.in_use() == "site-a"


def test_every_verb_and_file_stands_in_the_manual(trained):
    manual = MANUAL.read_text(encoding="utf-8")
    names = [one.name or one.callback.__name__ for one in verbs.registered_commands]
    assert [name for name in names if f"`masi models {name}" not in manual] == []
    assert [file.name for file in trained.iterdir() if f"`{file.name}`" not in manual] == []
