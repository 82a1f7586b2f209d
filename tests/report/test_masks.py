"""Masks lie on the photo as it was taken, however small it was read."""

import cv2
import numpy as np
import pytest

from masi_vision.face.align import Alignment
from masi_vision.face.atlas import SUBUNITS
from masi_vision.face.crop import KEY_LANDMARKS, READER_SIDE_PX, crop_template, photo_to_crop
from masi_vision.face.find import FaceRegions
from masi_vision.face.models import face_models
from masi_vision.face.pose import HeadPose
from masi_vision.photo import Photo
from masi_vision.pigment.map import PigmentMap
from masi_vision.report.masks import lesion_mask, pigment_mask, region_mask, write_masks
from masi_vision.visit.measure import PhotoMeasures

FULL = (1001, 801)  # odd: the last row and column of the reduced photo stand for one pixel only


@pytest.fixture(scope="module")
def measures():
    """The mean face, 0.1 OD of pigment all over, read at half its size."""
    atlas = face_models().atlas
    landmarks = (atlas.landmark_mean * 80 + (200, 260, 0)).astype(np.float32)
    alignment = Alignment(atlas, landmarks)
    crop = photo_to_crop(landmarks[list(KEY_LANDMARKS), :2], crop_template(atlas.landmark_mean))
    codes = alignment.to_photo(atlas.labels, (0, 0, 501, 401), nearest=True)
    on_crop = cv2.warpAffine(codes, crop, (READER_SIDE_PX, READER_SIDE_PX), flags=cv2.INTER_NEAREST)
    shares = np.stack([on_crop == code for code in range(7)]).astype(np.float32)
    face = FaceRegions(alignment, crop, shares, HeadPose(0.0, 0.0, 0.0), 1.0)
    density = np.where(atlas.labels > 0, 0.1, 0).astype(np.float32)
    pigment = made(PigmentMap, density_od=density, lesion=atlas.labels == 2)
    photo = Photo(np.full((501, 401, 3), 128, np.uint8), FULL, "front.jpg", "00")
    return made(
        PhotoMeasures, photo=photo, view="front", face=face, pigment=pigment, codes=atlas.labels, regions={}
    )


def made(kind, **values):
    """A value of which only some fields matter here."""
    value = object.__new__(kind)
    for name, field in values.items():
        object.__setattr__(value, name, field)
    return value


def test_masks_have_the_size_of_the_photo_and_all_its_regions(measures):
    regions = region_mask(measures)
    assert (regions.shape, regions.dtype) == (FULL, np.uint8)
    assert set(np.unique(regions)) == {0, *map(int, SUBUNITS)}


def test_the_right_malar_region_lies_on_the_left_of_the_photo_at_full_size(measures):
    regions = region_mask(measures)
    assert np.nonzero(regions == 2)[1].mean() < 400 < np.nonzero(regions == 3)[1].mean()


def test_pigment_is_in_ten_thousandths_and_only_where_there_is_a_region(measures):
    pigment, regions = pigment_mask(measures), region_mask(measures)
    assert (pigment.shape, pigment.dtype) == (FULL, np.uint16)
    assert np.median(pigment[regions > 0]) == pytest.approx(1000, abs=1)
    assert not pigment[regions == 0].any()


def test_the_lesion_lies_where_the_map_has_it(measures):
    lesion, right_malar = lesion_mask(measures) > 0, region_mask(measures) == 2
    assert (lesion & right_malar).sum() > 0.95 * (lesion | right_malar).sum() > 1000


def test_masks_come_back_from_disk_as_they_were(measures, tmp_path):
    write_masks(measures, tmp_path, "P1_ü_front")
    stored = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    made_of = {"regions": region_mask, "pigment": pigment_mask, "lesion": lesion_mask}
    assert set(stored) == {f"P1_ü_front_{kind}.png" for kind in made_of}
    for kind, make in made_of.items():
        mask = make(measures)
        data = np.frombuffer(stored[f"P1_ü_front_{kind}.png"], np.uint8)
        assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), mask)
