"""A few drawn faces, labelled by the atlas itself: training code is tried on them without photographs."""

import sys

import numpy as np
import pytest

from masi_vision.face.align import Alignment


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two workers' threads would fight for both cores."""
    torch = sys.modules.get("torch")
    if torch is None:  # nothing of this module needs it
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shipped_experiment():
    """An experiment that comes with masi_vision, with parts of it replaced."""
    load = pytest.importorskip(
        "masi_vision.training.experiment", reason="needs the extra train"
    ).load_experiment

    def made(name, **parts):
        experiment = load(name)
        changes = {
            part: getattr(experiment, part).model_copy(update=values) if isinstance(values, dict) else values
            for part, values in parts.items()
        }
        return experiment.model_copy(update=changes)

    return made


@pytest.fixture(scope="session")
def mirror(atlas):
    """The landmark opposite each on the mean face, its own opposite where it has no partner."""
    flipped = atlas.landmark_mean * (-1, 1, 1)
    nearest = np.array([np.linalg.norm(atlas.landmark_mean - p, axis=1).argmin() for p in flipped])
    own = np.arange(478)
    return np.where(nearest[nearest] == own, nearest, own)


@pytest.fixture(scope="session")
def drawn_faces(atlas, placed):
    """Faces whose subunits each have a colour of their own: red 40 times the code."""
    data = pytest.importorskip("masi_vision.training.data", reason="needs the extra train")
    faces = []
    for number, (x, y, eye, lean) in enumerate([(128, 115, 60, 0), (120, 130, 52, 10), (140, 120, 56, -8)]):
        landmarks = placed(x, y, eye, lean)
        labels = Alignment(atlas, landmarks).to_photo(atlas.labels, (0, 0, 256, 256), nearest=True)
        pixels = np.dstack([40 * labels, 90 + 20 * (labels > 0), np.full_like(labels, 70)]).astype(np.uint8)
        faces.append(data.LabelledFace(f"{number:05d}", pixels, labels, landmarks, 0.0))
    return faces
