"""A key as it is sealed: whoever tries passphrases pays for each."""

import json

import pytest

from masi_vision.blinding.key import Key, opened, sealed

pytestmark = pytest.mark.full_cost


def test_a_key_is_sealed_at_the_full_cost_and_opens(tmp_path):
    key = Key("0123456789abcdef", 1, (), {})
    file = tmp_path / "key"
    file.write_bytes(sealed(key, "long enough for anyone"))
    scrypt = json.loads(file.read_bytes().splitlines()[0])["scrypt"]
    assert (scrypt["n"], scrypt["r"], scrypt["p"]) == (2**17, 8, 1)
    assert opened(file, "long enough for anyone").set_id == key.set_id
