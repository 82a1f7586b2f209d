"""The two networks: fitted for a moment, stopped, gone on with, exported."""

import json
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
if find_spec("segmentation_models_pytorch") is None:  # imported by networks, after its torchvision is mended
    pytest.skip("needs the extra train", allow_module_level=True)

from safetensors import SafetensorError, safe_open  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch.optim.swa_utils import AveragedModel  # noqa: E402

from masi_vision.errors import ModelError, OutputError  # noqa: E402
from masi_vision.training import onnx_export  # noqa: E402
from masi_vision.training.data import FinderSamples, ReaderSamples  # noqa: E402
from masi_vision.training.designs import choose_anchors, finder_of, reader_of  # noqa: E402
from masi_vision.training.experiment import load_experiment  # noqa: E402
from masi_vision.training.fit import BEST, CHECKPOINT, fit, rate_at, weights_of, write_tensors  # noqa: E402
from masi_vision.training.losses import finder_loss, reader_loss  # noqa: E402
from masi_vision.training.networks import FaceFinder, FaceReader, soft_argmax  # noqa: E402
from masi_vision.training.shipped import load_shipped  # noqa: E402

READER, FINDER = load_experiment("face_reader"), load_experiment("face_finder")


def short(experiment, steps=3):
    """The experiment, over in a moment."""
    schedule = experiment.schedule.model_copy(update={"samples": 2 * steps, "batch": 2, "average_steps": 3})
    return experiment.model_copy(
        update={"schedule": schedule, "workers": 0, "threads": 1, "precision": "float32"}
    )


@pytest.fixture(scope="module")
def anchors(atlas):
    return choose_anchors(atlas.landmark_mean, 24)


@pytest.fixture(scope="module")
def new_reader(atlas, crops):
    def make(shapes=crops, count=24):
        return reader_of(READER.model, shapes, atlas.landmark_mean, count=count)

    return make


def new_finder():
    return finder_of(FINDER.model)


def finders_loss(network, batch):
    return finder_loss(network, batch, FINDER.loss)


def readers_loss(network, batch):
    return reader_loss(network, batch, READER.loss)


@pytest.fixture(scope="module")
def crops(atlas):
    """Shapes of training faces in crop pixels: the mean face, a little different each time."""
    rng = np.random.default_rng(2)
    stretch = 1 + 0.08 * rng.normal(size=(40, 1, 3))
    shift = np.concatenate([rng.normal(0, 5, (40, 1, 2)), np.zeros((40, 1, 1))], axis=2)
    return (atlas.landmark_mean * 62 * stretch + (96, 96, 0) + shift).astype(np.float32)


def test_anchors_span_the_face_and_none_is_chosen_twice(atlas, anchors):
    assert len(anchors) == len(set(anchors)) == 24
    assert max(anchors) < 468
    chosen, all_points = atlas.landmark_mean[anchors], atlas.landmark_mean[:468]
    away = np.linalg.norm(all_points[:, None] - chosen[None], axis=2).min(axis=1)
    assert away.max() < 0.45
    np.testing.assert_allclose(np.ptp(chosen, axis=0)[:2], np.ptp(all_points, axis=0)[:2], rtol=0.1)


def test_the_expected_place_of_a_sharp_heat_map_is_its_peak():
    heat = torch.full((1, 2, 48, 48), -50.0)
    heat[0, 0, 10, 20] = 50
    heat[0, 1, 0, 47] = 50
    at = soft_argmax(heat, stride=4)
    np.testing.assert_allclose(at[0], [[81.5, 41.5], [189.5, 1.5]], atol=1e-3)


def test_a_new_reader_spreads_known_anchors_to_all_landmarks(crops, anchors, new_reader):
    """The linear map is the regression of the shapes: no training is needed for it."""
    reader = new_reader()
    flat = torch.from_numpy((crops[:, anchors, :2] / 192 - 0.5).reshape(len(crops), -1))
    with torch.no_grad():
        spread = (reader.spread(flat).reshape(-1, 478, 3) + 0.5) * 192
    off = np.linalg.norm(spread.numpy()[..., :2] - crops[..., :2], axis=2)
    assert off.mean() < 0.02 * 62


class StopAfterError(Exception):
    """Stands for whatever kills a run."""


def stopping_after(steps):
    def tell(done, total, figures):
        if done == steps:
            raise StopAfterError

    return tell


def test_a_run_that_was_killed_and_gone_on_with_ends_as_one_that_was_not(
    drawn_faces, atlas, mirror, tmp_path
):
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    torch.manual_seed(0)
    start = {name: value.clone() for name, value in new_finder().state_dict().items()}

    def fitted(folder, **more):
        network = new_finder()
        network.load_state_dict(start)
        return fit(network, samples, finders_loss, short(FINDER, 6), folder, **more)

    whole = fitted(tmp_path / "whole")
    for stop in (2, 3):
        with pytest.raises(StopAfterError):
            fitted(tmp_path / "killed", tell=stopping_after(stop))
    gone_on = fitted(tmp_path / "killed")
    assert whole.steps == gone_on.steps == 6
    for name, weights in whole.network.state_dict().items():
        torch.testing.assert_close(gone_on.network.state_dict()[name], weights, atol=1e-6, rtol=1e-5)
    logs = [
        [json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()]
        for run in ("whole", "killed")
    ]
    assert [line["step"] for line in logs[0]] == [line["step"] for line in logs[1]]


class Looking:
    """Judges a network at each look, and may be stopped in the middle of the second."""

    def __init__(self, stopped):
        self.stopped, self.looks = stopped, 0

    def figures(self, network):
        self.looks += 1
        if self.stopped and self.looks == 2:
            raise KeyboardInterrupt
        return {"score": float(next(network.parameters()).sum())}

    def pictures(self, network):
        return np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize("moment", ["look", "step"])
def test_a_run_that_is_stopped_within_a_look_or_a_step_ends_as_one_that_was_not(
    drawn_faces, atlas, mirror, tmp_path, monkeypatch, moment
):
    """Ctrl-C in a look at the validation people, or where weights have moved and no step is counted."""
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    torch.manual_seed(0)
    start = {name: value.clone() for name, value in new_finder().state_dict().items()}

    def fitted(folder, stopped=""):
        network, averaged = new_finder(), []
        network.load_state_dict(start)
        average = AveragedModel.update_parameters

        def update(model, moved):
            averaged.append(moved)
            if stopped == "step" and len(averaged) == 4:
                raise KeyboardInterrupt
            average(model, moved)

        with monkeypatch.context() as patch:
            patch.setattr(AveragedModel, "update_parameters", update)
            judge = Looking(stopped == "look")
            return fit(network, samples, finders_loss, short(FINDER, 6), folder, judge=judge)

    whole = fitted(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "stopped", stopped=moment)
    gone_on = fitted(tmp_path / "stopped")
    assert (gone_on.steps, gone_on.best_step) == (whole.steps, whole.best_step)
    for name, weights in whole.network.state_dict().items():
        torch.testing.assert_close(gone_on.network.state_dict()[name], weights, atol=1e-6, rtol=1e-5)


class Told:
    """A judge who says of each look what it was told to."""

    def __init__(self, *scores):
        self.scores = iter(scores)

    def figures(self, network):
        score = next(self.scores)
        return {"right": score, "score": score}

    def pictures(self, network):
        return np.zeros((4, 4, 3), np.uint8)


def test_a_network_that_no_look_found_better_than_the_start_is_the_start(
    drawn_faces, atlas, mirror, tmp_path
):
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    start = new_finder()
    before = {name: value.clone() for name, value in start.state_dict().items()}
    worse = fit(start, samples, finders_loss, short(FINDER, 2), tmp_path / "worse", judge=Told(0.8, 0.7))
    assert (worse.best_step, worse.figures["right"], worse.figures_at_start["right"]) == (0, 0.8, 0.8)
    for name, weights in worse.network.state_dict().items():
        torch.testing.assert_close(weights, before[name])
    better = fit(
        new_finder(), samples, finders_loss, short(FINDER, 2), tmp_path / "better", judge=Told(0.8, 0.9)
    )
    assert (better.best_step, better.figures["right"], better.figures_at_start["right"]) == (2, 0.9, 0.8)


def test_where_no_look_has_a_number_the_end_is_kept_and_said(drawn_faces, atlas, mirror, tmp_path):
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    nobody = Told(float("nan"), float("nan"))
    fitted = fit(new_finder(), samples, finders_loss, short(FINDER, 2), tmp_path, judge=nobody)
    assert (fitted.best_step, fitted.figures, fitted.figures_at_start) == (2, {}, {})


def test_the_start_is_no_look_that_patience_counts(drawn_faces, atlas, mirror, tmp_path):
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    once = short(FINDER, 6)
    schedule = once.schedule.model_copy(update={"validate_every": 4, "patience": 1})
    once = once.model_copy(update={"schedule": schedule})
    judge = Told(float("nan"), 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)
    fitted = fit(new_finder(), samples, finders_loss, once, tmp_path, judge=judge)
    assert fitted.best_step > 0
    assert fitted.steps < 6


def test_a_log_that_a_crash_cut_off_is_gone_on_with(drawn_faces, atlas, mirror, tmp_path):
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    with pytest.raises(StopAfterError):
        fit(new_finder(), samples, finders_loss, short(FINDER, 4), tmp_path, tell=stopping_after(2))
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"step": 6, "sam')
    assert fit(new_finder(), samples, finders_loss, short(FINDER, 4), tmp_path).steps == 4


def test_a_checkpoint_that_also_holds_a_state_of_random_numbers_is_gone_on_with(
    drawn_faces, atlas, mirror, tmp_path
):
    """So did those of before every step drew its own."""
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    with pytest.raises(StopAfterError):
        fit(new_finder(), samples, finders_loss, short(FINDER, 4), tmp_path, tell=stopping_after(2))
    file = tmp_path / CHECKPOINT
    with safe_open(file, "pt") as stored:
        facts = stored.metadata()
    write_tensors(file, load_file(file) | {"random": torch.get_rng_state()}, facts)
    assert fit(new_finder(), samples, finders_loss, short(FINDER, 4), tmp_path).steps == 4


def test_a_training_that_came_apart_stops_and_keeps_nothing(drawn_faces, atlas, mirror, tmp_path):
    """With a rate far too high the weights are no numbers after a step or two."""
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    wild = short(FINDER, 6)
    wild = wild.model_copy(update={"schedule": wild.schedule.model_copy(update={"peak_rate": 1e30})})
    with pytest.raises(ModelError, match=r"The training came apart: at step \d+ the weights are no numbers"):
        fit(new_finder(), samples, finders_loss, wild, tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_training_that_comes_apart_later_keeps_what_it_had(drawn_faces, atlas, mirror, tmp_path):
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    looks = short(FINDER, 6)
    looks = looks.model_copy(update={"schedule": looks.schedule.model_copy(update={"validate_every": 4})})
    steps = iter(range(1, 7))

    def loss_of(network, batch):
        loss, facts = finders_loss(network, batch)
        return (loss * float("nan") if next(steps) == 4 else loss), facts

    class Rising:
        """A judge to whom every look is the best."""

        score = 0.0

        def figures(self, network):
            self.score += 1
            return {"score": self.score}

        def pictures(self, network):
            return np.zeros((4, 4, 3), np.uint8)

    with pytest.raises(ModelError, match=r"The training came apart: at step 4"):
        fit(new_finder(), samples, loss_of, looks, tmp_path, judge=Rising())
    for name in (CHECKPOINT, BEST):
        kept = load_file(tmp_path / name)
        assert all(bool(torch.isfinite(one).all()) for one in kept.values() if one.is_floating_point())


def test_a_full_disk_is_a_sentence_and_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    file = tmp_path / CHECKPOINT
    write_tensors(file, {"a": torch.ones(3)}, {})
    before = file.read_bytes()

    def full(_tensors, partial, _facts):
        partial.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("masi_vision.training.fit.save_file", full)
    with pytest.raises(OutputError, match=r"No space left.*Expected free space.*goes on from its last"):
        write_tensors(file, {"a": torch.zeros(3)}, {})
    assert {one.name for one in tmp_path.iterdir()} == {CHECKPOINT}
    assert file.read_bytes() == before


def test_a_finished_run_is_not_fitted_further(drawn_faces, atlas, mirror, tmp_path):
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    fit(new_finder(), samples, finders_loss, short(FINDER), tmp_path)
    before = load_file(tmp_path / CHECKPOINT)
    again = fit(new_finder(), samples, finders_loss, short(FINDER), tmp_path)
    for name, weights in again.network.state_dict().items():
        torch.testing.assert_close(weights, before[f"average.module.{name}"])
        torch.testing.assert_close(weights, weights_of(tmp_path / CHECKPOINT)[name])
    assert not list(tmp_path.glob("*.partial"))


def test_the_reader_is_fitted_and_its_loss_stays_a_number(
    drawn_faces, atlas, mirror, crops, new_reader, tmp_path
):
    samples = ReaderSamples(drawn_faces, atlas.landmark_mean, mirror, READER.augmentation, seed=0)
    network = fit(new_reader(), samples, readers_loss, short(READER), tmp_path).network
    rng = np.random.default_rng(1)
    drawn = [samples.draw(rng) for _ in range(2)]
    batch = {name: torch.from_numpy(np.stack([sample[name] for sample in drawn])) for name in drawn[0]}
    batch["image"] = batch["image"].float() / 255
    with torch.inference_mode():
        loss, facts = readers_loss(network, batch)
        logits, landmarks, _ = network(batch["image"])
    assert torch.isfinite(loss)
    assert all(torch.isfinite(value) for value in facts.values())
    assert logits.shape == (2, 7, 192, 192)
    assert landmarks.shape == (2, 478, 3)


def test_a_few_steps_on_one_picture_lower_the_loss(drawn_faces, atlas, mirror):
    torch.manual_seed(0)
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)
    rng = np.random.default_rng(4)
    drawn = [samples.draw(rng) for _ in range(4)]
    batch = {name: torch.from_numpy(np.stack([sample[name] for sample in drawn])) for name in drawn[0]}
    batch["image"] = batch["image"].float() / 255
    network = new_finder().train()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss, _ = finders_loss(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_the_learning_rate_rises_first_and_falls_to_a_hundredth():
    schedule = FINDER.schedule
    rates = [rate_at(schedule, progress) for progress in np.linspace(0, 1, 101)]
    assert rates[0] < 0.02 * schedule.peak_rate
    assert max(rates) == pytest.approx(schedule.peak_rate, rel=0.02)
    assert rates[-1] == pytest.approx(0.01 * schedule.peak_rate)
    assert all(later <= earlier for earlier, later in pairwise(rates[3:]))


def test_exposure_drops_out_before_the_first_filter():
    torch.manual_seed(0)
    finder = FaceFinder().eval()
    picture = torch.rand(1, 3, 128, 128) * 0.5 + 0.2
    with torch.inference_mode():
        plain, brighter = finder(picture), finder(picture + 0.2)
    for ours, theirs in zip(plain, brighter, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("what", ["finder", "reader"])
def test_the_exported_network_says_the_same_as_the_trained_one(what, new_reader, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra train")
    torch.manual_seed(1)
    if what == "finder":
        network, outputs, pictures = new_finder(), ["presence", "heat"], torch.rand(2, 3, 128, 128)
    else:
        network, outputs = onnx_export.DeliveredReader(new_reader()), ["shares", "landmarks"]
        pictures = torch.rand(2, 3, 192, 192)
    file = tmp_path / f"{what}.onnx"
    worst = onnx_export.write_onnx(network, pictures, outputs, file)
    assert (
        str(Path(onnx_export.__file__).parent).encode() not in file.read_bytes()
    )  # no place of this machine
    limits = {"presence": 1e-4, "heat": 1e-4, "shares": 1e-4, "landmarks": 1e-3}  # landmarks in px, up to 192
    assert all(worst[name] < limits[name] for name in outputs)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert [put.name for put in session.get_inputs()] == ["image"]
    assert [put.name for put in session.get_outputs()] == outputs
    with torch.inference_mode():
        ours = network(pictures[:1])[0].numpy()
    np.testing.assert_allclose(session.run(None, {"image": pictures[:1].numpy()})[0], ours, atol=1e-4)


@pytest.mark.parametrize("what", ["finder", "reader"])
def test_a_network_that_gives_no_numbers_is_not_exported(what, new_reader, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra train")
    network = new_finder() if what == "finder" else new_reader()
    for weight in network.parameters():
        torch.nn.init.constant_(weight, float("nan"))
    side = 128 if what == "finder" else 192
    export = onnx_export.export_finder if what == "finder" else onnx_export.export_reader
    with pytest.raises(ModelError, match="differs from the trained network"):
        export(network, torch.rand(1, 3, side, side), tmp_path / "network.onnx")


def test_the_delivered_regions_are_probabilities(new_reader):
    with torch.inference_mode():
        shares, landmarks = onnx_export.DeliveredReader(new_reader()).eval()(torch.rand(1, 3, 192, 192))
    np.testing.assert_allclose(shares.sum(dim=1), 1, atol=1e-5)
    assert landmarks.shape == (1, 478, 3)
    assert isinstance(new_reader(), FaceReader)


def test_a_shipped_reader_is_trained_on_from_where_it_was(
    drawn_faces, atlas, mirror, crops, new_reader, tmp_path
):
    """The export folds batch normalization away; it comes back without changing what the network says."""
    samples = ReaderSamples(drawn_faces, atlas.landmark_mean, mirror, READER.augmentation, seed=0)
    trained = fit(new_reader(), samples, readers_loss, short(READER), tmp_path).network
    seen = torch.stack([torch.from_numpy(samples[n]["image"]).float() / 255 for n in range(6)])
    onnx_export.write_onnx(
        onnx_export.DeliveredReader(trained), seen[:1], ["shares", "landmarks"], tmp_path / "r.onnx"
    )
    again = new_reader(crops[::-1] * 0.9)
    load_shipped(again, tmp_path / "r.onnx", seen)
    with torch.inference_mode():
        before, after = trained(seen)[0].softmax(1), again.eval()(seen)[0].softmax(1)
        learning = again.train()(seen)[0].softmax(1)
    torch.testing.assert_close(after, before, atol=1e-3, rtol=0)
    torch.testing.assert_close(learning, before, atol=1e-3, rtol=0)  # these pictures are the statistics
    assert all(weight.requires_grad for weight in again.parameters())


def test_a_shipped_network_of_another_design_is_refused(new_reader, tmp_path):
    pictures = torch.rand(2, 3, 192, 192)
    reader = onnx_export.DeliveredReader(new_reader())
    onnx_export.write_onnx(reader, pictures, ["shares", "landmarks"], tmp_path / "r.onnx")
    with pytest.raises(ValueError, match="same design"):
        load_shipped(new_reader(count=12), tmp_path / "r.onnx", pictures)


def test_the_loss_does_not_look_at_unknown_pixels(drawn_faces, atlas, mirror):
    class Says(torch.nn.Module):
        anchors = (0, 1)

        def __init__(self, logits):
            super().__init__()
            self.logits = logits

        def forward(self, image):
            return self.logits, torch.zeros(2, 478, 3), torch.zeros(2, 2, 2)

    torch.manual_seed(3)
    labels = torch.randint(0, 7, (2, 192, 192))
    labels[:, 50:100] = 255
    logits = torch.randn(2, 7, 192, 192)
    other = logits.clone()
    other[:, :, 50:100] = torch.randn(2, 7, 50, 192) * 4
    batch = {"image": torch.zeros(1), "labels": labels, "landmarks": torch.zeros(2, 478, 3)}
    ours, theirs = readers_loss(Says(logits), batch)[0], readers_loss(Says(other), batch)[0]
    torch.testing.assert_close(ours, theirs)
    other[:, :, 120:] = 0
    assert readers_loss(Says(other), batch)[0] != theirs
