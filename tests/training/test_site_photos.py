"""A site's photographs in the cache: whole, whoever else writes the same one."""

import os
import stat
from multiprocessing import get_context

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

from masi_vision.labels.dataset import Dataset, Entry
from masi_vision.training import site_photos
from masi_vision.training.site_photos import SitePhoto


def test_labels_of_a_reduced_photo_lie_where_the_picture_has_them(atlas, placed):
    """A camera's photo is several times as large as training needs."""
    landmarks = placed(960, 900, 480, 0)
    inside = np.zeros((1920, 1920), np.uint8)
    cv2.circle(inside, (960, 900), 400, 1, -1)
    pixels = np.dstack([200 * inside] * 3).astype(np.uint8)
    photo = site_photos._cropped(
        Entry("a.png", "", "", patient="a", visit="1", view="front"),
        pixels,
        inside,
        landmarks,
        None,
        True,
        atlas,
    )
    shown, labelled = photo.face.pixels[..., 0] / 200, photo.face.labels
    assert max(labelled.shape) == site_photos._LONGEST_SIDE_PX
    middles = [np.array(np.nonzero(one > 0.5)).mean(axis=1) for one in (shown, labelled)]
    np.testing.assert_allclose(*middles, atol=0.1)


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
    whole = file.read_bytes()
    file.write_bytes(whole[:1000])
    assert site_photos._load(Entry("a.png", "", "", patient="a", visit="1", view="front"), file) is None
    file.write_bytes(whole)
    assert [one.name for one in tmp_path.iterdir()] == ["photo-1.npz"]


@pytest.mark.skipif(os.name != "posix", reason="rights of folders are POSIX's")
def test_a_cache_shows_its_faces_to_its_owner_alone(tmp_path):
    site_photos.site_photos(Dataset(tmp_path, ()), (), tmp_path, tmp_path / "run" / "cache")
    assert stat.S_IMODE((tmp_path / "run" / "cache").stat().st_mode) == 0o700
