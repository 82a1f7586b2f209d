"""Models that a user added: verified on the way in, found by name, chosen, and never half there."""

import json
import os
import shutil

import pytest
from model_folders import change_card, copied, rehash, retrained

from masi_vision.errors import ModelError, OutputError
from masi_vision.model_files import CARD
from masi_vision.visit import store
from masi_vision.visit.models import PIGMENT_CARD, PIGMENT_READER, open_models, shipped_models


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """An empty store."""
    monkeypatch.setenv("MASI_MODELS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    return retrained(tmp_path_factory.mktemp("trained") / "Site-A")


@pytest.fixture
def trained(trained_once, tmp_path):
    """Models as a training left them; to be changed."""
    return shutil.copytree(trained_once, tmp_path / "Site-A")


def test_nothing_is_in_use_but_the_shipped_models_at_first(own_store):
    assert store.in_use() == "shipped"
    assert store.folder_of() is None
    assert store.added() == ()
    assert not own_store.exists()


def test_without_the_variable_the_store_lies_with_the_users_data(monkeypatch):
    monkeypatch.delenv("MASI_MODELS")
    assert store.store_folder().parts[-2:] == ("masi_vision", "models")


@pytest.mark.skipif(os.name != "posix", reason="elsewhere every account has a home")
def test_an_account_without_a_home_has_no_store_and_scores_with_the_shipped_models(trained, monkeypatch):
    for name in ("MASI_MODELS", "HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # as of a container's number
    assert (store.in_use(), store.folder_of(), store.added()) == ("shipped", None, ())
    with pytest.raises(ModelError, match=r"no home folder\. .* Set the environment variable MASI_MODELS"):
        store.add(trained)
    monkeypatch.setenv("MASI_MODELS", "~/store")  # named, so not passed over
    with pytest.raises(ModelError, match="no home folder"):
        store.in_use()


def test_a_home_of_another_account_is_told_from_a_choice_that_is_damaged(monkeypatch):
    def shut(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", shut)
    with pytest.raises(ModelError, match=r"by this account\. .* Set HOME .* or MASI_MODELS .* --models"):
        store.in_use()


def test_added_models_are_found_by_name_and_hold_only_what_belongs_to_them(trained, own_store):
    for extra in ("notes.txt", "face_reader.safetensors", "face.md"):
        (trained / extra).write_text("x")
    assert store.add(trained) == "site-a"
    assert store.folder_of("site-a") == own_store / "site-a"
    found = open_models(store.folder_of("site-a"))
    assert found.name == "site-a"
    assert found.sha256 == open_models(trained).sha256
    assert {file.name for file in (own_store / "site-a").iterdir()} == {
        *("face.json", "face.md", "face_atlas.npz", "face_finder.onnx", "face_reader.onnx"),
        *("pigment.json", "pigment_reader.onnx"),
    }
    assert [file.name for file in own_store.iterdir()] == ["site-a"]


def test_the_name_is_that_of_model_json_unless_another_is_given(trained):
    (trained / "model.json").write_text(json.dumps({"name": "clinic-7"}))
    assert store.add(trained) == "clinic-7"
    assert store.add(trained, "again") == "again"
    assert store.added() == ("again", "clinic-7")


@pytest.mark.parametrize(
    "name", ["", "Site-A", "../x", ".x", "-x", "a b", "shipped", "in_use", "a" * 65, "a/b"]
)
def test_what_is_no_name_is_refused(trained, own_store, name):
    with pytest.raises(OutputError, match=r"is no name for models\. Expected small letters, digits"):
        store.add(trained, name)
    assert not own_store.exists()


def test_a_taken_name_is_refused_and_what_has_it_stays(trained):
    store.add(trained)
    before = open_models(store.folder_of("site-a")).sha256
    with pytest.raises(OutputError, match=r"There are models called site-a already\. Expected a new name"):
        store.add(trained)
    assert open_models(store.folder_of("site-a")).sha256 == before
    (store.folder_of("site-a") / "face.json").unlink()
    with pytest.raises(OutputError, match=r"site-a is there and holds no face\.json"):
        store.add(trained)


def test_models_that_cannot_be_used_do_not_come_in(trained, own_store):
    (trained / PIGMENT_READER).write_bytes(b"x")
    with pytest.raises(ModelError, match=r"Site-A/pigment_reader.onnx has SHA-256"):
        store.add(trained)
    assert store.added() == ()
    with pytest.raises(ModelError, match=r"holds no face.json\. Expected a folder of models, as masi"):
        store.add(own_store.parent / "nowhere")


def test_what_goes_wrong_while_copying_leaves_nothing_behind(trained, own_store, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OutputError, match=r"store cannot be written \(no space left on device\)\. Expected"):
        store.add(trained)
    assert list(own_store.iterdir()) == []


def test_models_in_use_stay_in_use_until_others_are_chosen(trained, own_store):
    store.add(trained)
    assert store.use("site-a").name == "site-a"
    assert store.in_use() == "site-a"
    assert store.folder_of() == own_store / "site-a"
    assert sorted(file.name for file in own_store.iterdir()) == ["in_use", "site-a"]
    assert store.use("shipped") is shipped_models()
    assert store.folder_of() is None


def test_the_functions_of_python_take_the_shipped_models_whatever_is_in_use(trained):
    store.add(trained)
    store.use("site-a")
    assert open_models() is shipped_models()


def test_only_models_that_run_can_be_chosen(trained, own_store):
    with pytest.raises(ModelError, match=r"There are no models site-b\. Expected one of shipped, or a"):
        store.use("site-b")
    with pytest.raises(ModelError, match=r"is a folder\. Expected the name of added models\. Add it first"):
        store.use(str(trained))
    store.add(trained)
    (own_store / "site-a" / "face_finder.onnx").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"site-a/face_finder.onnx has SHA-256"):
        store.use("site-a")
    assert store.in_use() == "shipped"


def test_models_in_use_that_are_gone_are_said_and_nothing_else_is_taken(trained, own_store):
    store.add(trained)
    store.use("site-a")
    shutil.rmtree(own_store / "site-a")
    with pytest.raises(ModelError, match=r"The models in use, site-a, are gone from .* Expected one of"):
        store.folder_of()
    assert [(one.name, one.in_use, bool(one.problem)) for one in store.stored_models()] == [
        ("shipped", False, False),
        ("site-a", True, True),
    ]
    store.use("shipped")
    assert store.folder_of() is None


@pytest.mark.parametrize(
    ("content", "name"), [(b"", "shipped"), (b"  \n", "shipped"), (b"../../x\n", "../../x")]
)
def test_a_choice_of_anything_else_leads_nowhere(own_store, content, name):
    own_store.mkdir()
    (own_store / "in_use").write_bytes(content)
    assert store.in_use() == name
    if name != "shipped":
        with pytest.raises(ModelError, match="are gone from"):
            store.folder_of()


def test_a_choice_that_cannot_be_read_is_said(own_store):
    own_store.mkdir()
    (own_store / "in_use").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match=r"in_use cannot be read .* Choose again with masi models use NAME"):
        store.in_use()


def test_a_name_comes_before_a_folder_of_that_name(trained, own_store, monkeypatch):
    store.add(trained)
    monkeypatch.chdir(copied(own_store.parent / "here" / "site-a").parent)
    assert store.folder_of("site-a") == own_store / "site-a"
    assert store.folder_of("./site-a").resolve() == own_store.parent / "here" / "site-a"
    assert store.folder_of("shipped") is None


def test_a_folder_without_cards_is_no_models(tmp_path):
    with pytest.raises(ModelError, match=r"holds no face.json\. Expected a folder of models"):
        store.folder_of(str(tmp_path))


def test_every_file_is_held_against_its_card(trained):
    assert {one.name for one in store.check_files(None) if not one.problem} == {
        *("face.json", "face_atlas.npz", "face_finder.onnx", "face_reader.onnx"),
        *("pigment.json", "pigment_reader.onnx"),
    }
    (trained / "face_finder.onnx").unlink()
    (trained / "face_atlas.npz").write_bytes(b"x")
    change_card(trained, PIGMENT_CARD, format=9)
    problems = {one.name: one.problem for one in store.check_files(trained) if one.problem}
    assert set(problems) == {"face_atlas.npz", "face_finder.onnx", "pigment.json"}
    assert "is missing" in problems["face_finder.onnx"]
    assert "has format 9. Expected format 1." in problems["pigment.json"]


def test_networks_are_run_before_they_are_trusted(trained, monkeypatch):
    found = open_models(trained)

    def fails(frame):
        raise RuntimeError("a tensor of another shape\nand more")

    monkeypatch.setitem(found.pigment.__dict__, "read", fails)
    said = r"A network of Site-A does not run \(a tensor of another shape\)\. Expected numbers for an empty"
    with pytest.raises(ModelError, match=said):
        store.verify(trained)


def test_a_network_that_gives_no_numbers_is_refused(trained, monkeypatch):
    found = open_models(trained)
    monkeypatch.setitem(found.pigment.__dict__, "read", lambda frame: frame * float("nan"))
    with pytest.raises(ModelError, match=r"A network of Site-A gives no finite numbers for an empty picture"):
        store.verify(trained)


def test_a_card_may_not_bring_files_from_elsewhere(trained, tmp_path):
    (tmp_path / "secret").write_text("x")
    card = json.loads((trained / CARD).read_text())
    change_card(trained, CARD, sha256=card["sha256"] | {"../secret": "0" * 64})
    with pytest.raises(ModelError, match=r"Site-A/face.json names '\.\./secret'\. Expected names of files"):
        store.add(trained)


def test_what_else_a_card_names_is_copied_too(trained, own_store):
    (trained / "notes.bin").write_bytes(b"x")
    card = json.loads((trained / CARD).read_text())
    change_card(trained, CARD, sha256=card["sha256"] | {"notes.bin": ""})
    rehash(trained)
    store.add(trained)
    assert (own_store / "site-a" / "notes.bin").is_file()
