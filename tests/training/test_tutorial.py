"""docs/training.md, command by command, on the demonstration photographs."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from short_experiment import short
from verbs import masi, table

torch = pytest.importorskip("torch", reason="needs the extra train")
if find_spec("segmentation_models_pytorch") is None:
    pytest.skip("needs the extra train", allow_module_level=True)

from masi_vision.phantom.demo import demo_folder  # noqa: E402
from masi_vision.training.fit import log_of  # noqa: E402


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Photographs of two patients, drawn by the shipped models and read back as an annotator's."""
    folder = tmp_path_factory.mktemp("site")
    for place in sorted(demo_folder().glob("*/*/front.jpg"))[:4]:
        kept = folder / "photos" / place.parent.parent.name / place.parent.name / "front.jpg"
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place, kept)
    suggested = masi("labels", "suggest", folder / "photos", "--out", folder / "suggested")
    assert suggested.exit_code == 0, suggested.output
    patients = sorted({file.parent.parent.name for file in (folder / "photos").glob("*/*/front.jpg")})
    rows = [
        f"{file.relative_to(folder / 'photos').as_posix()},{file.parent.parent.name},"
        f"{'train' if file.parent.parent.name == patients[0] else 'validation'}"
        for file in sorted((folder / "photos").glob("*/*/front.jpg"))
    ]
    (folder / "people.csv").write_text("\n".join(["photo,patient,split", *rows]) + "\n", encoding="utf-8")
    imported = masi(
        *("labels", "import", folder / "suggested" / "coco.json", "--photos", folder / "photos"),
        *("--table", folder / "people.csv", "--out", folder / "dataset"),
    )
    assert imported.exit_code == 0, imported.output
    return folder


@pytest.mark.long
def test_from_a_folder_of_photos_to_models_that_score(site):
    dataset, run = site / "dataset", site / "run"
    configs = [short("finetune_regions", site), short("finetune_pigment", site)]
    trained = masi("train", *configs, "--dataset", dataset, "--run", run)
    assert trained.exit_code == 0, trained.output
    assert (run / "finetune_regions" / "curves.png").is_file()
    card = json.loads((run / "models" / "face.json").read_text(encoding="utf-8"))
    assert card["networks"]["reader"]["largest_difference_to_pytorch"]["shares"] < 1e-4
    pigment = json.loads((run / "models" / "pigment.json").read_text(encoding="utf-8"))
    assert pigment["networks"]["pigment"]["largest_difference_to_pytorch"]["fraction"] <= 1e-3
    assert "intervals" in trained.output.lower()
    assert "unfinished" not in pigment
    assert pigment["errors_from"] in (run / "models" / "pigment.md").read_text(encoding="utf-8")

    photos = len(list((dataset / "photos").iterdir()))
    assert len(pigment["learned_photos"]) == len(card["learned_photos"]) == photos
    assert not (run / "models.part").exists()

    (run / "never_begun").mkdir()  # as a call leaves it whose second experiment could not be made ready
    shutil.copy(run / "finetune_pigment" / "experiment.json", run / "never_begun")
    again = masi("train", *configs, "--dataset", dataset, "--run", run)
    assert again.exit_code == 0, again.output
    other = short("finetune_regions", site).read_text(encoding="utf-8").replace("seed: 1", "seed: 2")
    (site / "finetune_regions.yaml").write_text(other, encoding="utf-8")
    refused = masi("train", *configs, "--dataset", dataset, "--run", run)
    assert refused.exit_code == 2
    assert "holds a run of another experiment: seed: 1 before, 2 now." in refused.output

    (site / "other.yaml").write_text(other, encoding="utf-8")
    alone = masi("train", site / "other.yaml", "--dataset", dataset, "--run", run)
    assert alone.exit_code == 2
    assert "holds what finetune_pigment, finetune_regions made" in " ".join(alone.output.split())
    there = masi("train", *configs, "--dataset", dataset, "--run", run, "--models", run / "models")
    assert there.exit_code == 2
    assert "both trained on and written" in " ".join(there.output.split())

    found = masi(
        *("evaluate", dataset, "--models", run / "models", "--against", "shipped", "--split", "validation"),
        *("--out", site / "evaluated", "--workers", 1),
    )
    assert found.exit_code == 0, found.output
    assert "learned from 1 of these photos, or was chosen by them" in " ".join(found.output.split())
    assert (site / "evaluated" / "evaluation.html").is_file()
    photo = next((site / "photos").glob("*/*/front.jpg"))
    scored = masi("score", photo, "--models", run / "models", "--out", site / "scored")
    assert scored.exit_code in (0, 1), scored.output
    _, rows = table(site / "scored" / "scores.csv")
    assert rows[0]["models"] == "models"


@pytest.mark.long
def test_where_no_validation_photo_shows_pigment_the_network_of_the_end_is_kept(site, tmp_path):
    dataset = shutil.copytree(site / "dataset", tmp_path / "dataset")
    for row in table(dataset / "dataset.csv")[1]:
        if row["split"] == "validation":
            codes = cv2.imread(str(dataset / row["pigment"]), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(dataset / row["pigment"]), np.zeros_like(codes))
    config = short("finetune_pigment", tmp_path)
    done = masi("train", config, "--dataset", dataset, "--run", tmp_path / "run")
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "No photo of the split validation shows pigment" in said
    assert "on the validation people: not looked at" in said
    made = json.loads((tmp_path / "run" / "models" / "pigment.json").read_text(encoding="utf-8"))
    one = made["networks"]["pigment"]
    assert (one["kept_step"], one["validation"]) == (one["steps"], {})


@pytest.mark.long
def test_of_two_processes_the_first_writes_the_models(site, tmp_path):
    """Both experiments of a call, each with a batch shared out; the log and the models are written once."""
    configs = [short("finetune_regions", tmp_path), short("finetune_pigment", tmp_path)]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run = tmp_path / "run"
    done = subprocess.run(
        [*launch, "-m", "--", "masi_vision", "train", *configs, "--dataset", site / "dataset", "--run", run],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Models:") == 1
    for config in configs:
        steps = [line["step"] for line in log_of(run / config.stem, "train")]
        assert steps == sorted(set(steps))
    assert masi("models", "verify", run / "models").exit_code == 0
