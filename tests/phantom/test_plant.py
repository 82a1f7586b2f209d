"""Planted pigment: its density is exactly what was asked for, and nothing that measures had a hand in it."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import masi_vision.phantom
from masi_vision.phantom.demo import demo_folder
from masi_vision.phantom.plant import COLOUR, Site, pigment_patches, planted, smooth_noise

CHEEKS = [Site((0.3, 0.5), (0.12, 0.1), 0.1), Site((0.7, 0.5), (0.12, 0.1), 0.2)]
SHAPE = (240, 200)


def patches(seed=1, sites=CHEEKS):
    return pigment_patches(SHAPE, sites, np.random.default_rng(seed))


@given(st.tuples(*[st.floats(0.02, 1)] * 3), st.floats(0, 0.6))
def test_planting_adds_exactly_the_asked_density(skin, density):
    before = np.full((2, 2, 3), skin, np.float32)
    after = planted(before, np.full((2, 2), density, np.float32))
    added = np.log10(before.astype(np.float64)) - np.log10(after.astype(np.float64))
    np.testing.assert_allclose(added, np.broadcast_to(density * COLOUR, added.shape), atol=2e-6)
    assert after.dtype == np.float32


def test_one_unit_of_pigment_takes_one_unit_of_light_over_the_channels():
    assert COLOUR.mean() == pytest.approx(1, abs=1e-6)
    assert COLOUR[0] < COLOUR[1] < COLOUR[2]  # brown: it takes blue most


def test_two_layers_of_pigment_are_one_of_both_densities():
    skin, density = np.full((*SHAPE, 3), 0.4, np.float32), patches()
    np.testing.assert_allclose(
        planted(planted(skin, density), density), planted(skin, 2 * density), rtol=1e-5
    )


def test_no_density_leaves_the_photo_alone():
    skin = np.random.default_rng(2).random((*SHAPE, 3)).astype(np.float32)
    np.testing.assert_array_equal(planted(skin, np.zeros(SHAPE, np.float32)), skin)


def test_the_same_seed_plants_the_same_patches_and_another_seed_others():
    np.testing.assert_array_equal(patches(1), patches(1))
    assert np.abs(patches(1) - patches(2)).max() > 0.02


def test_patches_lie_at_their_sites_with_their_densities():
    density = patches()
    right, left = density[:, :100], density[:, 100:]
    assert density.min() >= 0
    assert density[:60].max() < 0.02  # far from both
    assert np.median(right[right > 0.05]) == pytest.approx(0.1, rel=0.2)
    assert np.median(left[left > 0.1]) == pytest.approx(0.2, rel=0.2)


def test_without_a_site_nothing_is_planted():
    assert not patches(sites=[]).any()


@pytest.mark.parametrize("sigma", [0.2, 3.0, 20.0])
def test_noise_has_unit_spread_at_every_size(sigma):
    noise = smooth_noise(SHAPE, sigma, np.random.default_rng(3))
    assert (noise.mean(), noise.std()) == pytest.approx((0, 1), abs=1e-4)


def imports_of(node):
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (name.name for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield "." * child.level + (child.module or "")


def test_what_plants_imports_nothing_that_measures():
    """Truth never imports the estimator."""
    folder = Path(masi_vision.phantom.__file__).parent
    files = sorted(folder.glob("*.py"))
    assert {file.name for file in files} >= {"__init__.py", "plant.py", "demo.py"}
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        ours = [name for name in imports_of(tree) if name.startswith(("masi_vision", "."))]
        allowed = ("masi_vision.phantom.", "masi_vision.scale")  # the scale measures nothing
        assert all(name.startswith(allowed) for name in ours), (file.name, ours)


def test_the_demo_has_three_views_of_every_visit_and_its_truth(demo_visits):
    truth = json.loads((demo_folder() / "truth.json").read_text(encoding="utf-8"))
    names = {f"{visit.parent.name}/{visit.name}" for visit in demo_visits}
    assert names == set(truth["fraction_above_0.03_od"])
    for visit in demo_visits:
        assert {photo.stem for photo in visit.glob("*.jpg")} == {"front", "left", "right"}
    for fractions in truth["fraction_above_0.03_od"].values():
        assert set(fractions) == {"forehead", "right_malar", "left_malar", "chin"}
        assert all(0 <= fraction <= 1 for fraction in fractions.values())


def test_planted_pigment_is_what_the_map_measures():
    """The self-test's law on a plain picture, here for light and dark skin."""
    from masi_vision.pigment.rules import map_by_rules

    density = patches(sites=[Site((0.5, 0.5), (0.12, 0.1), 0.15)])
    for skin in ((0.45, 0.28, 0.2), (0.12, 0.062, 0.036)):
        photo = planted(np.full((*SHAPE, 3), skin, np.float32), density)
        found = map_by_rules(
            photo,
            np.ones(SHAPE, np.uint8),
            face_width_px=200.0,
            shading_scale_fraction=0.25,
            detection_threshold_od=0.03,
        ).density_od
        assert np.corrcoef(found.ravel(), density.ravel())[0, 1] > 0.9
        assert 0.4 * density.max() < found.max() < 1.1 * density.max()


def test_pixels_of_a_file_are_not_linear_light_to_plant_on():
    with pytest.raises(ValueError, match=r"linear light in \[0, 1\], got uint8"):
        planted(np.full((2, 2, 3), 128, np.uint8), np.zeros((2, 2), np.float32))
