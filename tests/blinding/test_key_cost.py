"""A key as it is sealed: whoever tries passphrases pays for each."""

import json

import pytest

from masi_vision.blinding.key import Key, opened, sealed
from masi_vision.errors import KeyFileError

pytestmark = pytest.mark.full_cost


def test_a_key_is_sealed_at_the_full_cost_and_opens(tmp_path):
    key = Key("0123456789abcdef", 1, (), {})
    file = tmp_path / "key"
    file.write_bytes(sealed(key, "long enough for anyone"))
    scrypt = json.loads(file.read_bytes().splitlines()[0])["scrypt"]
    assert (scrypt["n"], scrypt["r"], scrypt["p"]) == (2**17, 8, 1)
    assert opened(file, "long enough for anyone").set_id == key.set_id


@pytest.mark.parametrize("cost", [{"n": 2**21}, {"r": 4096}, {"p": 4096}, {"r": 4096, "n": 2**20}])
def test_a_touched_key_takes_no_more_than_ours(tmp_path, monkeypatch, cost):
    monkeypatch.setattr("masi_vision.blinding.key._derived", lambda *asked: pytest.fail(f"derived: {asked}"))
    file = tmp_path / "key"
    scrypt = {"n": 2**17, "r": 8, "p": 1, "salt": ""} | cost
    head = {"masi_vision_key": 1, "set": "0123456789abcdef", "scrypt": scrypt, "nonce": ""}
    file.write_bytes(json.dumps(head).encode() + b"\n\n")
    with pytest.raises(KeyFileError, match=r"^key is a key of format 1\. Expected 1\."):
        opened(file, "long enough for anyone")
