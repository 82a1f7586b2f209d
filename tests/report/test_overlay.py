"""The picture that an assessor looks at: it shows the face it was measured on, marked, and nothing else."""

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from masi_vision import score_photo
from masi_vision.face.atlas import Subunit
from masi_vision.photo import Photo, srgb_to_linear
from masi_vision.report.overlay import _COLOURS, _label, _window, draw_overlay, write_overlay
from masi_vision.report.quality import _FOUND
from masi_vision.scale import RegionGrade
from masi_vision.visit.quality import Finding
from masi_vision.visit.score import visit_of

PIGMENT = (255, 255, 245)
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB; and the eye that sees all colours.
DEUTERANOPIC = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
]
PROTANOPIC = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
TRITANOPIC = [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
]
EYES = pytest.mark.parametrize(
    "eye",
    [np.eye(3), DEUTERANOPIC, PROTANOPIC, TRITANOPIC],
    ids=["all colours", "deuteranopic", "protanopic", "tritanopic"],
)


def seen_by(eye, srgb):
    return np.clip(srgb_to_linear(np.asarray(srgb, np.uint8)) @ np.transpose(eye), 0, 1)


@pytest.fixture(scope="module")
def result(placed, known_models, plain_skin, settings):
    """Even skin with a dark patch on the right cheek, on a face whose place is known."""
    landmarks = placed(320, 330, 190)
    picture = plain_skin(720, 640)
    x, y = np.rint(landmarks[50, :2]).astype(int)
    cv2.circle(picture, (int(x), int(y)), 22, (135, 95, 75), -1, cv2.LINE_AA)
    photo = Photo.from_srgb(picture, name="front.jpg")
    return score_photo(photo, settings, models=known_models(landmarks, (720, 640)))


@pytest.fixture(scope="module")
def halves(result):
    """The face alone, and the face with its marks."""
    drawn = draw_overlay(result)
    width = (drawn.shape[1] - 8) // 2
    return drawn[:900, :width], drawn[:900, width + 8 :]


def test_the_overlay_has_the_face_twice_and_a_strip_below(result):
    drawn = draw_overlay(result)
    assert drawn.dtype == np.uint8
    assert drawn.shape[2] == 3
    assert 900 < drawn.shape[0] < 1100
    assert drawn.shape[1] % 2 == 0
    assert drawn.shape[1] > 900


def test_the_face_beside_it_is_left_alone(halves):
    plain, _ = halves
    assert abs(plain[..., 0].astype(int) - plain[..., 2]).mean() < 80
    assert not np.all(plain == PIGMENT, axis=2).any()  # no mark's colour


def test_the_marked_face_differs_from_the_plain_one_only_by_thin_lines(halves):
    plain, marked = halves
    assert plain.shape == marked.shape
    touched = (plain != marked).any(axis=2).mean()
    assert 0.005 < touched < 0.12


def test_pigment_is_outlined_on_the_right_cheek_and_nowhere_else(halves):
    plain, marked = halves
    width = plain.shape[1]
    white = (marked == PIGMENT).all(axis=2)
    columns = np.nonzero(white)[1]
    assert len(columns) > 50
    assert (columns < width / 2).all()  # the patient's right is on the left


def test_pigment_that_reaches_the_border_of_its_region_is_outlined_all_around(
    placed, known_models, plain_skin, settings
):
    """The lines of both lie beside each other, so that it is seen which side is pigment."""
    landmarks = placed(320, 330, 190)
    picture = plain_skin(720, 640)
    models = known_models(landmarks, (720, 640))
    plain = score_photo(Photo.from_srgb(picture), settings, models=models)
    cheek = plain.measures.face.photo_codes((0, 0, 720, 640)) == Subunit.RIGHT_MALAR
    rows, columns = np.nonzero(cheek)
    outermost = int(columns.argmin())
    cv2.circle(picture, (int(columns[outermost]), int(rows[outermost])), 40, (135, 95, 75), -1, cv2.LINE_AA)
    drawn = draw_overlay(score_photo(Photo.from_srgb(picture), settings, models=models))[:900]
    white = (drawn == PIGMENT).all(axis=2).astype(np.uint8)
    _, nesting = cv2.findContours(white, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    assert white.any()
    assert (nesting[0][:, 3] >= 0).any()  # something lies within


@EYES
def test_the_line_around_pigment_and_its_casing_leave_no_skin_on_which_both_are_lost(halves, eye):
    _, marked = halves
    rows, columns = np.nonzero((marked == PIGMENT).all(axis=2))
    around = np.s_[rows.min() - 2 : rows.max() + 3, columns.min() - 2 : columns.max() + 3]
    light = seen_by(eye, marked[around]) @ (0.2126, 0.7152, 0.0722) + 0.05
    assert light.max() / light.min() > 9  # so one of the two has 3 : 1 (WCAG 1.4.11) against anything


@EYES
def test_no_region_is_outlined_like_pigment(eye):
    for subunit, colour in _COLOURS.items():
        assert np.abs(seen_by(eye, colour) - seen_by(eye, PIGMENT)).max() > 0.25, subunit


@EYES
def test_no_graded_region_is_outlined_like_nose_and_lip(eye):
    grey = seen_by(eye, _COLOURS[Subunit.NOSE])
    for subunit in (Subunit.FOREHEAD, Subunit.RIGHT_MALAR, Subunit.LEFT_MALAR, Subunit.CHIN):
        assert np.abs(seen_by(eye, _COLOURS[subunit]) - grey).max() > 0.2, subunit


def test_each_malar_region_is_outlined_on_its_own_side_in_its_own_colour(halves):
    plain, marked = halves
    width = plain.shape[1]
    for colour, on_the_left in (((86, 180, 233), True), ((230, 159, 0), False)):
        drawn = (np.abs(marked.astype(int) - colour).sum(axis=2) < 30) & (plain != marked).any(axis=2)
        columns = np.nonzero(drawn)[1]
        assert len(columns) > 200
        assert ((columns < width / 2) == on_the_left).mean() > 0.99


def test_a_photo_without_a_measured_face_is_refused(settings, known_models, placed, plain_skin):
    models = known_models(placed(320, 330, 190), (720, 640), probability=0.1)
    unmeasured = score_photo(Photo.from_srgb(plain_skin(720, 640), name="wall.jpg"), settings, models=models)
    with pytest.raises(ValueError, match=r"wall\.jpg was not measured \(no_face\)"):
        draw_overlay(unmeasured)


def test_a_photo_that_is_measured_but_not_scored_is_drawn_too(known_models, placed, plain_skin, settings):
    """The assessor sees which region is hidden."""
    models = known_models(placed(320, 330, 190), (720, 640))
    face = models.face
    face.shares = face.shares.copy()
    face.shares[0] += 2 * face.shares[4]
    face.shares[4] = 0  # a beard covers the chin
    hidden = score_photo(Photo.from_srgb(plain_skin(720, 640)), settings, models=models)
    assert hidden.reason == "region_hidden"
    assert draw_overlay(hidden).shape[0] > 900


@pytest.mark.parametrize("name", ["right_malar", "left_malar"])
def test_the_tag_of_a_cheek_stands_beside_it_and_below_the_eye(result, name):
    cheek = replace(result.regions[name], grade=RegionGrade(area=6, darkness=4, homogeneity=4))
    drawn, other = (
        draw_overlay(one)[:900] for one in (result, replace(result, regions={**result.regions, name: cheek}))
    )
    rows, columns = np.nonzero((drawn != other).any(axis=2))
    assert rows.size > 50
    window = _window(result.measures)
    scale = 900 / (window[2] - window[0])
    codes = result.measures.face.photo_codes(window)
    inside = codes[
        (rows / scale).astype(int), ((columns - drawn.shape[1] + codes.shape[1] * scale) / scale).astype(int)
    ]
    assert not inside.any()
    assert rows.min() / scale > np.nonzero(codes == Subunit[name.upper()])[0].mean()


def test_the_tag_of_a_cheek_in_two_pieces_stands_beside_one_of_them(result):
    codes = np.zeros((900, 400), np.uint8)
    codes[300, 100:117] = codes[500, 100:103] = Subunit.RIGHT_MALAR  # 85 of 100 pixels lie above the gap
    picture = np.full((900, 400, 3), 255, np.uint8)
    _label(picture, codes, Subunit.RIGHT_MALAR, result.regions["right_malar"])
    assert (picture != 255).any()


def test_a_region_of_which_the_map_is_undecided_is_marked_below_its_figures(result):
    chin = replace(result.regions["chin"], flags=("undecided",))
    doubted = draw_overlay(replace(result, regions={**result.regions, "chin": chin}))
    rows, columns = np.nonzero((draw_overlay(result) != doubted).any(axis=2))
    assert rows.size > 50
    assert rows.min() > doubted.shape[0] - 96
    assert columns.min() > 0.7 * doubted.shape[1]  # the last of four columns


@pytest.fixture
def words(monkeypatch):
    """What is written into pictures."""
    told, put = [], cv2.putText
    monkeypatch.setattr(
        cv2, "putText", lambda picture, text, *more: told.append(text) or put(picture, text, *more)
    )
    return told


def test_what_is_doubtful_or_was_accepted_stands_in_the_picture(result, words):
    chin = replace(result.regions["chin"], flags=("views_unlike", "undecided"))
    blurred = Finding("blur_percent", None, "accepted", 1.6)
    draw_overlay(
        replace(result, regions={**result.regions, "chin": chin}, findings=(*result.findings, blurred))
    )
    assert "views unlike, undecided: is this pigment?" in words
    assert "accepted: blur_percent" in words
    words.clear()
    draw_overlay(result)
    assert not [text for text in words if "undecided" in text or "accepted" in text]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("disagreement",), "second opinion differs"),
        (("undecided", "disagreement"), "second opinion differs, undecided: is this pigment?"),
    ],
)
def test_what_the_second_opinion_doubts_takes_no_question_away(result, words, flags, told):
    chin = replace(result.regions["chin"], flags=flags)
    draw_overlay(replace(result, regions={**result.regions, "chin": chin}))
    assert told in words


def burnt(result):
    """The same photo where the right cheek, which has the pigment, is refused."""
    cheek = replace(result.regions["right_malar"], grade=None, flags=("clipped",))
    regions = {**result.regions, "right_malar": cheek}
    return replace(result, regions=regions, scores=None, reason="clipped")


def test_of_a_refused_region_no_pigment_is_drawn(result):
    drawn = draw_overlay(burnt(result))[:900]
    assert not (drawn == PIGMENT).all(axis=2).any()


def test_what_refuses_a_region_is_said_in_the_words_of_the_contact_sheet(result, words):
    draw_overlay(burnt(result))
    assert {"burnt out: not graded", "Not scored: burnt out"} <= set(words)
    assert _FOUND["clipped_fraction"] == "burnt out"


def test_of_a_visit_with_several_views_each_picture_tells_what_the_visit_took_from_it(
    result, settings, words
):
    """The front alone came to another score: the table holds the visit's."""
    side = replace(result, view="left")
    visit = visit_of([result, side], settings)
    cheek = replace(visit.regions["left_malar"], grade=RegionGrade(6, 4, 4), view="left")
    visit = replace(
        visit, regions={**visit.regions, "left_malar": cheek}, scores=replace(result.scores, mmasi=7.2)
    )
    front = draw_overlay(result, visit)
    assert words.count("L A6 D4") == 1
    assert any(text.startswith("mMASI 7.2") and text.endswith("from several views") for text in words)
    words.clear()
    drawn = draw_overlay(side, visit)
    pigment = [(picture[:900] == PIGMENT).all(axis=2).any() for picture in (front, drawn)]
    assert pigment == [True, False], "it lies in the other cheek, which does not count from this side"
    assert [text for text in words if re.search(r"A[0-6] D[0-4]$", text)] == ["L A6 D4"]
    assert "Left view: for the left malar region of the visit" in words


def test_drawing_twice_gives_the_same_picture(result):
    np.testing.assert_array_equal(draw_overlay(result), draw_overlay(result))


def test_the_written_file_is_that_picture_without_metadata_and_without_leftovers(result, tmp_path):
    file = tmp_path / "Müller front.jpg"
    write_overlay(result, file)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    data = file.read_bytes()
    assert b"Exif" not in data
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    drawn = draw_overlay(result)
    assert back.shape == drawn.shape
    assert np.abs(back.astype(int) - drawn).mean() < 4


def test_every_demo_photo_gives_an_overlay(demo_visits, settings):
    for visit in demo_visits:
        drawn = draw_overlay(score_photo(visit / "front.jpg", settings))
        width = (drawn.shape[1] - 8) // 2
        plain, marked = drawn[:900, :width], drawn[:900, width + 8 :]
        assert 0.01 < (plain != marked).any(axis=2).mean() < 0.25
