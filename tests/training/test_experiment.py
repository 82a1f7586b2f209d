"""Experiments: every shipped one is read, and what is wrong in one is named."""

from pathlib import Path

import pytest
import yaml

pytest.importorskip("torch", reason="needs the extra train")

from masi_vision.errors import OutputError, SettingsError
from masi_vision.shipped import shipped_file
from masi_vision.training.experiment import load_experiment
from masi_vision.training.fit import CHECKPOINT
from masi_vision.training.runs import Sources
from masi_vision.training.train import BEFORE, MAKING, MODELS, Named, _put_in_place, _remember, train_models

FOLDER = shipped_file("configs", "training/finetune_regions.yaml").parent
SHIPPED = sorted(f.stem for f in FOLDER.glob("*.yaml") if "network:" in f.read_text(encoding="utf-8"))


def test_there_are_experiments():
    assert {"face_finder", "face_reader", "finetune_pigment", "finetune_regions"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_experiment_is_read_by_its_name(name):
    experiment = load_experiment(name)
    assert experiment.schedule.steps(100) > 100


def changed(tmp_path, **values):
    content = yaml.safe_load((FOLDER / "finetune_regions.yaml").read_text(encoding="utf-8"))
    for key, value in values.items():
        section, _, name = key.partition("__")
        (content[section] if name else content)[name or section] = value
    file = Path(tmp_path / "mine.yaml")
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"network": "nose"}, r"network: found 'nose'\. Expected one of finder, reader, pigment"),
        ({"seed": "one"}, r'seed: found "one"\. Expected a valid integer'),
        ({"schedule__bach": 3}, r"schedule\.bach: found a key that is not a setting"),
        ({"schedule__epochs": 3}, r"Expected either samples or epochs, and null for the other"),
        ({"model__architecture": "Unet"}, r"Expected architecture: ours with start: models"),
        (
            {"augmentation__turned": 1.5},
            r"augmentation\.turned: found 1\.5\. Expected less than or equal to 1",
        ),
    ],
)
def test_a_bad_experiment_names_the_key_what_was_found_and_what_was_expected(tmp_path, values, sentence):
    with pytest.raises(SettingsError, match=sentence):
        load_experiment(changed(tmp_path, **values))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_loss_of_no_term_is_refused_and_one_term_is_enough(tmp_path, name):
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    content["loss"] = {term: 0.0 if term != "huber_od" else value for term, value in content["loss"].items()}
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"  loss: found .*0\.0.*\. Expected a weight above 0 for one of"):
        load_experiment(file)
    content["loss"][next(iter(content["loss"]))] = 0.1
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    load_experiment(file)


def test_a_run_goes_on_with_the_data_and_models_that_it_was_begun_with_alone(tmp_path):
    one, begun = Named("finetune_regions", load_experiment("finetune_regions")), {"data": "a", "models": "b"}
    for _ in range(2):
        _remember(one, tmp_path, begun)
    _remember(one, tmp_path, {"data": "", "models": "b"})  # nothing was fitted: the call failed at its start
    _remember(one, tmp_path, begun)
    (tmp_path / "finetune_regions" / CHECKPOINT).touch()
    for other, said in (({"data": "c"}, "other data"), ({"models": "c"}, "other models")):
        with pytest.raises(OutputError, match=f"was begun with {said}"):
            _remember(one, tmp_path, begun | other)


def test_a_run_of_another_experiment_says_what_each_setting_was_and_is(tmp_path):
    one = load_experiment("finetune_regions")
    slower = one.schedule.model_copy(update={"peak_rate": 1e-4})
    _remember(Named("mine", one), tmp_path, {})
    (tmp_path / "mine" / CHECKPOINT).touch()
    with pytest.raises(OutputError, match=r"experiment: schedule\.peak_rate: 0\.0005 before, 0\.0001 now\."):
        _remember(Named("mine", one.model_copy(update={"schedule": slower})), tmp_path, {})


def test_models_of_before_that_cannot_be_removed_are_in_nobody_s_way(tmp_path, monkeypatch):
    """Half of them would be left, without a card: no models, and a folder that no call may write to."""
    for name in (MODELS, MAKING):
        (tmp_path / name).mkdir()
        (tmp_path / name / "face.json").write_text(name)
        (tmp_path / name / "in_use").touch()

    def half(folder, **_):
        (folder / "face.json").unlink(missing_ok=True)

    monkeypatch.setattr("shutil.rmtree", half)
    _put_in_place(tmp_path)
    assert (tmp_path / MODELS / "face.json").read_text() == MAKING
    assert {one.name for one in tmp_path.iterdir()} == {MODELS, BEFORE}


def test_a_run_that_never_came_to_models_names_none_to_go_on_from(tmp_path):
    (tmp_path / MAKING).mkdir()
    (tmp_path / "mine").mkdir()
    for name in ("experiment.json", CHECKPOINT):
        (tmp_path / "mine" / name).touch()
    with pytest.raises(OutputError, match=r"or a new folder: --run NEW\.$"):
        train_models(
            [Named("other", load_experiment("finetune_regions"))],
            Sources(models=FOLDER, dataset=None, faces=None, cache=tmp_path),
            tmp_path,
        )


def test_a_name_of_no_experiment_is_answered_with_those_that_there_are():
    with pytest.raises(SettingsError, match=r"There is no experiment 'tiny'.*face_reader, finetune_pigment"):
        load_experiment("tiny")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("mine", "mine"), "2 experiments are called mine."),
        (("models",), "An experiment is called models"),
        (("cache",), "An experiment is called cache"),
    ],
)
def test_experiments_that_would_write_into_one_folder_are_refused_before_anything_is_fitted(
    tmp_path, names, said
):
    one = load_experiment("finetune_regions")
    sources = Sources(tmp_path, None, None, tmp_path / "cache")
    with pytest.raises(SettingsError, match=said):
        train_models([Named(name, one) for name in names], sources, tmp_path / "run")
    assert not list(tmp_path.iterdir())
