"""A site's photographs in the cache: whole, whoever else writes the same one."""

from multiprocessing import get_context

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

from masi_vision.labels.dataset import Entry
from masi_vision.training import site_photos
from masi_vision.training.site_photos import SitePhoto


def test_two_runs_that_share_a_cache_may_keep_the_same_photo_at_once(drawn_faces, tmp_path, monkeypatch):
    """Another process keeps it, from begin to end, while this one is in the middle."""
    photo, file = SitePhoto(drawn_faces[0], True, None, None, None), tmp_path / "photo-1.npz"
    save, others = np.savez, []

    def interrupted(stream, **layers):
        if not others:
            others.append(get_context("fork").Process(target=site_photos._write, args=(photo, file)))
            others[0].start()
            others[0].join()
        save(stream, **layers)

    monkeypatch.setattr(site_photos.np, "savez", interrupted)
    site_photos._write(photo, file)
    assert others[0].exitcode == 0
    kept = site_photos._load(Entry("a.png", "", "", patient="a", visit="1", view="front"), file)
    np.testing.assert_array_equal(kept.face.labels, drawn_faces[0].labels)
    assert [one.name for one in tmp_path.iterdir()] == ["photo-1.npz"]
