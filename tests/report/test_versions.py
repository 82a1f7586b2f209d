"""The libraries that a record names are those that read and measured the photos."""

from importlib.metadata import version

import pytest

from masi_vision.report import versions


def test_decoders_of_photos_are_told_where_they_are_installed(monkeypatch):
    monkeypatch.setattr(versions, "find_spec", lambda module: module if module == "rawpy" else None)
    monkeypatch.setattr(versions, "_version", lambda name: f"{name} 1")
    found = versions.library_versions("rich")
    assert "pi-heif" not in found
    assert {name: found[name] for name in ("rawpy", "pillow", "rich")} == {
        name: f"{name} 1" for name in ("rawpy", "pillow", "rich")
    }


def test_the_decoder_of_heic_has_its_own_version():
    pytest.importorskip("pi_heif")
    assert versions.library_versions()["pi-heif"] == version("pi-heif")


def test_a_process_tells_the_libraries_that_it_began_with(monkeypatch):
    before = versions.library_versions()
    monkeypatch.setattr(versions, "version", lambda name: "99.0")
    assert versions.library_versions() == before
