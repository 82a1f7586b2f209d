"""The two commands that make the shipped models again, with their experiments, on few faces and cut short."""

import csv
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from short_experiment import short

pytest.importorskip("torch", reason="needs the extra train")
if find_spec("segmentation_models_pytorch") is None:
    pytest.skip("needs the extra train", allow_module_level=True)

from masi_vision.config import load_settings
from masi_vision.phantom.demo import demo_folder
from masi_vision.shipped import shipped_file
from masi_vision.visit.models import open_models
from masi_vision.visit.score import score_photo

SCRIPTS = Path(__file__).parents[2] / "scripts"
FACES = 20


@pytest.fixture(scope="module")
def few(faces_folder, tmp_path_factory):
    """A folder of faces like the whole one, with every so many of its photographs."""
    folder = tmp_path_factory.mktemp("faces")
    for name in ("landmarks.npz", "atlas.json"):
        shutil.copy(faces_folder / name, folder / name)
    (folder / "photos").symlink_to(faces_folder / "photos")
    with (faces_folder / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    even = [row for row in rows if row["even_frontal"] == "1"]
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(even[:: len(even) // FACES][:FACES])
    return folder


@pytest.mark.long
@pytest.mark.parametrize(
    ("script", "experiments", "card"),
    [
        ("train_regions", ("face_finder", "face_reader"), "face.json"),
        ("train_pigment", ("pigment", "pigment_visits", "pigment_large"), "pigment.json"),
    ],
)
def test_the_shipped_models_can_be_made_again(few, tmp_path, script, experiments, card):
    configs = [str(short(name, tmp_path, samples=8, batch=4, validate_every=8)) for name in experiments]
    command = [sys.executable, SCRIPTS / f"{script}.py", "--faces", few, "--run", tmp_path / "run"]
    command += ["--cache", few / "cache", "--out", tmp_path / "models", "--config", *configs]
    done = subprocess.run(
        command + (["--people", "2"] if script == "train_pigment" else []),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    made = json.loads((tmp_path / "models" / card).read_text(encoding="utf-8"))
    assert made["sha256"].keys() <= {file.name for file in (tmp_path / "models").iterdir()}
    for file in shipped_file("models", "face.json").parent.glob("*"):  # those that the other command makes
        if not (tmp_path / "models" / file.name).exists():
            shutil.copy(file, tmp_path / "models" / file.name)
    photo = demo_folder() / "demo-01" / "visit-1" / "front.jpg"
    score = score_photo(photo, load_settings(), models=open_models(tmp_path / "models"))
    # Fitted with eight samples, the finder finds no face, and the map next to no pigment.
    assert score.reason == "no_face" if script == "train_regions" else score.status == "scored"
