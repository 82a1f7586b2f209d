"""Photographs whose annotator drew what the models draw, changed by something known."""

from dataclasses import replace

import numpy as np
import pytest

from masi_vision.errors import DatasetError
from masi_vision.evaluation.photo_figures import (
    entries_of,
    evaluate_dataset,
    evaluate_photo,
    tone_of_pixels,
)
from masi_vision.face.atlas import face_span
from masi_vision.labels.dataset import Dataset
from masi_vision.scale import MASI_REGIONS
from masi_vision.skin.tone import TONES


def shifted(by_px):
    return lambda codes: np.roll(codes, by_px, axis=1)


def test_models_agree_with_their_own_drawing(drawn, dataset, settings, models, density_steps):
    data = dataset(drawn, pigment=density_steps)
    for one in drawn:
        found = evaluate_photo(data, one.entry, models, settings)
        assert found.found and found.labelled and found.pigment_known and not found.swapped
        assert found.mean_iou == 1
        assert {region.boundary_error_percent for region in found.regions.values()} <= {0, None}
        assert found.fraction_error < 0.02
        assert found.lesion.both > 0.9 * found.lesion.found
    front = evaluate_photo(data, drawn[0].entry, models, settings)
    assert front.mmasi == pytest.approx(front.true_mmasi, abs=0.61)
    assert front.region("forehead").contrast_od == pytest.approx(
        front.region("forehead").true_contrast_od, abs=0.01
    )


def test_a_drawing_shifted_by_known_pixels_overlaps_as_its_pixels_say(drawn, dataset, settings, models):
    data, one = dataset(drawn[:1], labels=shifted(12)), drawn[0]
    found = evaluate_photo(data, one.entry, models, settings)
    moved = np.roll(one.codes, 12, axis=1)
    for code, name in enumerate(MASI_REGIONS, 1):
        both, either = ((one.codes == code) & (moved == code)).sum(), ((one.codes == code) | (moved == code))
        assert found.region(name).iou == pytest.approx(both / either.sum())
        error = found.region(name).boundary_error_percent
        assert 0 < error <= 100 * 12 / face_span(one.landmarks)


def test_a_larger_shift_is_never_better(drawn, dataset, settings, models):
    errors = []
    for by in (0, 5, 15, 30):
        found = evaluate_photo(dataset(drawn[:1], labels=shifted(by)), drawn[0].entry, models, settings)
        errors.append((1 - found.mean_iou, found.region("forehead").boundary_error_percent))
    assert errors == sorted(errors)


def test_swapped_labels_count_as_swapped(drawn, dataset, settings, models):
    mirrored = np.array([0, 1, 3, 2, 4, 5, 6], np.uint8)
    data = dataset(drawn[:1], labels=lambda codes: mirrored[codes])
    found = evaluate_photo(data, drawn[0].entry, models, settings)
    assert found.swapped
    assert found.region("right_malar").iou == found.region("left_malar").iou == 0
    assert found.region("forehead").iou == 1


def test_a_forehead_all_pigmented_has_the_fraction_one(drawn, dataset, settings, models):
    data = dataset(drawn[:1], pigment=lambda one: one.codes == 1)
    found = evaluate_photo(data, drawn[0].entry, models, settings)
    assert found.region("forehead").true_fraction == pytest.approx(1, abs=0.02)
    assert found.region("chin").true_fraction == 0
    forehead = found.region("forehead")
    assert forehead.fraction_error == pytest.approx(forehead.true_fraction - forehead.fraction)
    assert forehead.fraction_low <= forehead.fraction <= forehead.fraction_high
    assert forehead.interval_held == (forehead.fraction_high >= forehead.true_fraction)
    assert forehead.area_difference < 0
    assert forehead.darkness_difference is None  # nobody said how dark
    assert (found.mmasi, found.true_mmasi) == (None, None)


def test_a_lesion_counts_only_where_it_is_known(drawn, dataset, settings, models):
    def half_known(one):
        told = (one.codes == 1).astype(np.uint8)
        rows = np.nonzero(one.codes == 1)[0]
        told[: int(np.median(rows))] = 255
        return told

    found = evaluate_photo(dataset(drawn[:1], pigment=half_known), drawn[0].entry, models, settings)
    assert found.region("forehead").true_fraction == pytest.approx(1, abs=0.02)
    nobody = dataset(drawn[:1], pigment=lambda one: np.full(one.codes.shape, 255))
    found = evaluate_photo(nobody, drawn[0].entry, models, settings)
    assert found.region("forehead").true_fraction is None
    assert not found.clear


def test_a_clear_photo_is_known_to_be_clear(drawn, dataset, settings, models):
    data = dataset(drawn[:1], pigment=lambda one: np.zeros(one.codes.shape))
    found = evaluate_photo(data, drawn[0].entry, models, settings)
    assert found.clear
    assert found.lesion.true == found.lesion.both == 0
    assert found.region("left_malar").fraction_error == found.region("left_malar").fraction


def test_pigment_off_the_skin_that_masi_counts_leaves_a_photo_clear(drawn, dataset, settings, models):
    """A stray outline would make it a photo with pigment, of which every grade is right."""

    def astray(one):
        mask = np.zeros(one.codes.shape, np.uint8)
        mask[:60, :60] = 1
        assert not one.codes[:60, :60].any()
        return mask

    data = dataset(drawn[:1], pigment=astray)
    assert evaluate_photo(data, data.entries[0], models, settings).clear


def test_without_labels_the_pigment_is_compared_on_the_regions_found(drawn, dataset, settings, models):
    data, entry = dataset(drawn[:1]), replace(drawn[0].entry, labels="")
    found = evaluate_photo(data, entry, models, settings)
    assert not found.labelled
    assert found.mean_iou is None and found.tone == ""
    assert found.fraction_error < 0.02


@pytest.mark.parametrize("known", [True, False], ids=["landmarks", "no landmarks"])
def test_a_face_that_is_not_found_counts_as_nothing_drawn(
    drawn, dataset, faceless, placed, settings, models, known
):
    points = placed(150, 170, 90) if known else None
    data, entry = faceless(dataset(drawn[:1]), points)
    found = evaluate_photo(data, entry, models, settings)
    assert not found.found and not found.problem
    assert found.mean_iou == 0
    assert found.lesion.true > 0 and found.lesion.found == 0
    assert found.fraction_error is None
    outlined = evaluate_photo(data, replace(entry, labels=""), models, settings)  # of pigment alone
    assert outlined.lesion.true > 0 and outlined.lesion.found == 0
    assert outlined.fraction_error is None


def test_landmarks_found_stand_in_for_those_of_the_data_set(drawn, dataset, settings, models):
    entry = drawn[0].entry
    data = dataset(drawn[:1], labels=shifted(6))
    without = Dataset(data.folder, data.entries, {})
    ours, theirs = (evaluate_photo(one, entry, models, settings) for one in (without, data))
    assert ours == theirs


def test_a_photo_that_cannot_be_read_is_listed(drawn, dataset, settings):
    data = dataset(drawn[:2])
    (data.folder / drawn[0].entry.photo).write_text("no picture")
    first, second = evaluate_dataset(data, None, settings)
    assert first.photo == drawn[0].entry.photo
    assert first.problem.startswith("demo-01-visit-1-front.jpg")
    assert "Expected" in first.problem
    assert second.problem == "" and second.mean_iou == 1


@pytest.mark.long
def test_workers_change_nothing(drawn, dataset, settings):
    data, seen = dataset(drawn[:3], labels=shifted(3)), []
    alone = evaluate_dataset(data, None, settings, progress=lambda done, total: seen.append((done, total)))
    assert alone == evaluate_dataset(data, None, settings, workers=2)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_split_without_annotated_photos_is_refused(drawn, dataset):
    data = dataset(drawn[:1])
    assert entries_of(data, "all") == entries_of(data, "test") == data.entries
    with pytest.raises(DatasetError, match=r"has 0 photos in the split train.*--split"):
        entries_of(data, "train")
    with pytest.raises(ValueError, match=r"one of train, validation, test, all, got 'dev'"):
        entries_of(data, "dev")


def test_skin_is_classed_from_light_to_dark():
    skins = [(240, 215, 200), (190, 147, 115), (175, 130, 95), (70, 45, 35)]
    classes = [tone_of_pixels(np.full((9, 3), skin, np.uint8)) for skin in skins]
    assert classes == [name for name, _ in TONES]
    assert tone_of_pixels(np.zeros((0, 3), np.uint8)) == ""


def test_the_tone_of_a_face_is_that_of_its_clear_skin(drawn, dataset, settings, models):
    """A face half pigmented is no darker class: groups by tone would be groups by severity."""
    plain = evaluate_photo(dataset(drawn[:1]), drawn[0].entry, models, settings)
    half = dataset(drawn[:1], pigment=lambda one: np.isin(one.codes, (1, 2, 3)))
    photo = half.photo(drawn[0].entry)
    skin = half.labels(drawn[0].entry, photo.srgb.shape)
    clear = np.isin(skin, (4, 5, 6))
    found = evaluate_photo(half, drawn[0].entry, models, settings)
    assert found.tone == tone_of_pixels(np.asarray(photo.srgb, np.uint8)[clear])
    assert plain.tone == tone_of_pixels(np.asarray(photo.srgb, np.uint8)[np.isin(skin, (1, 2, 3, 4, 5, 6))])
