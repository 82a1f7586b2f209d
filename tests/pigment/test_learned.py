"""What the pigment network is given, and the map that is made of what it answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from masi_vision.errors import NotScorable
from masi_vision.pigment.learned import (
    AROUND,
    INPUT_CHANNELS,
    METHOD,
    NETWORK_SHAPE,
    density_input,
    map_by_network,
    network_input,
    read_both_ways,
)
from masi_vision.pigment.map import SUREST, surer

FRAME = (3 * NETWORK_SHAPE[0], 3 * NETWORK_SHAPE[1])
NEAR = {side: slice(6 + 3 * place, 9 + 3 * place) for place, side in enumerate(AROUND)}


@pytest.fixture(scope="module")
def face():
    rng = np.random.default_rng(3)
    skin = np.array([0.45, 0.28, 0.2]) * np.exp(rng.normal(0, 0.1, (*FRAME, 3)))
    codes = np.zeros(FRAME, np.uint8)
    codes[60:400, 60:330] = 1
    return skin.astype(np.float32), codes


@pytest.fixture(scope="module")
def marked(face):
    """The face with a dark square, and where it is in the network's frame."""
    linear, codes = face
    darker = linear.copy()
    darker[150:198, 120:180] *= 10**-0.1
    return darker, codes, (slice(50, 66), slice(40, 60))


@hypothesis_settings(max_examples=30)
@given(st.tuples(*[st.floats(0.5, 1.5)] * 3))
def test_exposure_and_white_balance_drop_out(face, gains):
    linear, codes = face
    before = network_input(linear, codes)
    after = network_input(linear * np.array(gains, np.float32), codes)
    np.testing.assert_allclose(after, before, atol=2e-4)


def test_normal_skin_is_zero_and_pigment_is_positive(marked):
    darker, codes, (rows, columns) = marked
    given = network_input(darker, codes)
    assert given.shape == (INPUT_CHANNELS, *NETWORK_SHAPE)
    skin = given[3] > 0
    assert np.abs(np.median(given[:3, skin], axis=1)).max() < 0.02
    assert given[:3, rows, columns].mean() == pytest.approx(0.1 / 0.3, abs=0.03)


def test_pigment_stands_out_against_skin_around_that_is_larger_than_it(marked):
    darker, codes, (rows, columns) = marked
    given = network_input(darker, codes)
    inner = slice(rows.start + 6, rows.stop - 6), slice(columns.start + 8, columns.stop - 8)
    wide, narrow = given[NEAR[0.25], *inner].mean(), given[NEAR[0.04], *inner].mean()
    assert wide > 0.5
    assert abs(narrow) < 0.1


def test_slow_light_is_gone_against_the_skin_around(face):
    linear, codes = face
    ramp = 10 ** np.linspace(-0.2, 0.2, FRAME[1], dtype=np.float32)
    before, after = network_input(linear, codes), network_input(linear * ramp[None, :, None], codes)
    inner = (slice(40, 110), slice(40, 90))
    assert abs(after[:3] - before[:3])[:, *inner].mean() > 0.1
    assert abs(after[NEAR[0.1]] - before[NEAR[0.1]])[:, *inner].max() < 0.1


def test_positions_run_from_minus_one_to_one_and_skin_is_where_codes_are(face):
    given = network_input(*face)
    assert (given[4, 0, 0], given[5, 0, 0]) == (-1, -1)
    assert (given[4, -1, -1], given[5, -1, -1]) == (1, 1)
    assert given[3].mean() == pytest.approx((face[1] > 0).mean(), abs=0.01)


def test_what_is_no_skin_stays_within_bounds_and_does_not_colour_the_skin_beside_it(face):
    linear, codes = face
    black, white = (np.where(codes[..., None] > 0, linear, v).astype(np.float32) for v in (0, 1))
    first, second = network_input(black, codes), network_input(white, codes)
    assert np.abs(first).max() <= 3
    skin = first[3] > 0
    np.testing.assert_allclose(first[:, skin], second[:, skin], atol=1e-5)


def test_a_face_without_skin_is_refused():
    with pytest.raises(
        NotScorable, match=r"visible \(0 pixels on the aligned face\)\. Expected at least 100\."
    ):
        density_input(np.zeros((*NETWORK_SHAPE, 3), np.float32), np.zeros(NETWORK_SHAPE, bool))


def sees_dark(given):
    """Stands in for the network: lesion where it is darker than the face's own skin."""
    darker = given[:3].mean(axis=0)
    return np.stack([40 * (darker - 0.2), np.maximum(3 * darker, 0)])


def test_the_map_has_the_lesion_where_it_is_and_its_density(marked):
    darker, codes, _ = marked
    found = map_by_network(darker, codes, sees_dark, lesion_probability=0.5, raised_by_doubt=0)
    truth = np.zeros(FRAME, bool)
    truth[150:198, 120:180] = True
    assert found.method == METHOD
    assert (found.lesion & truth).sum() / (found.lesion | truth).sum() > 0.85
    assert np.median(found.density_od[truth]) == pytest.approx(0.1, abs=0.02)
    assert (found.normal_rgb >= darker).all()
    assert not found.density_od[codes == 0].any()


def test_a_higher_probability_never_finds_more(marked):
    darker, codes, _ = marked
    areas = [
        map_by_network(darker, codes, sees_dark, lesion_probability=p, raised_by_doubt=0).lesion.sum()
        for p in (0.1, 0.5, 0.9)
    ]
    assert areas == sorted(areas, reverse=True)


def test_a_face_of_which_it_is_undecided_must_be_surer(marked):
    """By the share of its skin that is neither clear nor lesion."""
    linear, codes, _ = marked
    above = np.arange(NETWORK_SHAPE[0])[:, None] < NETWORK_SHAPE[0] / 2

    def half_undecided(given):
        return np.stack([np.where(above, 0.4, -9.0) + 0 * given[0], 0 * given[0]])

    found = map_by_network(linear, codes, half_undecided, lesion_probability=0.5, raised_by_doubt=0.4)
    skin = codes > 0
    share = ((found.probability > 0.3) & (found.probability < 0.8) & skin).sum() / skin.sum()
    assert 0.3 < share < 0.7
    assert found.lesion_probability == pytest.approx(0.5 + 0.4 * share)
    assert not found.lesion.any()  # sigmoid(0.4) = 0.6 would do without doubt
    all_of_it = np.full(found.probability.shape, 0.5, np.float32)
    assert surer(0.6, 0.9, all_of_it, skin) == SUREST
    assert surer(0.6, 0.9, all_of_it, ~skin & skin) == 0.6


def test_a_face_and_its_mirror_image_have_the_same_map(marked):
    """Even by a network that has a side of its own."""
    darker, codes, _ = marked

    def one_sided(given):
        return sees_dark(given) + given[4][None]

    plain = read_both_ways(darker, codes, one_sided)
    mirror = read_both_ways(darker[:, ::-1].copy(), codes[:, ::-1].copy(), one_sided)
    for here, there in zip(plain, mirror, strict=True):
        np.testing.assert_allclose(there[:, ::-1], here, atol=1e-4)
