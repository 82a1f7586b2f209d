"""Where results lie on their way to an address."""

import os

import pytest

from masi_vision.batch.storage import _folder_here


@pytest.mark.skipif(os.name != "posix", reason="elsewhere every account has a name")
def test_a_container_s_account_without_a_name_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert _folder_here("s3://bucket/results").name.startswith(f"masi-uid{os.getuid()}-")
