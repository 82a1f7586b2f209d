"""The shipped models belong together, and the settings to them; others are opened from their folder."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from model_folders import change_card, copied, metadata, rehash, retrained

from masi_vision import __version__, open_models
from masi_vision.config import load_settings
from masi_vision.errors import ModelError, NotScorable
from masi_vision.face.models import face_models
from masi_vision.model_files import CARD, shipped_folder
from masi_vision.photo import Photo
from masi_vision.pigment import learned, rules
from masi_vision.pigment.learned import INPUT_CHANNELS, NETWORK_SHAPE
from masi_vision.shipped import shipped_file
from masi_vision.visit.measure import measure_photo, pigment_maps
from masi_vision.visit.models import (
    ERRORS,
    PIGMENT_CARD,
    PIGMENT_READER,
    forget_opened,
    name_of,
    shipped_models,
)

SHAPE = (720, 640)
SHIPPED = load_settings()


@pytest.fixture(scope="module")
def card():
    return json.loads(shipped_file("models", PIGMENT_CARD).read_text(encoding="utf-8"))


def test_every_model_file_has_its_hash_beside_the_scores():
    found = shipped_models().sha256
    assert {"face_atlas.npz", "face_finder.onnx", "face_reader.onnx", PIGMENT_READER, ERRORS} == set(found)
    assert all(len(digest) == 64 for digest in found.values())


def test_the_pigment_network_takes_a_frame_and_gives_two_maps():
    drawn = shipped_models().pigment.read(np.zeros((INPUT_CHANNELS, *NETWORK_SHAPE), np.float32))
    assert drawn.shape == (2, *NETWORK_SHAPE)
    assert np.isfinite(drawn).all()
    assert drawn[1].min() >= 0


def test_the_network_fits_on_a_stick():
    assert shipped_file("models", PIGMENT_READER).stat().st_size < 25e6


def test_the_settings_are_those_that_were_chosen_with_the_network(card):
    """A new network comes with its own threshold and limit: both are written into its card."""
    assert f"{SHIPPED.pigment.lesion_probability:g}" == card["validation"]["chosen_cut"]
    assert SHIPPED.pigment.disagreement_fraction == pytest.approx(card["validation"]["apart_95"], abs=0.006)


def test_intervals_are_known_for_both_methods(card):
    assert set(card["errors"]) == set(shipped_models().pigment.errors) == {learned.METHOD, rules.METHOD}
    for error in shipped_models().pigment.errors.values():
        assert 0 < error.share <= 1
        assert error.fraction.around(0.3)[0] < 0.3 < error.fraction.around(0.3)[1]


def test_a_change_is_less_sure_where_less_of_the_face_is_surely_clear():
    error = shipped_models().pigment.change_error
    for change_od in (0.0, -0.02, 0.1):
        assert np.ptp(error.around(change_od, 0.2)) > np.ptp(error.around(change_od, 0.9))


@pytest.fixture
def folder(tmp_path):
    """Models of a site, a copy of the shipped ones; to be changed."""
    return copied(tmp_path / "site-a")


def test_a_folder_is_opened_once_under_its_own_name(folder):
    found = open_models(folder)
    assert found is open_models(str(folder)) is open_models(folder / ".." / "site-a")
    assert found.name == "site-a"
    assert found.sha256 == shipped_models().sha256
    assert found.remarks == ()
    assert face_models(folder) is found.face


def test_a_folder_that_was_written_again_is_opened_anew(folder):
    before = open_models(folder)
    change_card(folder, CARD, made_again="yes")
    forget_opened()
    after = open_models(folder)
    assert after.face is not before.face
    assert after.pigment is not before.pigment


def test_without_a_folder_the_shipped_models_are_opened():
    assert open_models() is shipped_models() is open_models(shipped_folder())
    assert shipped_models().name == "shipped"
    assert shipped_models().made_with == __version__


def test_a_retrained_network_has_another_hash_and_measures_as_it_does(tmp_path):
    found, shipped = open_models(retrained(tmp_path / "site-a")), shipped_models()
    changed = {name for name, digest in found.sha256.items() if shipped.sha256[name] != digest}
    assert changed == {PIGMENT_READER}
    frame = np.zeros((INPUT_CHANNELS, *NETWORK_SHAPE), np.float32)
    assert (found.pigment.read(frame) == shipped.pigment.read(frame)).all()


def test_other_tables_of_errors_are_other_models(folder, card):
    """They make the intervals beside the score."""
    errors = json.loads(json.dumps(card["errors"]))
    errors[learned.METHOD]["share"] /= 2
    change_card(folder, PIGMENT_CARD, errors=errors)
    found, shipped = open_models(folder).sha256, shipped_models().sha256
    assert {name for name in found if found[name] != shipped[name]} == {ERRORS}


def test_the_one_table_of_a_change_of_earlier_cards_holds_for_every_face(folder):
    change_card(folder, PIGMENT_CARD, change_error={"size_od": [0, 0.1], "within_od": [0.01, 0.02]})
    error = open_models(folder).pigment.change_error
    assert error.around(0.1, 0.2) == error.around(0.1, 1.0) == pytest.approx((0.08, 0.12))
    assert error.share == 1


def test_what_else_a_card_tells_makes_no_other_models(folder):
    change_card(folder, PIGMENT_CARD, licence="ours", validation={})
    assert open_models(folder).sha256 == shipped_models().sha256


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("site-a", "site-a"),
        ("Clinic 7, room=2", "Clinic-7-room-2"),
        ("=SUM(A1)", "SUM-A1-"),
        ("Hôpital", "Hôpital"),
        ("shipped", "another-shipped"),
        ("...", "unnamed"),
    ],
)
def test_the_name_of_a_folder_fits_any_table_and_is_never_taken_for_the_shipped(tmp_path, called, name):
    assert name_of(tmp_path / called) == name
    assert name_of(shipped_folder()) == "shipped"


def test_model_json_says_what_models_are(tmp_path):
    told = {"name": "x", "made_with": __version__, "description": "48 patients\nof one clinic"}
    found = open_models(copied(tmp_path / "site-a", **told))
    assert found.made_with == __version__
    assert found.description == r"48 patients\nof one clinic"
    assert found.name == "site-a"


@pytest.mark.parametrize(
    ("version", "warned"),
    [("0.1.0", False), ("0.1.9", False), ("0.0.1", False), ("0.2.0", True), ("1", True)],
)
def test_models_that_newer_code_wrote_are_opened_with_a_remark(folder, version, warned):
    for card in (CARD, PIGMENT_CARD):
        change_card(folder, card, masi_vision=version)
    found = open_models(folder)
    assert found.made_with == version
    expected = (
        f"The models were written by masi_vision {version}, and this is {__version__}. They can be read,"
    )
    assert [remark.startswith(expected) for remark in found.remarks] == [True] * warned


@pytest.mark.parametrize("name", [CARD, PIGMENT_CARD])
def test_another_format_is_refused_with_who_wrote_it(folder, name):
    change_card(folder, name, format=2, masi_vision="0.4.0")
    said = (
        rf"site-a/{name} has format 2\. Expected format 1\. Use models that belong to this version of "
        r"masi_vision \(it was written by masi_vision '0\.4\.0'\)\."
    )
    with pytest.raises(ModelError, match=said):
        open_models(folder)


def test_a_pigment_model_of_another_atlas_is_refused(folder):
    change_card(folder, PIGMENT_CARD, atlas="another")
    with pytest.raises(ModelError, match=r"site-a/pigment.json is for atlas another\. Expected sfhq-atlas-1"):
        open_models(folder)


@pytest.mark.parametrize("key", ["format", "atlas", "sha256"])
@pytest.mark.parametrize("name", [CARD, PIGMENT_CARD])
def test_a_card_that_lacks_a_key_is_refused(folder, name, key):
    change_card(folder, name, **{key: None})
    said = rf"site-a/{name} is no model card\. Expected the keys format, atlas and sha256\. Copy the models"
    with pytest.raises(ModelError, match=said):
        open_models(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON. Expected a model card"),
        ("[" * 100_000, "is not JSON. Expected a model card"),
        ("[1]", "holds no object of JSON"),
        ("\udcff", "is not JSON"),
        ('{"format": 1, "atlas": "a", "sha256": 3}', "is no model card"),
        (
            '{"format": 1, "atlas": "a", "sha256": {}}',
            "names no face_atlas.npz. Expected face_atlas.npz, face_",
        ),
        ('{"format": 1, "atlas": "a", "sha256": {"../x": "00"}}', "names '../x'. Expected names of files"),
        ('{"format": 1, "atlas": "a", "sha256": {"x": 1}}', "names 'x'. Expected names of files"),
    ],
)
def test_a_card_that_is_none_is_refused_in_a_sentence(folder, text, said):
    (folder / CARD).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError) as caught:
        open_models(folder)
    assert f"site-a/face.json {said}" in str(caught.value)
    assert "train them again" in str(caught.value)


@pytest.mark.parametrize("name", [CARD, PIGMENT_CARD])
def test_a_missing_card_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"site-a/{name} cannot be read \(no such file or directory\)"):
        open_models(folder)


def test_a_file_that_is_missing_or_altered_is_named(folder):
    shutil.move(folder / PIGMENT_READER, folder / "away")
    with pytest.raises(
        ModelError, match=r"site-a/pigment_reader.onnx is missing\. Expected it beside its card"
    ):
        open_models(folder)
    (folder / PIGMENT_READER).write_bytes(b"x")
    with pytest.raises(
        ModelError, match=r"site-a/pigment_reader.onnx has SHA-256 2d711642b726\. Expected \w{12}"
    ):
        open_models(folder)


def test_what_to_do_about_the_shipped_models_is_to_install_again(monkeypatch, folder):
    monkeypatch.setattr("masi_vision.model_files.shipped_folder", lambda: folder)
    (folder / PIGMENT_READER).unlink()
    with pytest.raises(ModelError, match=r"is missing\. Expected it beside its card\. Install masi_vision"):
        open_models(folder)


@pytest.mark.parametrize(
    "errors", [None, {}, {"learned-1": {}}, {"classical-1": {"fraction": {"measured": 1}}}, 7]
)
def test_a_card_without_tables_of_errors_is_refused(folder, errors):
    change_card(folder, PIGMENT_CARD, errors=errors)
    with pytest.raises(
        ModelError, match=r"site-a/pigment.json.*, has no usable tables of errors \("
    ) as caught:
        open_models(folder)
    assert "Expected errors by learned-1 and classical-1, and change_error, as" in str(caught.value)


@pytest.mark.parametrize(
    ("there", "put"), [("face_reader.onnx", "face_finder.onnx"), (PIGMENT_READER, "face_reader.onnx")]
)
def test_a_network_that_does_something_else_is_refused(folder, there, put):
    shutil.copyfile(shipped_folder() / put, folder / there)
    rehash(folder)
    with pytest.raises(ModelError, match=rf"site-a/{there} takes image \(1, 3, .* and gives ") as caught:
        open_models(folder)
    wanted = "landmarks (1, 478, 3)" if there == "face_reader.onnx" else "drawn (1, 2, 144, 128)"
    assert "Expected it to take image (1, " in str(caught.value)
    assert wanted in str(caught.value)


def test_what_is_no_network_is_refused(folder):
    (folder / "face_finder.onnx").write_bytes(b"no network")
    rehash(folder)
    with pytest.raises(ModelError, match=r"site-a/face_finder.onnx is no network that ONNX Runtime can open"):
        open_models(folder)


def graph_with_a_tensor(tensor):
    """Field 7 of the model, its graph, which is read on; in it field 5, a tensor."""
    return bytes([0x3A, 2 + len(tensor), 0x2A, len(tensor)]) + tensor


def test_a_word_that_names_no_other_file_is_allowed(folder):
    with (folder / PIGMENT_READER).open("ab") as file:
        file.write(metadata("location", "weights.bin"))
    rehash(folder)
    assert open_models(folder)


def test_weights_in_another_file_which_no_hash_covers_are_refused(folder):
    with (folder / PIGMENT_READER).open("ab") as file:
        file.write(graph_with_a_tensor(b"\x6a\x00"))
    rehash(folder)
    with pytest.raises(ModelError, match=r"pigment_reader.onnx keeps weights in another file, which no hash"):
        open_models(folder)


def test_an_atlas_is_never_unpickled(folder):
    np.savez(folder / "face_atlas.npz", nodes=np.array([object()]))
    rehash(folder)
    with pytest.raises(ModelError, match=r"site-a/face_atlas.npz is no atlas of the face .*allow_pickle"):
        open_models(folder)


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_what_is_no_atlas_is_refused(folder, content):
    (folder / "face_atlas.npz").write_bytes(content)
    rehash(folder)
    with pytest.raises(ModelError, match=r"site-a/face_atlas.npz is no atlas of the face"):
        open_models(folder)


def test_an_atlas_whose_parts_do_not_fit_is_refused(folder):
    with np.load(folder / "face_atlas.npz") as stored:
        np.savez(folder / "face_atlas.npz", **(dict(stored) | {"nodes": np.zeros((3, 2), np.float32)}))
    rehash(folder)
    with pytest.raises(ModelError, match=r"is no atlas of the face \(nodes must have shape"):
        open_models(folder)


@pytest.fixture(scope="module")
def models(known_models, placed):
    return known_models(placed(320, 330, 190.0), SHAPE)


def test_the_learned_map_is_measured_and_the_rules_give_a_second_opinion(plain_skin, models):
    measured = measure_photo(Photo.from_srgb(plain_skin(*SHAPE)), "front", SHIPPED, models)
    assert measured.pigment.method == learned.METHOD
    assert all(0 <= fraction <= 1 for fraction in measured.second_fraction.values())
    for region in measured.regions.values():
        assert region.pigmented_fraction_low <= region.pigmented_fraction <= region.pigmented_fraction_high


def test_even_skin_is_free_by_the_learned_map_too(plain_skin, models):
    measured = measure_photo(Photo.from_srgb(plain_skin(*SHAPE)), "front", SHIPPED, models)
    assert max(region.pigmented_fraction for region in measured.regions.values()) < 0.05


def test_without_visible_skin_there_is_no_learned_map_and_a_reason(models):
    shape = models.face.atlas.labels.shape
    with pytest.raises(NotScorable, match="Hardly any facial skin is visible") as caught:
        pigment_maps(
            np.full((*shape, 3), 0.3, np.float32), np.zeros(shape, np.uint8), SHIPPED.pigment, models
        )
    assert caught.value.reason == "region_hidden"


@pytest.mark.parametrize(("channel", "named"), [(0, "probability"), (1, "density_od")])
def test_a_network_that_answers_with_no_numbers_is_an_error_and_no_clear_face(
    plain_skin, models, channel, named
):
    class Broken:
        def run(self, names, given):
            drawn = np.zeros((1, 2, *NETWORK_SHAPE), np.float32)
            drawn[:, channel] = np.nan
            return [drawn]

    broken = replace(models, pigment=replace(models.pigment, reader=Broken()))
    with pytest.raises(ValueError, match=f"{named} must be finite"):
        measure_photo(Photo.from_srgb(plain_skin(*SHAPE)), "front", SHIPPED, broken)


def test_the_method_of_the_settings_stands_beside_the_score(by_rules, plain_skin, models):
    from masi_vision import score_photo

    photo = Photo.from_srgb(plain_skin(*SHAPE))
    for settings, method in ((SHIPPED, learned.METHOD), (by_rules, rules.METHOD)):
        assert score_photo(photo, settings, models=models).provenance.pigment_method == method


def test_a_changed_network_changes_the_hash_beside_the_score(models):
    other = replace(models, pigment=replace(models.pigment, sha256={PIGMENT_READER: "0" * 64}))
    assert other.sha256 != models.sha256
