"""Folders of models that training writes: what their cards remember of what they learned from."""

import json

import pytest
from model_folders import copied

pytest.importorskip("torch", reason="needs the extra train")

from masi_vision.model_files import shipped_folder
from masi_vision.training import train
from masi_vision.training.experiment import load_experiment
from masi_vision.training.fit import Fitted, Processes
from masi_vision.training.model_folder import Part, _write_card, mark_finished, mark_unfinished
from masi_vision.training.runs import Prepared, Sources
from masi_vision.visit.models import datasets_learned, forget_opened, open_models, photos_learned


def part_of(name, data, *marks):
    facts = {"trained_on": "photos", "dataset_sha256": data, "learned_photos": list(marks)}
    prepared = Prepared(None, None, None, None, None, facts, ())
    return Part(load_experiment(name), prepared, Fitted(None, 1, 4, 1, 0.1))


def test_models_of_a_second_training_know_the_photos_of_the_first(tmp_path):
    """What a data set was is overwritten; of its photos each is remembered, by whichever network."""
    models = copied(tmp_path / "models")
    made = (("finetune_regions", "face_reader", "a"), ("finetune_pigment", "pigment_reader", "b"))
    for name, network, mark in (*made, ("finetune_pigment", "pigment_reader", "c")):
        (models / f"{network}.safetensors").write_bytes(b"weights")
        files = tuple(models / f"{network}{ending}" for ending in (".onnx", ".safetensors"))
        _write_card(part_of(name, mark * 64, mark), {}, models, files)
    assert photos_learned(models) == {"a", "b", "c"}
    assert datasets_learned(models) == {"a" * 64, "c" * 64}
    card = json.loads((models / "pigment.json").read_text(encoding="utf-8"))
    assert "learned_photos" not in card["networks"]["pigment"]


def test_models_whose_training_was_stopped_say_so_until_it_comes_to_its_end(tmp_path):
    models = copied(tmp_path / "models")
    (models / "pigment.md").write_text("of a training", encoding="utf-8")
    mark_unfinished(models)
    assert "did not finish" in " ".join(open_models(models).remarks)
    assert "did not finish" in (models / "pigment.md").read_text(encoding="utf-8")
    forget_opened()
    mark_finished(models)
    assert not open_models(models).remarks
    assert "did not finish" not in (models / "pigment.md").read_text(encoding="utf-8")


def test_a_network_that_was_not_touched_gets_no_page_of_a_training(tmp_path):
    models = copied(tmp_path / "models")
    before = (models / "pigment.json").read_text(encoding="utf-8")
    mark_unfinished(models)
    mark_finished(models)
    assert json.loads((models / "pigment.json").read_text(encoding="utf-8")) == json.loads(before)
    assert not (models / "pigment.md").exists()


@pytest.mark.parametrize("name", ["pigment", "finetune_regions"])
def test_a_call_that_is_stopped_leaves_models_that_are_marked(tmp_path, monkeypatch, name):
    def stopped(part, out):
        raise KeyboardInterrupt

    prepared = Prepared(None, None, None, None, None, {}, ())
    for what in ("draw_curves", "carried_out"):
        monkeypatch.setattr(train, what, lambda *_: None)
    monkeypatch.setattr(train, "made_ready", lambda *_: prepared)
    monkeypatch.setattr(train, "replace_network", stopped)
    named, sources = train.Named(name, load_experiment(name)), Sources(shipped_folder(), None, None, tmp_path)
    with Processes() as processes, pytest.raises(KeyboardInterrupt):
        train._part(named, sources, tmp_path, train.Listener(), processes)
    assert open_models(tmp_path / train.MAKING).remarks


@pytest.mark.parametrize("marked", [True, False])
def test_what_is_trained_on_unfinished_models_is_unfinished_too(tmp_path, monkeypatch, marked):
    """Nothing here looks at their intervals again."""
    models = copied(tmp_path / "models")
    if marked:
        mark_unfinished(models)
    for what in ("draw_curves", "carried_out", "replace_network"):
        monkeypatch.setattr(train, what, lambda *_: None)
    monkeypatch.setattr(train, "made_ready", lambda *_: Prepared(None, None, None, None, None, {}, ()))
    named = train.Named("pigment", load_experiment("pigment"))
    train.train_models([named], Sources(models, None, None, tmp_path), tmp_path / "run")
    assert bool(open_models(tmp_path / "run" / train.MODELS).remarks) is marked
