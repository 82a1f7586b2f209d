"""Tiny data sets of the demo photographs, whose annotator drew what the shipped models draw, or nearly."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from masi_vision.evaluation.photo_figures import drawn_codes
from masi_vision.evaluation.region_figures import RegionFigures
from masi_vision.evaluation.worst import lesion_of
from masi_vision.labels.dataset import OD_PER_STEP, Dataset, Entry, write_dataset, write_grey
from masi_vision.photo import read_photo
from masi_vision.visit.measure import measure_photo
from masi_vision.visit.models import shipped_models


@dataclass
class Drawn:
    """A demo photo as the shipped models measure it."""

    file: Any
    entry: Entry
    measures: Any
    codes: Any
    lesion: Any
    density_od: Any

    @property
    def landmarks(self):
        return self.measures.face.alignment.landmarks


@pytest.fixture(scope="session")
def models():
    return shipped_models()


@pytest.fixture(scope="session")
def drawn(demo_visits, settings, models):
    """Fronts of both demo patients and a left view, with the models' own drawing."""
    files = [visit / "front.jpg" for visit in demo_visits[:3]] + [demo_visits[0] / "left.jpg"]
    return [_measured(file, settings, models) for file in files]


def _measured(file, settings, models):
    patient, visit, view = file.parent.parent.name, file.parent.name, file.stem
    name = f"{patient}-{visit}-{view}"
    photo = read_photo(file)
    found = measure_photo(photo, view, settings, models)
    height, width = photo.srgb.shape[:2]
    density = found.face.alignment.to_photo(found.pigment.density_od, (0, 0, height, width))
    entry = Entry(
        f"photos/{name}.jpg",
        f"labels/{name}.png",
        f"pigment/{name}.png",
        patient,
        visit,
        view,
        "demo",
        "test",
    )
    return Drawn(file, entry, found, drawn_codes(found, photo), lesion_of(found, photo), density)


@pytest.fixture
def dataset(tmp_path):
    """Write a data set of drawn photos; what is drawn of each is changed by the functions given."""

    def write(drawn, *, labels=lambda codes: codes, pigment=lambda one: one.lesion, landmarks=True):
        (tmp_path / "photos").mkdir(exist_ok=True)
        for one in drawn:
            (tmp_path / one.entry.photo).write_bytes(one.file.read_bytes())
            write_grey(tmp_path / one.entry.labels, labels(one.codes).astype(np.uint8))
            drawing = pigment(one)
            write_grey(
                tmp_path / one.entry.pigment,
                drawing if drawing.dtype == np.uint16 else drawing.astype(np.uint8),
            )
        points = {one.entry.photo: one.landmarks for one in drawn} if landmarks else {}
        data = Dataset(tmp_path, tuple(one.entry for one in drawn), points)
        write_dataset(data)
        return data

    return write


@pytest.fixture(scope="session")
def density_steps():
    """The models' own density as a 16-bit picture, at least one step where they see a lesion."""

    def steps(one):
        told = np.where(one.lesion, np.maximum(one.density_od / OD_PER_STEP, 1), 0)
        return np.round(told).astype(np.uint16)

    return steps


@pytest.fixture(scope="session")
def region():
    """A region of which the models cover this share of the annotator's, who draws a tenth of the face."""

    def make(iou=1.0, **values):
        return RegionFigures(0.1 * iou, 0.1 * iou, 0.1, **values)

    return make


@pytest.fixture
def faceless(tmp_path):
    """Add a plain photo, labelled, to a data set."""

    def add(data, landmarks=None):
        name = "photos/plain.png"
        Image.fromarray(np.full((400, 300, 3), (150, 110, 90), np.uint8)).save(data.folder / name)
        labels = np.zeros((400, 300), np.uint8)
        for code, top in enumerate((100, 160, 220, 280), 1):
            labels[top : top + 50, 80:220] = code
        write_grey(data.folder / "labels/plain.png", labels)
        write_grey(data.folder / "pigment/plain.png", (labels == 1).astype(np.uint8))
        entry = Entry(name, "labels/plain.png", "pigment/plain.png", "nobody", split="test")
        points = dict(data.landmarks) | ({} if landmarks is None else {name: landmarks})
        return Dataset(data.folder, (*data.entries, entry), points), entry

    return add
