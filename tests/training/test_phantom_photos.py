"""Whole photographs of phantoms: truth follows the camera into the frame of the measures."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")
if find_spec("scipy") is None:
    pytest.skip("needs the extra train", allow_module_level=True)

import cv2

from masi_vision.face.align import Alignment
from masi_vision.face.find import find_face
from masi_vision.phantom.capture import Capture
from masi_vision.phantom.colour import delta_l_of
from masi_vision.phantom.demo import demo_folder
from masi_vision.phantom.melasma import Melasma, no_melasma
from masi_vision.photo import srgb_to_linear
from masi_vision.training.data import LabelledFace
from masi_vision.training.phantom_photos import (
    Scene,
    can_be_planted,
    change_rows,
    drawn_melasma,
    four_pictures,
    photographed,
    picture_of,
    planted_change_od,
    rows_of,
)
from masi_vision.visit.models import shipped_models

BROWN = np.array([0.72, 1.02, 1.26], np.float32)


@pytest.fixture(scope="module")
def models():
    return shipped_models()


@pytest.fixture(scope="module")
def person(models):
    """A demo photograph as a labelled face: landmarks and visible skin as found in it."""
    pixels = cv2.imread(str(demo_folder() / "demo-01" / "visit-2" / "front.jpg"), cv2.IMREAD_COLOR_RGB)
    face = find_face(pixels, models.face, min_probability=0.5)
    labels = face.photo_codes((0, 0, *pixels.shape[:2]))
    return LabelledFace("00001", pixels, labels, face.alignment.landmarks, 0.0)


@pytest.fixture(scope="module")
def melasma(models):
    """One square patch on the right cheek."""
    density = np.zeros(models.face.atlas.labels.shape, np.float32)
    density[230:290, 60:120] = 0.15
    return Melasma(density, density > 0, BROWN)


@pytest.fixture(scope="module")
def settings(by_rules):
    return by_rules


def test_a_scene_without_anything_is_the_photo_itself(person, models):
    clear = Scene(person, no_melasma(models.face.atlas.labels.shape))
    taken = photographed(clear, models.face.atlas, Capture(), np.random.default_rng(0))
    assert np.abs(taken.astype(int) - person.pixels).max() <= 1


def test_planted_pigment_darkens_the_photo_where_its_truth_lies(person, models, melasma):
    atlas, rng = models.face.atlas, np.random.default_rng(0)
    plain, marked = (
        photographed(Scene(person, m), atlas, Capture(), rng).astype(int)
        for m in (no_melasma(melasma.lesion.shape), melasma)
    )
    window = (0, 0, *person.pixels.shape[:2])
    over = Alignment(atlas, person.landmarks).to_photo(melasma.density_od, window)
    darker = (plain - marked).sum(axis=2)
    assert darker[over > 0.14].min() > 5
    assert np.abs(darker[over == 0]).max() <= 3


@pytest.mark.parametrize(
    "capture",
    [Capture(), Capture(turn_deg=8, shift_px=(12, -7)), Capture(scale=0.6)],
    ids=["plain", "moved", "small"],
)
def test_truth_follows_the_camera(person, models, settings, melasma, capture):
    rng = np.random.default_rng(0)
    picture = picture_of(Scene(person, melasma), capture, models, settings, rng)
    both = (picture.lesion & melasma.lesion).sum() / (picture.lesion | melasma.lesion).sum()
    assert both > 0.85
    assert np.median(picture.density_od[picture.lesion]) == pytest.approx(0.15, abs=0.01)


def test_what_changed_is_known_wherever_the_photos_were_taken(person, models, settings, melasma):
    """And is nothing, to the last digit, between two photographs of one scene."""
    rng = np.random.default_rng(0)
    half = melasma.after_treatment(np.full(melasma.lesion.shape, 0.5, np.float32))
    before, again, after = (
        picture_of(Scene(person, planted), capture, models, settings, rng)
        for planted, capture in (
            (melasma, Capture()),
            (melasma, Capture(turn_deg=8, shift_px=(12, -7))),
            (half, Capture(scale=0.8, turn_deg=-5)),
        )
    )
    assert before.density_od.max() > 0.1
    assert (planted_change_od(before, again, models.face.atlas) == 0).all()
    changed = planted_change_od(before, after, models.face.atlas)
    np.testing.assert_allclose(changed, -before.density_od / 2, atol=1e-6)


def test_a_change_stands_in_the_rows_as_planted_however_the_face_was_laid_into_the_frame(
    person, models, settings, melasma
):
    """Half of the pigment of one cheek went; the follow-up's frame lies some pixels beside its scene's."""
    half = melasma.after_treatment(np.full(melasma.lesion.shape, 0.5, np.float32))
    before, after = (
        picture_of(Scene(person, planted), capture, models, settings, np.random.default_rng(0))
        for planted, capture in ((melasma, Capture()), (half, Capture(scale=0.8, turn_deg=-5)))
    )
    beside = replace(after, density_od=np.roll(after.density_od, 9, axis=1))
    rows = list(change_rows(before, beside, models.face.atlas, settings))
    first, second = rows[::2], rows[1::2]
    assert [row.region for row in first] == ["forehead", "right_malar", "left_malar", "chin"]
    for one, other in zip(first, second, strict=True):
        assert other.true_integrated_od == pytest.approx(one.true_integrated_od / 2, abs=1e-6)
    found, planted = (
        [getattr(other, name) - getattr(one, name) for one, other in zip(first, second, strict=True)]
        for name in ("integrated_od", "true_integrated_od")
    )
    assert planted[1] < -0.005 < -0.0005 < min(planted[0], *planted[2:])
    np.testing.assert_allclose(found, planted, atol=0.004)


def test_an_estimate_that_is_the_truth_has_rows_without_error(person, models, settings, melasma):
    picture = picture_of(Scene(person, melasma), Capture(), models, settings, np.random.default_rng(0))
    rows = list(rows_of(picture, "truth", picture.lesion, picture.density_od))
    assert [row.region for row in rows] == ["forehead", "right_malar", "left_malar", "chin"]
    for row in rows:
        assert row.fraction == row.true_fraction
        assert 2 * row.both_px == row.either_px
    assert rows[1].true_fraction > 0.1 > rows[2].true_fraction


def test_melasma_is_told_as_dark_as_it_is_where_its_density_is_at_the_end(person, models):
    """On dark skin as dense as it gets is less than the drop in lightness that was drawn."""
    dark = replace(person, pixels=np.full_like(person.pixels, (70, 50, 42)))
    skin = srgb_to_linear(dark.pixels[:1, :1])[0, 0]
    drawn = [
        drawn_melasma(dark, models.face.atlas, "held out", np.random.default_rng(seed)) for seed in range(24)
    ]
    most = [delta_l_of(skin, melasma.colour, 0.5) for melasma, _ in drawn]
    assert all(told <= end + 1e-3 for (_, told), end in zip(drawn, most, strict=True))
    assert sum(told == pytest.approx(end, abs=1e-3) for (_, told), end in zip(drawn, most, strict=True)) > 1


@pytest.mark.parametrize("families", ["training", "held out"])
def test_a_person_is_photographed_four_times(person, models, settings, families):
    pictures = four_pictures(person, models, settings, families, np.random.default_rng(1))
    assert [picture.state for picture in pictures] == ["clear", "again", "planted", "treated"]
    assert not pictures[0].lesion.any()
    assert pictures[2].density_od.sum() > pictures[3].density_od.sum()
    assert len({picture.distractor for picture in pictures}) == 1
    first, again, planted, treated = (picture.scene.lamp_deg for picture in pictures)
    assert first == planted == (0, 0) != again == treated


def test_a_photo_without_colour_or_without_skin_is_not_planted(person):
    assert can_be_planted(person)
    grey = np.repeat(person.pixels[..., :1], 3, axis=2)
    assert not can_be_planted(replace(person, pixels=grey))
    assert not can_be_planted(replace(person, labels=np.zeros_like(person.labels)))
