"""The page and the file: complete, safe to open, and the same figures in both."""

import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from masi_vision.evaluation.comparison import compared
from masi_vision.evaluation.measures import MEASURES
from masi_vision.evaluation.page import Evaluation, figure_text, to_dict, to_html
from masi_vision.evaluation.photo_figures import PhotoFigures, evaluate_dataset
from masi_vision.evaluation.summary import Figure
from masi_vision.evaluation.worst import worst_cases, worst_photos
from masi_vision.scale import MASI_REGIONS
from masi_vision.written import json_text

DOCS = Path(__file__).parents[2] / "docs" / "evaluation.md"
HASHES = {"face_reader.onnx": "ab" * 32}


@pytest.fixture
def figures(region):
    regions = {name: region(0.8) for name in MASI_REGIONS}
    return [
        PhotoFigures(f"{name}.jpg", name, view, "S", found=True, labelled=True, regions=regions)
        for name, view in (("a", "front"), ("b", "left"))
    ]


@pytest.fixture
def alone(figures):
    return Evaluation("<faces>", "test", "cd" * 32, {"mine & yours": HASHES}, figures)


@pytest.fixture
def beside(figures):
    models = {"mine": HASHES, "theirs": HASHES}
    return Evaluation("faces", "all", "cd" * 32, models, figures, figures, compared(figures, figures))


def test_the_page_fetches_nothing_and_escapes_names(alone):
    page = to_html(alone)
    assert "&lt;faces&gt;" in page and "<faces>" not in page
    assert "mine &amp; yours" in page
    assert not re.search(r"https?:|<script|<link|@import|src=\"(?!data:)", page)


def test_the_page_explains_every_figure_and_names_what_made_it(alone):
    page = to_html(alone)
    for measure in MEASURES.values():
        assert measure.title in page
    for fact in ("ab" * 32, "cd" * 32, "split test", "2 photos of 2 patients", "view: left"):
        assert fact in page


def test_the_page_says_what_the_comparison_comes_to(beside):
    page = to_html(beside)
    assert "Against theirs" in page
    assert "Mean IoU 0.800 against 0.800: the same, 2 patients." in page


def test_photos_that_cannot_be_read_stand_on_the_page(figures):
    broken = PhotoFigures("c.jpg", "c", "front", "", problem="c.jpg is <broken>.")
    page = to_html(Evaluation("d", "test", "", {"mine": HASHES}, [*figures, broken]))
    assert "1 photo could not be read" in page
    assert "c.jpg is &lt;broken&gt;." in page


def test_the_file_holds_the_same_figures(beside):
    values = json.loads(json_text(to_dict(beside)))
    assert list(values) == [
        "version",
        "dataset",
        "split",
        "models",
        "settings_sha256",
        "remarks",
        "summary",
        "comparison",
        "photos",
    ]
    assert values["summary"]["all"]["mean_iou"]["value"] == pytest.approx(0.8)
    assert set(values["summary"]["view: front"]) == set(MEASURES)
    assert values["summary"]["view: front"]["mmasi_error"] == {"value": None, "low": None, "high": None}
    assert values["comparison"]["against"] == "theirs"
    assert values["comparison"]["figures"]["mean_iou"]["p"] == 1
    assert values["photos"][0]["regions"]["chin"]["iou"] == pytest.approx(0.8)


def test_without_a_second_model_the_file_compares_nothing(alone):
    assert to_dict(alone)["comparison"] == {}


@pytest.mark.parametrize(
    ("name", "figure", "text"),
    [
        ("mean_iou", Figure(0.81, 0.7, 0.9), "0.810 (0.700 to 0.900)"),
        ("found", Figure(0.5), "50.0%"),
        ("boundary_error_percent", Figure(1.234, 1.0, 2.0), "1.23% (1.00% to 2.00%)"),
        ("mmasi_error", Figure(None), ""),
    ],
)
def test_figures_are_told_in_their_units(name, figure, text):
    assert figure_text(figure, name) == text


def test_the_worst_are_first_by_regions_then_by_pigment(region):
    def photo(name, iou, error):
        found = region(iou, graded=True, true_fraction=0.0, fraction=error)
        return PhotoFigures(name, name, "front", "", labelled=True, regions={"chin": found})

    photos = [photo("a", 0.9, 0.1), photo("b", 0.2, 0.2), photo("c", 0.5, 0.9), photo("d", 0.8, 0.5)]
    assert [one.photo for one in worst_photos(photos, 3)] == ["b", "c", "d"]
    assert [one.photo for one in worst_photos(photos, 9)] == ["b", "c", "d", "a"]
    assert worst_photos(photos, 0) == []


def test_pictures_of_the_worst_show_both_drawings(drawn, dataset, faceless, settings, models):
    data, _ = faceless(dataset(drawn[:1], labels=lambda codes: np.roll(codes, 20, axis=1)))
    figures = evaluate_dataset(data, None, settings)
    plain, shifted = worst_cases(data, figures, [("shipped", models)], settings, count=5)
    assert [whose for whose, _, _ in shifted.pictures] == ["annotator", "shipped"]
    assert plain.pictures[1][1] == "no face found"
    annotator, ours = (_picture(uri) for _, _, uri in shifted.pictures)
    assert max(annotator.shape) == max(ours.shape) == 420
    assert annotator.shape == ours.shape
    assert np.abs(annotator.astype(int) - ours).max() > 100
    (data.folder / drawn[0].entry.photo).unlink()
    assert len(worst_cases(data, figures, [("shipped", models)], settings, count=5)) == 1


def _picture(uri):
    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_the_documentation_names_every_figure():
    text = DOCS.read_text(encoding="utf-8")
    lacking = [name for name in MEASURES if f"`{name}`" not in text]
    assert lacking == []
