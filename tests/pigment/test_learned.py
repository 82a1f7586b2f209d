"""What the pigment network is given: exposure and white balance have dropped out of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masi_vision.pigment.learned import INPUT_CHANNELS, NETWORK_SHAPE, density_input, network_input


@pytest.fixture(scope="module")
def face():
    rng = np.random.default_rng(3)
    skin = np.array([0.45, 0.28, 0.2]) * np.exp(rng.normal(0, 0.1, (448, 384, 3)))
    codes = np.zeros((448, 384), np.uint8)
    codes[60:400, 60:330] = 1
    return skin.astype(np.float32), codes


@given(st.tuples(*[st.floats(0.5, 1.5)] * 3))
def test_exposure_and_white_balance_drop_out(face, gains):
    linear, codes = face
    before = network_input(linear, codes)
    after = network_input(linear * np.array(gains, np.float32), codes)
    np.testing.assert_allclose(after, before, atol=2e-5)


def test_normal_skin_is_zero_and_pigment_is_positive(face):
    linear, codes = face
    darker = linear.copy()
    darker[100:140, 100:160] *= 10**-0.1
    given = network_input(darker, codes)
    assert given.shape == (INPUT_CHANNELS, *NETWORK_SHAPE)
    skin = given[3] > 0
    assert np.abs(np.median(given[:3, skin], axis=1)).max() < 0.02
    assert given[:3, 44:58, 44:64].mean() == pytest.approx(0.1 / 0.3, abs=0.03)


def test_positions_run_from_minus_one_to_one_and_skin_is_where_codes_are(face):
    given = network_input(*face)
    assert (given[4, 0, 0], given[5, 0, 0]) == (-1, -1)
    assert (given[4, -1, -1], given[5, -1, -1]) == (1, 1)
    assert given[3].mean() == pytest.approx((face[1] > 0).mean(), abs=0.01)


def test_what_is_no_skin_stays_within_bounds(face):
    linear, codes = face
    black = np.where(codes[..., None] > 0, linear, 0).astype(np.float32)
    assert np.abs(network_input(black, codes)).max() <= 3


def test_a_face_without_skin_is_refused():
    with pytest.raises(ValueError, match="at least 100 pixels, got 0"):
        density_input(np.zeros((*NETWORK_SHAPE, 3), np.float32), np.zeros(NETWORK_SHAPE, bool))
