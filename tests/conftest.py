"""What several tests share: the shipped atlas, faces made of it, the demo photographs, the training faces."""

import one_thread  # noqa: F401  # isort: skip

import compileall
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import settings as hypothesis_settings
from remembered import remembered, remembered_by_values
from scored_here import Here
from typer.main import get_command

import masi_vision
from masi_vision.config import load_settings
from masi_vision.face.align import Alignment
from masi_vision.face.atlas import Subunit
from masi_vision.face.models import FaceModels, read_atlas
from masi_vision.phantom.demo import demo_folder
from masi_vision.shipped import shipped_file
from masi_vision.visit.models import Models, PigmentModel, shipped_models

# A busy machine is no failure: examples have no time limit of their own.
hypothesis_settings.register_profile("masi", deadline=None)
hypothesis_settings.load_profile("masi")

REPOSITORY = Path(__file__).resolve().parents[1]
SIX_POINTS = [33, 263, 1, 61, 291, 152]  # eyes' outer corners, nose, corners of the mouth, chin
SKIN_SRGB = (205, 165, 140)

cv2.setNumThreads(1)


def pytest_configure(config):
    """Compile the package once, as an installation does: many tests start processes of their own."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(masi_vision.__file__).parent, quiet=2)


@pytest.fixture(scope="session", autouse=True)
def no_models_of_ones_own(tmp_path_factory):
    """Models that a person has put in use on this machine are not those that are tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASI_MODELS", str(tmp_path_factory.mktemp("models") / "store"))
        yield


@pytest.fixture(scope="session", autouse=True)
def networks_that_remember():
    """What a network said of a picture it says again without computing."""
    with pytest.MonkeyPatch.context() as patch:
        for models, method, session in (
            (FaceModels, "find", "finder"),
            (FaceModels, "read", "reader"),
            (PigmentModel, "read", "reader"),
        ):
            patch.setattr(models, method, remembered(getattr(models, method), session))
        yield


@pytest.fixture(scope="session", autouse=True)
def settings_that_are_parsed_once():
    """YAML is read letter by letter in Python; every verb reads the shipped settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yaml.load", remembered_by_values(yaml.load))
        yield


@pytest.fixture(scope="module", autouse=True)
def keys_that_cost_little(request):
    """Hundreds are sealed and opened, at 0.4 s each; the full cost has a file of its own."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("full_cost") is None:
            patch.setattr("masi_vision.blinding.key._COST", 2**10)
        yield


@pytest.fixture(scope="session", autouse=True)
def command_line_that_is_made_once():
    """Typer makes every verb anew, a tenth of a second, each time one is called."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", cache(get_command))
        yield


@pytest.fixture
def scored_here(monkeypatch):
    """`masi batch` without processes of its own; tests/batch/test_faults.py has it with them."""
    monkeypatch.setattr("masi_vision.cli.studies.LocalWorkers", Here)


@pytest.fixture(scope="session")
def atlas():
    return read_atlas(shipped_file("models", "face_atlas.npz"))


@pytest.fixture(scope="session")
def settings():
    return load_settings()


@pytest.fixture(scope="session")
def by_rules():
    """Settings that measure by rules: on faces made of even skin, of which no network learned anything."""
    shipped = load_settings()
    pigment = shipped.pigment.model_copy(update={"method": "classical"})
    return shipped.model_copy(update={"pigment": pigment})


@pytest.fixture(scope="session")
def faces_folder():
    """The synthetic face photographs; a stranger's clone has none."""
    folder = Path(os.environ.get("MASI_FACES", REPOSITORY.parent / "shared" / "faces"))
    if not (folder / "index.csv").is_file():
        pytest.skip(f"needs the synthetic training faces: none at {folder} (set MASI_FACES to their folder)")
    return folder


@pytest.fixture(scope="session")
def demo_visits():
    """The folders of the demo study's visits."""
    found = sorted({photo.parent for photo in demo_folder().glob("*/*/front.jpg")})
    assert found, "the package carries no demo photographs"
    return found


@pytest.fixture(scope="session")
def fresh_python():
    """Run a piece of Python in a process of its own; gives back what it printed."""

    def run(code):
        place = str(Path(masi_vision.__file__).resolve().parents[1])
        path = os.pathsep.join(p for p in (place, os.environ.get("PYTHONPATH", "")) if p)
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def placed(atlas):
    """The mean face in a photo: centre of the eyes at x, y, leaning clockwise; (478, 3) px."""

    def place(x, y, eye_distance_px, lean_deg=0.0):
        angle = np.deg2rad(lean_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        face = atlas.landmark_mean.astype(np.float64) - atlas.landmark_mean[[33, 263]].mean(axis=0)
        face[:, :2] = face[:, :2] @ turn.T
        return (face * eye_distance_px + (x, y, 0)).astype(np.float32)

    return place


class KnownFace:
    """Stands in for the face models where their arithmetic is tested: it knows where the mean face is.

    The networks' contract: `find` sees the whole photo in 128 x 128 px, its long side filling it, centred;
    `read` sees the upright crop, in which the mean face always lies at one place.
    """

    def __init__(self, atlas, landmarks, shape, probability=0.99):
        self.atlas, self.probability = atlas, probability
        self.sha256 = {"known.onnx": "0" * 64}
        height, width = shape
        scale = 128 / max(height, width)
        self.size = (round(height * scale), round(width * scale))
        margin = (128 - np.array(self.size[::-1])) // 2
        self.seen = (landmarks[SIX_POINTS, :2] + 0.5) * scale - 0.5 + margin
        self.in_crop = self._in_crop()
        drawn = Alignment(atlas, self.in_crop).to_photo(atlas.labels, (0, 0, 192, 192), nearest=True)
        self.shares = (drawn[None] == np.arange(len(Subunit))[:, None, None]).astype(np.float32)

    def _in_crop(self):
        """The mean face where 62 of the crop's 192 px are the eye distance, its nodes' box in the middle."""
        mean = self.atlas.landmark_mean
        nodes = Alignment(self.atlas, mean).nodes[:, :2]
        middle = (nodes.min(axis=0) + nodes.max(axis=0)) / 2
        return ((mean - (*middle, mean[:, 2].mean())) * 62 + (95.5, 95.5, 0)).astype(np.float32)

    def find(self, picture):
        assert picture.shape == (128, 128, 3)
        assert picture.dtype == np.uint8
        there = picture.any(axis=2)
        of_a_part = (there.any(axis=1).sum(), there.any(axis=0).sum()) != self.size  # beside the face
        cells = (np.arange(32) + 0.5) * 4 - 0.5
        away = (cells[None, None, :] - self.seen[:, 0, None, None]) ** 2
        away = away + (cells[None, :, None] - self.seen[:, 1, None, None]) ** 2
        return 0.0 if of_a_part else self.probability, (-away / (2 * 2.6**2)).astype(np.float32)

    def read(self, picture):
        assert picture.shape == (192, 192, 3)
        return self.shares, self.in_crop


@pytest.fixture(scope="session")
def known_face(atlas):
    """Make stand-in models that know where the mean face lies in a photo of this shape."""

    def make(landmarks, shape, **options):
        return KnownFace(atlas, landmarks, shape, **options)

    return make


@pytest.fixture(scope="session")
def known_models(known_face):
    """The same beside the shipped pigment network, as scoring takes them."""

    def make(landmarks, shape, **options):
        return Models(known_face(landmarks, shape, **options), shipped_models().pigment)

    return make


@pytest.fixture(scope="session")
def plain_skin():
    """Pixels of one skin colour with a fine grain, 8-bit sRGB, above a strip of green cloth."""

    def make(height, width, colour=SKIN_SRGB):
        colours = np.broadcast_to(np.array(colour), (height, width, 3)).copy()
        colours[-(height // 8) :] = (40, colour[1], 60)
        grain = np.random.default_rng(4).normal(0, 1.2, (height, width, 1))
        return np.clip(np.rint(colours + grain), 0, 255).astype(np.uint8)

    return make
