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

from masi_vision.training.data import FinderSamples, ReaderSamples  # noqa: E402
from masi_vision.training.fit import (  # noqa: E402
    Schedule,
    choose_anchors,
    finder_loss,
    fit,
    new_finder,
    new_reader,
    reader_loss,
)
from masi_vision.training.networks import FaceFinder, FaceReader, soft_argmax  # noqa: E402
from masi_vision.training.shipped import load_shipped  # noqa: E402

SHORT = Schedule(minutes=0.02, batch=2, peak_rate=1e-3, workers=0, threads=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def anchors(atlas):
    return choose_anchors(atlas.landmark_mean, 24)


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


def test_a_new_reader_spreads_known_anchors_to_all_landmarks(crops, anchors):
    """The linear map is the regression of the shapes: no training is needed for it."""
    reader = new_reader(crops, anchors)
    flat = torch.from_numpy((crops[:, anchors, :2] / 192 - 0.5).reshape(len(crops), -1))
    with torch.no_grad():
        spread = (reader.spread(flat).reshape(-1, 478, 3) + 0.5) * 192
    off = np.linalg.norm(spread.numpy()[..., :2] - crops[..., :2], axis=2)
    assert off.mean() < 0.02 * 62


def test_the_finder_is_fitted_stopped_and_gone_on_with(drawn_faces, atlas, mirror, tmp_path):
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, seed=0)
    fit(new_finder(), samples, finder_loss, SHORT, tmp_path)
    first = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    longer = Schedule(minutes=0.04, batch=2, peak_rate=1e-3, workers=0, threads=1)
    network = fit(new_finder(), samples, finder_loss, longer, tmp_path)
    second = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert not network.training
    assert second["step"] > first["step"] > 0
    assert second["spent_s"] > first["spent_s"] >= 1.2
    moved = [
        float((second["network"][name] - weights).abs().max())
        for name, weights in first["network"].items()
        if weights.is_floating_point()
    ]
    assert 0 < max(moved) < 1e4
    assert not list(tmp_path.glob("*.tmp"))


def test_a_finished_run_is_not_fitted_further(drawn_faces, atlas, mirror, tmp_path):
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, seed=0)
    fit(new_finder(), samples, finder_loss, SHORT, tmp_path)
    before = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    network = fit(new_finder(), samples, finder_loss, SHORT, tmp_path)
    after = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert before["step"] == after["step"]
    for name, weights in network.state_dict().items():
        torch.testing.assert_close(weights.cpu(), before["average"][f"module.{name}"])


def test_the_reader_is_fitted_and_its_loss_stays_a_number(
    drawn_faces, atlas, mirror, crops, anchors, tmp_path
):
    samples = ReaderSamples(drawn_faces, atlas.landmark_mean, mirror, seed=0)
    network = fit(new_reader(crops, anchors), samples, reader_loss, SHORT, tmp_path)
    rng = np.random.default_rng(1)
    drawn = [samples.draw(rng) for _ in range(2)]
    batch = {name: torch.from_numpy(np.stack([sample[name] for sample in drawn])) for name in drawn[0]}
    batch["image"] = batch["image"].float() / 255
    with torch.inference_mode():
        loss, facts = reader_loss(network, batch)
        logits, landmarks, _ = network(batch["image"])
    assert torch.isfinite(loss)
    assert all(np.isfinite(value) for value in facts.values())
    assert logits.shape == (2, 7, 192, 192)
    assert landmarks.shape == (2, 478, 3)
    json.dumps(facts)


def test_a_few_steps_on_one_picture_lower_the_loss(drawn_faces, atlas, mirror):
    torch.manual_seed(0)
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, seed=0)
    rng = np.random.default_rng(4)
    drawn = [samples.draw(rng) for _ in range(4)]
    batch = {name: torch.from_numpy(np.stack([sample[name] for sample in drawn])) for name in drawn[0]}
    batch["image"] = batch["image"].float() / 255
    network = new_finder().train()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss, _ = finder_loss(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_the_learning_rate_rises_first_and_falls_to_a_hundredth():
    rates = [SHORT.rate(progress) for progress in np.linspace(0, 1, 101)]
    assert rates[0] < 0.02 * SHORT.peak_rate
    assert max(rates) == pytest.approx(SHORT.peak_rate, rel=0.02)
    assert rates[-1] == pytest.approx(0.01 * SHORT.peak_rate)
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
def test_the_exported_network_says_the_same_as_the_trained_one(what, crops, anchors, tmp_path):
    pytest.importorskip("onnxscript", reason="needs the extra train")
    regions = pytest.importorskip("masi_vision.training.regions")
    torch.manual_seed(1)
    if what == "finder":
        network, outputs, pictures = new_finder(), ["presence", "heat"], torch.rand(2, 3, 128, 128)
    else:
        network, outputs = regions._Delivered(new_reader(crops, anchors)), ["shares", "landmarks"]
        pictures = torch.rand(2, 3, 192, 192)
    file = tmp_path / f"{what}.onnx"
    worst = regions.write_onnx(network, pictures, outputs, file)
    assert str(Path(regions.__file__).parent).encode() not in file.read_bytes()  # no place of this machine
    limits = {"presence": 1e-4, "heat": 1e-4, "shares": 1e-4, "landmarks": 1e-3}  # landmarks in px, up to 192
    assert all(worst[name] < limits[name] for name in outputs)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert [put.name for put in session.get_inputs()] == ["image"]
    assert [put.name for put in session.get_outputs()] == outputs
    with torch.inference_mode():
        ours = network(pictures[:1])[0].numpy()
    np.testing.assert_allclose(session.run(None, {"image": pictures[:1].numpy()})[0], ours, atol=1e-4)


def test_the_delivered_regions_are_probabilities(crops, anchors):
    regions = pytest.importorskip("masi_vision.training.regions")
    with torch.inference_mode():
        shares, landmarks = regions._Delivered(new_reader(crops, anchors)).eval()(torch.rand(1, 3, 192, 192))
    np.testing.assert_allclose(shares.sum(dim=1), 1, atol=1e-5)
    assert landmarks.shape == (1, 478, 3)
    assert isinstance(new_reader(crops, anchors), FaceReader)


def test_a_shipped_reader_is_trained_on_from_where_it_was(
    drawn_faces, atlas, mirror, crops, anchors, tmp_path
):
    """The export folds batch normalization away; it comes back without changing what the network says."""
    regions = pytest.importorskip("masi_vision.training.regions")
    samples = ReaderSamples(drawn_faces, atlas.landmark_mean, mirror, seed=0)
    trained = fit(new_reader(crops, anchors), samples, reader_loss, SHORT, tmp_path)
    seen = regions.pictures(samples, 6, np.random.default_rng(5))
    regions.write_onnx(regions._Delivered(trained), seen[:1], ["shares", "landmarks"], tmp_path / "r.onnx")
    again = new_reader(crops[::-1] * 0.9, anchors)
    load_shipped(again, tmp_path / "r.onnx", seen)
    with torch.inference_mode():
        before, after = trained(seen)[0].softmax(1), again.eval()(seen)[0].softmax(1)
        learning = again.train()(seen)[0].softmax(1)
    torch.testing.assert_close(after, before, atol=1e-3, rtol=0)
    torch.testing.assert_close(learning, before, atol=1e-3, rtol=0)  # these pictures are the statistics
    assert all(weight.requires_grad for weight in again.parameters())


def test_a_shipped_network_of_another_design_is_refused(crops, anchors, tmp_path):
    regions = pytest.importorskip("masi_vision.training.regions")
    pictures = torch.rand(2, 3, 192, 192)
    reader = regions._Delivered(new_reader(crops, anchors))
    regions.write_onnx(reader, pictures, ["shares", "landmarks"], tmp_path / "r.onnx")
    with pytest.raises(ValueError, match="same design"):
        load_shipped(new_reader(crops, anchors[:12]), tmp_path / "r.onnx", pictures)


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
    ours, theirs = reader_loss(Says(logits), batch)[0], reader_loss(Says(other), batch)[0]
    torch.testing.assert_close(ours, theirs)
    other[:, :, 120:] = 0
    assert reader_loss(Says(other), batch)[0] != theirs
