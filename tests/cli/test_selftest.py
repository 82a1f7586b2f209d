"""The self-test that a site runs: it passes here, and it notices when something is broken."""

import pytest

from masi_vision.cli import selftest
from masi_vision.pigment import map as pigment_map


def test_every_check_of_the_self_test_passes():
    checks = selftest.run_selftest()
    assert [name for name, _, _ in checks] == [
        "scale",
        "planted pigment",
        "demo visit",
        "picture without a face",
    ]
    for name, passed, found in checks:
        assert passed, f"{name}: {found}"


@pytest.mark.parametrize("name", ["_scale", "_planted_pigment", "_no_face"])
def test_a_check_says_what_it_found(name):
    _, passed, found = getattr(selftest, name)()
    assert passed, found
    assert found


def test_the_self_test_notices_a_pigment_map_that_finds_nothing(monkeypatch):
    real = pigment_map.find_pigment

    def blind(linear_rgb, skin, **options):
        return real(linear_rgb * 0 + 0.3, skin, **options)

    monkeypatch.setattr(pigment_map, "find_pigment", blind)
    _, passed, _ = selftest._planted_pigment()
    assert not passed
