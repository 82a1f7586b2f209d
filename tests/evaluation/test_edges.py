"""Where figures turn: skin behind a pixel, the share that must be seen, whose landmarks, classes of skin."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from masi_vision.evaluation.measures import MEASURES
from masi_vision.evaluation.photo_figures import PhotoFigures, evaluate_photo, tone_of_pixels
from masi_vision.evaluation.pigment_truth import TruthOnFace, with_pigment
from masi_vision.evaluation.region_figures import boundary_distance_px
from masi_vision.evaluation.summary import summary
from masi_vision.face.align import skin_area
from masi_vision.labels.dataset import Dataset
from masi_vision.photo import srgb_to_linear
from masi_vision.scale import MASI_REGIONS
from masi_vision.skin.tone import ita_deg, lab


@pytest.fixture
def outer_cheek(atlas):
    """Truth on the mean face: pigment on the outer half of the right malar region."""
    cheek = atlas.labels == 2
    middle = np.median(np.nonzero(cheek)[1])
    lesion = cheek & (np.arange(cheek.shape[1]) < middle)
    return TruthOnFace(atlas, atlas.labels, np.ones_like(cheek), lesion, None)


def test_the_true_fraction_is_by_skin_and_not_by_pixels(atlas, outer_cheek, settings, models):
    cheek, area = atlas.labels == 2, skin_area(atlas)
    found = with_pigment({}, outer_cheek, None, settings, models)["right_malar"]
    assert found.true_fraction == pytest.approx(area[outer_cheek.lesion].sum() / area[cheek].sum())
    assert found.true_fraction > outer_cheek.lesion.sum() / cheek.sum() + 0.02
    assert (found.fraction, found.graded) == (None, False)


def test_a_region_is_graded_from_the_share_that_the_settings_ask_for(drawn, outer_cheek, settings, models):
    least = settings.quality.visible_fraction.fail
    graded = []
    for seen in (least, least - 1e-6):
        measures = drawn[0].measures
        regions = {
            name: None if one is None else replace(one, visible_fraction=seen)
            for name, one in measures.regions.items()
        }
        found = with_pigment({}, outer_cheek, replace(measures, regions=regions), settings, models)
        graded.append([found[name].graded for name in MASI_REGIONS])
    assert graded == [[True] * 4, [False] * 4]


def test_where_half_of_the_pigment_is_not_known_both_are_of_the_other_half(drawn, dataset, settings, models):
    """The annotator agrees with the models wherever something is known."""

    def half(one):
        known = one.lesion.astype(np.uint8)
        known[:, : known.shape[1] // 2] = 255
        return known

    shown = [one for one in drawn if one.lesion.any()][:1]
    data = dataset(shown, pigment=half)
    figures = evaluate_photo(data, data.entries[0], models, settings)
    errors = [one.fraction_error for one in figures.regions.values() if one.fraction_error is not None]
    assert len(errors) >= 3
    assert max(errors) < 0.02
    assert not figures.clear


def test_a_photo_whose_skin_was_hardly_looked_at_is_not_clear(drawn, dataset, settings, models):
    clear = {}
    for share in (0.05, 1.0):

        def looked_at(one, share=share):
            layer = np.zeros_like(one.codes)
            layer[:, : int((1 - share) * layer.shape[1])] = 255
            return layer

        data = dataset(drawn[:1], pigment=looked_at)
        clear[share] = evaluate_photo(data, data.entries[0], models, settings).clear
    assert clear == {0.05: False, 1.0: True}


def test_a_photo_is_clear_whatever_is_said_of_nose_and_lip(drawn, dataset, settings, models):
    def without_nose(one):
        return np.where(np.isin(one.codes, (5, 6)), 255, 0)

    data = dataset(drawn[:1], pigment=without_nose)
    assert evaluate_photo(data, data.entries[0], models, settings).clear


def test_the_landmarks_of_the_data_set_come_before_those_found(drawn, dataset, settings, models):
    data, entry = dataset(drawn[:1]), drawn[0].entry
    doubled = Dataset(data.folder, data.entries, {entry.photo: 2 * drawn[0].landmarks})
    own, other = (evaluate_photo(one, entry, models, settings).region("forehead") for one in (data, doubled))
    assert other.true_area == pytest.approx(own.true_area / 4)
    assert other.iou == own.iou == 1


def test_a_clear_region_that_is_hardly_seen_has_no_false_fraction(region):
    values = {"true_fraction": 0.0, "fraction": 0.3, "true_contrast_od": 0.0}
    seen, hidden = (region(1.0, graded=graded, **values) for graded in (True, False))
    photo = PhotoFigures("a", "a", "front", "", clear=True, regions={"chin": hidden, "forehead": seen})
    assert MEASURES["false_fraction"].parts(photo) == (0.3, 1)
    assert MEASURES["fraction_error"].parts(photo) == (0, 0)


@pytest.mark.parametrize(("apart", "exact", "within"), [(0, 1, 1), (1, 0, 1), (-1, 0, 1), (2, 0, 0)])
@pytest.mark.parametrize("grade", ["area", "darkness"])
def test_one_grade_beside_is_within_one_and_two_are_not(region, grade, apart, exact, within):
    one = region(1.0, graded=True, true_fraction=0.2, fraction=0.2, **{f"{grade}_difference": apart})
    found = summary([PhotoFigures("a", "a", "front", "", regions={"chin": one})])
    assert (found[f"{grade}_exact"].value, found[f"{grade}_within_one"].value) == (exact, within)


def test_classes_of_skin_turn_at_41_28_and_10_degrees():
    for skin in np.random.default_rng(7).integers((60, 45, 35), (250, 220, 200), (200, 3)).astype(np.uint8):
        angle = float(ita_deg(lab(srgb_to_linear(skin[None, None])[0, 0])))
        place = int(np.searchsorted([10, 28, 41], angle))
        word = ("brown and dark", "tan", "intermediate", "light")[place]
        assert tone_of_pixels(skin[None]).startswith(word)


def test_the_distance_of_outlines_is_the_same_to_the_last_digit_with_more_threads(atlas):
    one = np.kron(atlas.labels == 1, np.ones((2, 2), bool))
    other = np.roll(one, (7, 4), axis=(0, 1))
    found = []
    try:
        for threads in (1, 2, 3):
            cv2.setNumThreads(threads)
            found.append(boundary_distance_px(one, other))
    finally:
        cv2.setNumThreads(1)
    assert found[0] == found[1] == found[2]
