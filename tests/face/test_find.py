"""Finding the face: the arithmetic of both passes, pictures without a face, and the demo photographs."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masi_vision.errors import ModelError, NotScorable
from masi_vision.face import find
from masi_vision.face.align import Alignment
from masi_vision.face.atlas import Subunit
from masi_vision.face.crop import KEY_LANDMARKS, crop_template, photo_to_crop
from masi_vision.face.find import _coarse, _where_it_belongs, find_face, largest, widest_other
from masi_vision.face.models import face_models
from masi_vision.model_files import verified
from masi_vision.photo import read_photo

SHAPES = st.sampled_from([(480, 640), (640, 480), (512, 512), (900, 300), (301, 997), (128, 128), (96, 70)])


class ReadsPositions:
    """Stands in for the networks on a picture whose colours say where each pixel is: red x, green y.

    It knows landmarks of the photo, and from the colours where they lie in what it is shown.
    """

    def __init__(self, atlas, landmarks, shape):
        self.atlas, self.landmarks, self.size = atlas, landmarks, np.array(shape[::-1], np.float64)
        height, width = shape
        x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
        self.picture = np.rint(np.stack([x * 255, y * 255, np.full(shape, 255.0)], axis=-1)).astype(np.uint8)

    def _shown(self, picture):
        """(2, 3) from photo pixels to pixels of the picture shown, by least squares on its inner pixels."""
        inside = cv2.erode((picture[..., 2] == 255).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        colours = picture[..., :2].astype(np.float64)
        inside &= ((colours > 3) & (colours < 252)).all(axis=2)
        rows, columns = np.nonzero(inside)
        at = colours[rows, columns] / 255 * self.size - 0.5
        fitted, *_ = np.linalg.lstsq(
            np.column_stack([at, np.ones(len(at))]), np.stack([columns, rows], axis=1)
        )
        return fitted.T

    def find(self, picture):
        way = self._shown(picture)
        points = self.landmarks[[33, 263, 1, 61, 291, 152], :2] @ way[:, :2].T + way[:, 2]
        cells = (np.arange(32) + 0.5) * 4 - 0.5
        away = (cells[None, None, :] - points[:, 0, None, None]) ** 2
        away = away + (cells[None, :, None] - points[:, 1, None, None]) ** 2
        return 1.0, (-away / (2 * 2.6**2)).astype(np.float32)

    def read(self, picture):
        way = self._shown(picture)
        scale = np.hypot(way[0, 0], way[1, 0])
        placed = np.column_stack(
            [self.landmarks[:, :2] @ way[:, :2].T + way[:, 2], self.landmarks[:, 2] * scale]
        )
        shares = np.zeros((7, 192, 192), np.float32)
        shares[1] = 1
        return shares, placed.astype(np.float32)


def models_of(atlas, placed, shape, lean_deg=0.0):
    height, width = shape
    short = min(shape)
    return ReadsPositions(atlas, placed(0.5 * width, 0.45 * height, 0.28 * short, lean_deg), shape)


@settings(max_examples=14, deadline=None)
@given(SHAPES)
def test_the_coarse_pass_places_the_points_in_the_photo_s_own_pixels(atlas, placed, shape):
    models = models_of(atlas, placed, shape)
    probability, seen = _coarse(models.picture, models)
    assert probability == 1
    expected = models.landmarks[[33, 263, 1, 61, 291, 152], :2]
    np.testing.assert_allclose(seen, expected, atol=0.25 * max(shape) / 128 + 0.3)
    assert (
        np.abs((seen - expected).mean(axis=0)).max() < 0.12 * max(shape) / 128 + 0.2
    )  # no shift of half a pixel


@settings(max_examples=14, deadline=None)
@given(SHAPES, st.floats(-30, 30))
def test_landmarks_come_back_in_the_photo_s_own_pixels(atlas, placed, shape, lean):
    models = models_of(atlas, placed, shape, lean)
    found = find_face(models.picture, models, min_probability=0.5)
    off = found.alignment.landmarks[:, :2] - models.landmarks[:, :2]
    assert np.abs(off.mean(axis=0)).max() < 0.15 + 0.0006 * max(shape)
    assert np.abs(off).max() < 0.3 + 0.0015 * max(shape)
    assert abs(found.pose.yaw_deg) < 0.5


@pytest.mark.parametrize(
    ("seen", "readings", "taken"),
    [
        (30, (20, 11, 3), 2),  # each crop is better than the one before
        (16, (8, -12, 15), 0),  # the next crops are worse
        (2, (1,), 0),  # near enough at once
    ],
)
def test_of_several_readings_the_one_nearest_to_its_crop_is_taken(
    monkeypatch, atlas, placed, known_face, plain_skin, seen, readings, taken
):
    """How far, in pixels of the crop, the coarse pass and then each fine pass put the face to the right."""
    true, coming = placed(300, 280, 130), iter(readings)
    models = known_face(true, (600, 600))
    keys = true[list(KEY_LANDMARKS), :2]
    px = 1 / np.hypot(*photo_to_crop(keys, crop_template(atlas.landmark_mean))[:, 0])
    shares = models.read(plain_skin(192, 192))[0]

    def aside(points, by):
        return (points + np.array([by * px, 0, 0])[: points.shape[1]]).astype(np.float32)

    monkeypatch.setattr(find, "_coarse", lambda *_: (1.0, aside(keys, seen)))
    monkeypatch.setattr(find, "_fine", lambda *_: (shares, aside(true, next(coming))))
    monkeypatch.setattr(find, "_refuse_turned", lambda *_: None)  # it would read on
    found = find_face(plain_skin(600, 600), models, min_probability=0.5)
    np.testing.assert_allclose(found.alignment.landmarks, aside(true, readings[taken]), atol=1e-3)


def test_a_large_photo_is_read_without_a_shift(atlas, placed):
    """The face is far larger than the crop: the photo is shrunk on the way, no half pixel is lost."""
    models = models_of(atlas, placed, (1500, 1200), 10)
    found = find_face(models.picture, models, min_probability=0.5)
    off = found.alignment.landmarks[:, :2] - models.landmarks[:, :2]
    assert np.abs(off.mean(axis=0)).max() < 0.5


def test_the_face_width_is_that_between_the_ears(atlas, placed, known_face, plain_skin):
    landmarks = placed(350, 300, 150)
    found = find_face(plain_skin(700, 700), known_face(landmarks, (700, 700)), min_probability=0.5)
    expected = np.linalg.norm(landmarks[234, :2] - landmarks[454, :2])
    assert found.face_width_px == pytest.approx(expected, rel=0.02)


def test_regions_are_drawn_where_the_face_is(atlas, placed, known_face, plain_skin):
    landmarks = placed(260, 400, 150, lean_deg=15)
    found = find_face(plain_skin(800, 600), known_face(landmarks, (800, 600)), min_probability=0.5)
    codes = found.photo_codes((0, 0, 800, 600))
    for landmark, subunit in (
        (151, Subunit.FOREHEAD),
        (50, Subunit.RIGHT_MALAR),
        (280, Subunit.LEFT_MALAR),
        (199, Subunit.CHIN),
        (5, Subunit.NOSE),
    ):
        x, y = np.rint(landmarks[landmark, :2]).astype(int)
        assert codes[y, x] == subunit
    window = found.window((800, 600))
    assert (codes > 0).sum() == (found.photo_codes(window) > 0).sum()


def test_regions_in_the_frame_are_those_of_the_atlas(atlas, placed, known_face, plain_skin):
    landmarks = placed(300, 280, 130, lean_deg=-12)
    found = find_face(plain_skin(600, 600), known_face(landmarks, (600, 600)), min_probability=0.5)
    codes = found.frame_codes()
    for subunit in Subunit:
        ours, theirs = atlas.labels == subunit, codes == subunit
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.93


def test_a_face_at_the_edge_has_its_window_within_the_photo(placed, known_face, plain_skin):
    landmarks = placed(60, 250, 120)
    found = find_face(plain_skin(500, 400), known_face(landmarks, (500, 400)), min_probability=0.5)
    top, left, bottom, right = found.window((500, 400, 3))
    assert left == 0
    assert 0 <= top < bottom <= 500
    assert left < right <= 400


def no_face(picture, models=None):
    with pytest.raises(NotScorable, match="No face was found") as why:
        find_face(picture, models or face_models(), min_probability=0.5)
    return why.value.reason == "no_face"


def test_where_the_network_is_in_doubt_the_landmarks_decide(atlas, placed, known_face):
    """Cheek or chin: both as likely to the network everywhere; skin that it saw hidden stays hidden."""
    in_crop = Alignment(atlas, known_face(placed(250, 250, 120), (500, 500)).in_crop)
    drawn = in_crop.to_photo(atlas.labels, (0, 0, 192, 192), nearest=True)
    doubt = np.full((7, 192, 192), 1 / 6, np.float32)
    doubt[0] = 0
    doubt[:, 150:] = np.array([0.99, *[0.01 / 6] * 6], np.float32)[:, None, None]  # a scarf
    codes = _where_it_belongs(doubt, in_crop).argmax(axis=0)
    assert (codes[150:] == Subunit.NONE).all()
    belongs = drawn[:150] > 0
    assert (codes[:150] == drawn[:150])[belongs].mean() > 0.97


def test_below_the_least_probability_there_is_no_face(placed, known_face, plain_skin):
    models = known_face(placed(250, 250, 120), (500, 500), probability=0.49)
    assert no_face(plain_skin(500, 500), models)


def test_a_fine_pass_that_disagrees_with_the_coarse_one_is_no_face(atlas, placed, known_face, plain_skin):
    models = known_face(placed(250, 250, 120), (500, 500))
    models.in_crop = models.in_crop + np.array([0, 60, 0], np.float32)
    assert no_face(plain_skin(500, 500), models)


def test_a_face_without_any_skin_is_no_face(placed, known_face, plain_skin):
    models = known_face(placed(250, 250, 120), (500, 500))
    models.shares = np.zeros_like(models.shares)
    models.shares[0] = 1
    assert no_face(plain_skin(500, 500), models)


def test_six_points_in_one_place_are_no_face(placed, known_face, plain_skin):
    """What a network may say of a picture that it never met; it must not end in a traceback."""
    models = known_face(placed(250, 250, 120), (500, 500))
    models.seen[:] = models.seen[0]
    assert no_face(plain_skin(500, 500), models)


def pictures_without_a_face():
    rng = np.random.default_rng(5)
    ramp = np.linspace(0, 255, 300)
    yield "black", np.zeros((200, 300, 3), np.uint8)
    yield "white", np.full((200, 300, 3), 255, np.uint8)
    yield "skin colour", np.full((300, 300, 3), (205, 165, 140), np.uint8)
    yield "noise", rng.integers(0, 256, (256, 256, 3), np.uint8)
    yield "coarse noise", cv2.resize(rng.integers(0, 256, (12, 12, 3), np.uint8), (300, 300))
    yield "gradient", np.repeat(np.tile(ramp, (300, 1))[..., None], 3, axis=2).astype(np.uint8)
    yield "slanted gradient", np.stack([np.add.outer(ramp, ramp) / 2] * 3, axis=2).astype(np.uint8)
    yield (
        "stripes",
        np.repeat(np.tile((np.arange(300) // 20 % 2) * 255, (300, 1))[..., None], 3, 2).astype(np.uint8),
    )
    yield "one pixel", np.full((1, 1, 3), 90, np.uint8)
    yield "a line", rng.integers(0, 256, (2, 900, 3), np.uint8)


@pytest.mark.parametrize(
    ("what", "picture"), list(pictures_without_a_face()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_no_face_is_found_in(what, picture):
    assert no_face(picture)


@pytest.mark.parametrize("name", ["astronaut", "cat", "coffee", "rocket", "page", "brick", "retina"])
def test_photographs_without_a_face_are_refused_and_the_astronaut_is_not(name):
    data = pytest.importorskip("skimage.data", reason="needs scikit-image, extra dev")
    try:
        picture = getattr(data, name)()
    except (OSError, ModuleNotFoundError, ConnectionError) as error:
        pytest.skip(f"this picture is not installed with scikit-image: {error}")
    picture = np.dstack([picture] * 3) if picture.ndim == 2 else np.ascontiguousarray(picture[..., :3])
    if name == "astronaut":
        assert find_face(picture, face_models(), min_probability=0.5).probability > 0.5
    else:
        assert no_face(picture)


def demo(visit, view="front"):
    return read_photo(visit / f"{view}.jpg").srgb


def test_the_face_of_every_demo_photo_is_found(demo_visits):
    assert demo_visits
    for visit in demo_visits:
        for view in ("front", "left", "right"):
            assert find_face(demo(visit, view), face_models(), min_probability=0.5).probability > 0.5


def test_demo_faces_look_at_the_camera_or_turn_the_side_they_are_named_by(demo_visits):
    for visit in demo_visits:
        poses = {
            view: find_face(demo(visit, view), face_models(), min_probability=0.5).pose.yaw_deg
            for view in ("front", "left", "right")
        }
        assert abs(poses["front"]) < 12
        assert poses["right"] > 12
        assert poses["left"] < -12


def middle_column(codes, subunit):
    return np.nonzero(codes == subunit)[1].mean()


def test_the_right_cheek_lies_on_the_left_of_a_front_photo_and_of_its_mirror_image(demo_visits):
    """Sides are the patient's own: the mirrored photo shows another person's right cheek on the same side."""
    for visit in demo_visits:
        for picture in (demo(visit), np.ascontiguousarray(demo(visit)[:, ::-1])):
            height, width = picture.shape[:2]
            codes = find_face(picture, face_models(), min_probability=0.5).photo_codes((0, 0, height, width))
            assert (
                middle_column(codes, Subunit.RIGHT_MALAR)
                < width / 2
                < middle_column(codes, Subunit.LEFT_MALAR)
            )


def test_a_mirrored_photo_has_the_mirrored_regions_with_the_sides_swapped(demo_visits):
    picture = demo(demo_visits[0])
    height, width = picture.shape[:2]
    whole = (0, 0, height, width)
    plain = find_face(picture, face_models(), min_probability=0.5).photo_codes(whole)
    mirror = find_face(
        np.ascontiguousarray(picture[:, ::-1]), face_models(), min_probability=0.5
    ).photo_codes(whole)
    swapped = {Subunit.RIGHT_MALAR: Subunit.LEFT_MALAR, Subunit.LEFT_MALAR: Subunit.RIGHT_MALAR}
    for subunit in (Subunit.FOREHEAD, Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR, Subunit.CHIN):
        ours, theirs = plain == subunit, mirror[:, ::-1] == swapped.get(subunit, subunit)
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.85


@pytest.mark.parametrize("lean_deg", [-20, 20])
def test_a_leaning_head_is_found_and_its_regions_lean_with_it(demo_visits, lean_deg):
    picture = demo(demo_visits[0])
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -lean_deg, 0.8)
    leaning = cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    upright, found = (find_face(p, face_models(), min_probability=0.5) for p in (picture, leaning))
    expected = upright.alignment.landmarks[:, :2] @ turn[:, :2].T + turn[:, 2]
    off = np.linalg.norm(found.alignment.landmarks[:, :2] - expected, axis=1).mean()
    assert off < 0.06 * np.linalg.norm(expected[33] - expected[263])


@pytest.mark.parametrize("size", [0.5, 0.8, 1.5])
def test_a_photo_of_another_size_has_its_landmarks_in_the_same_places(demo_visits, size):
    picture = demo(demo_visits[0])
    other = cv2.resize(
        picture, None, fx=size, fy=size, interpolation=cv2.INTER_AREA if size < 1 else cv2.INTER_CUBIC
    )
    plain, scaled = (
        find_face(p, face_models(), min_probability=0.5).alignment.landmarks for p in (picture, other)
    )
    back = (scaled[:, :2] + 0.5) / size - 0.5
    off = np.linalg.norm(back - plain[:, :2], axis=1).mean()
    assert off < 0.03 * np.linalg.norm(plain[33, :2] - plain[263, :2])


def test_an_altered_model_file_is_refused(tmp_path):
    file = tmp_path / "face_reader.onnx"
    file.write_bytes(b"not the model")
    with pytest.raises(ModelError, match=r"face_reader\.onnx has SHA-256 .* Expected 000000000000"):
        verified(file, "0" * 64)


def test_a_missing_model_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"face_reader\.onnx is missing"):
        verified(tmp_path / "face_reader.onnx", "0" * 64)


@pytest.mark.long
def test_a_face_that_stands_on_its_head_is_no_upright_one(faces_folder):
    picture = read_photo(faces_folder / "photos" / "01339.jpg").srgb
    models = face_models()
    find_face(picture, models, min_probability=0.5)
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(picture, quarters))
        with pytest.raises(NotScorable) as refused:
            find_face(turned, models, min_probability=0.5)
        assert refused.value.reason in ("pose", "no_face")
    with pytest.raises(NotScorable, match="once the photo is turned by 180 degrees"):
        find_face(np.ascontiguousarray(picture[::-1, ::-1]), models, min_probability=0.5)


@pytest.fixture(scope="module")
def amid(demo_visits):
    """A picture with a front photo in its middle and as much room on every side, the photo, and the face."""
    front = read_photo(demo_visits[0] / "front.jpg").srgb
    height, width = front.shape[:2]
    picture = cv2.copyMakeBorder(front, height, height, width, width, cv2.BORDER_CONSTANT, value=(128,) * 3)
    return picture, front, find_face(picture, face_models(), min_probability=0.5)


@pytest.mark.parametrize("along", [-1, 1])
def test_another_face_beside_is_seen_and_the_face_itself_is_none(amid, along):
    picture, front, _ = amid
    height, width = front.shape[:2]
    rows = slice(height, 2 * height)
    columns = slice(min(width, (1 + along) * width), max(2 * width, (2 + along) * width))
    face = find_face(picture[rows, columns], face_models(), min_probability=0.5)
    assert widest_other(picture[rows, columns], face, face_models()) == 0
    small = cv2.resize(front[:, ::-1], None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    pair = picture.copy()
    pair[height:, (1 + along) * width :][: len(small), : small.shape[1]] = small
    share = widest_other(pair[rows, columns], face, face_models()) / face.face_width_px
    assert share == pytest.approx(0.8, abs=0.05)


def test_what_is_hardly_a_face_or_the_same_one_again_is_no_other(amid, monkeypatch):
    picture, front, face = amid

    def moved(share, *times):
        nodes = face.alignment.landmarks.copy()
        middle = nodes[:, :2].mean(axis=0)
        nodes[:, :2] = (nodes[:, :2] - middle) * share + middle + times * np.array(front.shape[1::-1])
        return replace(face, alignment=Alignment(face.atlas, nodes))

    def widest(*readings, probability=0.95, astray=0.0, seen=picture):
        left = iter(readings)
        monkeypatch.setattr(find, "_coarse", lambda part, models: (probability, np.zeros((6, 2), np.float32)))
        monkeypatch.setattr(find, "_read", lambda *of: (next(left, None), astray))
        return widest_other(seen, face, None) / face.face_width_px

    beside = moved(1, -1, 0)
    unsure = replace(beside, shares=np.full_like(face.shares, 1 / 7))
    for number, place in enumerate([(-1, 0), (1, 0), (0, -1), (0, 1)]):
        assert widest(*[None] * number, moved(1, *place)) == pytest.approx(1), (
            "it is looked for on four sides"
        )
    assert widest(moved(1, -1, 0), moved(0.5, 1, 0)) == pytest.approx(1), "the widest"
    assert widest(beside, probability=0.89) == 0
    assert widest(beside, astray=0.2) == 0
    assert widest(unsure) == 0
    assert widest(face) == 0, "the same one, read again"
    top, left, bottom, right = face.window(picture.shape)
    room = round(0.55 * face.face_width_px)
    assert widest(*[beside] * 4, seen=picture[: bottom + room, : right + room]) > 0, "left and above"
    narrow = picture.copy()[: bottom + room, : right + room]
    shifted = replace(
        face, alignment=Alignment(face.atlas, face.alignment.landmarks - (left - room, top - room, 0))
    )
    monkeypatch.setattr(find, "_coarse", lambda *of: pytest.fail("there is no room"))
    assert widest_other(narrow[top - room :, left - room :], shifted, None) == 0


def test_where_subunits_are_equally_likely_the_first_is_taken():
    layers = np.float32([[[0.5, 0.2, 0.3]], [[0.5, 0.4, 0.3]], [[0.5, 0.4, 0.7]]])
    before = layers.copy()
    np.testing.assert_array_equal(largest(layers), [[0, 1, 2]])
    np.testing.assert_array_equal(layers, before)
