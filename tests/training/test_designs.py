"""Networks other than ours, several processes, batches in parts: all that an experiment may ask for."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
if find_spec("segmentation_models_pytorch") is None:
    pytest.skip("needs the extra train", allow_module_level=True)

from masi_vision.errors import ModelError, SettingsError  # noqa: E402
from masi_vision.pigment.learned import INPUT_CHANNELS, NETWORK_SHAPE  # noqa: E402
from masi_vision.training.data import FinderSamples, Samples  # noqa: E402
from masi_vision.training.designs import finder_of, pigment_of, reader_of  # noqa: E402
from masi_vision.training.experiment import load_experiment  # noqa: E402
from masi_vision.training.fit import fit  # noqa: E402

FINDER = load_experiment("face_finder")


def other(architecture, encoder="resnet18", start="none"):
    return FINDER.model.model_copy(update={"architecture": architecture, "encoder": encoder, "start": start})


@pytest.fixture(scope="module")
def crops(atlas):
    rng = np.random.default_rng(2)
    return (atlas.landmark_mean * 62 + (96, 96, 0) + rng.normal(0, 2, (20, 478, 3))).astype(np.float32)


@pytest.mark.parametrize(
    ("architecture", "encoder"), [("Unet", "resnet18"), ("FPN", "mobilenet_v2"), ("segformer", "resnet18")]
)
def test_an_architecture_by_name_says_the_same_kind_of_things_as_ours(architecture, encoder, atlas, crops):
    model = other(architecture, encoder)
    with torch.inference_mode():
        presence, heat = finder_of(model).eval()(torch.rand(1, 3, 128, 128))
        reader = reader_of(model, crops, atlas.landmark_mean, count=12).eval()
        logits, landmarks, anchors = reader(torch.rand(1, 3, 192, 192))
        pigment = pigment_of(model).eval()(torch.rand(1, INPUT_CHANNELS, *NETWORK_SHAPE))
    assert presence.shape == (1,)
    assert heat.shape == (1, 6, 32, 32)
    assert logits.shape == (1, 7, 192, 192)
    assert landmarks.shape == (1, 478, 3)
    assert anchors.shape == (1, 12, 2)
    assert pigment.shape == (1, 2, *NETWORK_SHAPE)
    assert pigment[:, 1].min() >= 0


@pytest.mark.parametrize(
    ("architecture", "encoder", "named"), [("UNet4", "resnet18", "UNet4"), ("Unet", "resnet19", "resnet19")]
)
def test_a_name_that_is_none_is_refused_with_those_that_are(architecture, encoder, named):
    with pytest.raises(SettingsError, match=f"found '{named}'. Expected .*resnet18|found '{named}'.*Unet"):
        finder_of(other(architecture, encoder))


def short(steps, **schedule):
    values = {"samples": 4 * steps, "batch": 4, "accumulate": 1, "average_steps": 3} | schedule
    return FINDER.model_copy(
        update={
            "schedule": FINDER.schedule.model_copy(update=values),
            "workers": 0,
            "threads": 1,
            "precision": "float32",
        }
    )


def test_filters_that_cannot_be_fetched_are_a_sentence(monkeypatch):
    def unreachable(*given, **more):
        raise ConnectionError("no network")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.get_encoder", unreachable)
    model = FINDER.model.model_copy(update={"start": "imagenet"})
    with pytest.raises(ModelError, match=r"could not be fetched \(ConnectionError: no network\)"):
        finder_of(model)
    with pytest.raises(ConnectionError):
        finder_of(model.model_copy(update={"start": "none"}))


def still(network):
    """Batch normalization with its statistics as they are: parts of a batch are then the same as all."""
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
            part.train = lambda mode=True, part=part: part
    return network


def test_a_batch_gathered_in_parts_is_a_batch(drawn_faces, atlas, mirror, tmp_path):
    torch.manual_seed(0)
    start = {name: value.clone() for name, value in finder_of(other("ours")).state_dict().items()}
    samples = FinderSamples(drawn_faces, atlas.landmark_mean, mirror, FINDER.augmentation, seed=0)

    def fitted(folder, **schedule):
        network = still(finder_of(other("ours")))
        network.load_state_dict(start)
        loss = lambda net, batch: _mean_loss(net, batch)  # noqa: E731
        return fit(network, samples, loss, short(3, **schedule), folder).network.state_dict()

    whole = fitted(tmp_path / "whole")
    parts = fitted(tmp_path / "parts", batch=2, accumulate=2)
    assert_the_same_but_for_rounding(parts, whole)


def test_a_network_may_stay_halfway_to_its_start_with_its_statistics_as_they_were(tmp_path):
    """What is kept lies halfway between the start and what the same fit comes to alone."""

    def fitted(share):
        torch.manual_seed(0)
        network = finder_of(other("ours"))
        start = {name: value.clone() for name, value in network.state_dict().items()}
        how = short(4, kept_of_start=share, frozen_statistics=True)
        return start, fit(network, Dots(), _mean_loss, how, tmp_path / str(share)).network.state_dict()

    start, whole = fitted(0.0)
    _, half = fitted(0.5)
    moved = {
        name: (whole[name] - start[name]).abs().max()
        for name, one in start.items()
        if one.is_floating_point()
    }
    assert max(moved.values()) > 1e-4
    for name in moved:
        assert torch.allclose(half[name], (start[name] + whole[name]) / 2, atol=1e-6), name
        if "running" in name:
            assert moved[name] == 0


@pytest.mark.parametrize(
    ("architecture", "schedule"),
    [
        ("ours", {"kept_of_start": 0.5}),  # the start is that of the first call, not of the checkpoint
        ("FPN", {}),  # it has dropout
    ],
)
def test_a_stopped_fit_ends_with_the_same_network(architecture, schedule, tmp_path):
    def fitted(folder, tell=lambda *_: None):
        torch.manual_seed(0)
        how = short(4, **schedule)
        return fit(finder_of(other(architecture)), Dots(), _mean_loss, how, tmp_path / folder, tell=tell)

    def stop(done, *_):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted("stopped", stop)
    whole, stopped = fitted("whole").network.state_dict(), fitted("stopped").network.state_dict()
    for name, one in whole.items():
        assert torch.allclose(stopped[name].float(), one.float(), atol=1e-6), name


def assert_the_same_but_for_rounding(found, expected):
    """AdamW divides a gradient by its size: where it is next to nothing, rounding decides its sign."""
    apart = torch.cat([(found[name] - one).abs().float().flatten() for name, one in expected.items()])
    assert (apart > 2e-4).float().mean() < 5e-4
    assert apart.max() < 6 * FINDER.schedule.peak_rate  # the other way in each of three steps


def _mean_loss(network, batch):
    """A mean over the samples, whoever they stand beside."""
    presence, heat = network(batch["image"])
    loss = (presence**2).mean() + (heat**2).mean()
    return loss, {"heat": loss.detach()}


TWO_PROCESSES = """
import os, sys
import numpy as np, torch
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_designs import Dots, finder_of, other, short, _mean_loss, still
from masi_vision.training.fit import fit
torch.manual_seed(0)
folder, drawn = Path(sys.argv[1]), []
def loss(network, batch):
    drawn.append(float(torch.rand(())))
    return _mean_loss(network, batch)
fit(still(finder_of(other("ours"))), Dots(), loss, short(3), folder)
(folder / ("drawn" + os.environ.get("RANK", "0"))).write_text(str(drawn))
"""


class Dots(Samples):
    """Pictures made of their number."""

    def __init__(self):
        super().__init__(0, 1000)

    def draw(self, rng):
        return {"image": rng.random((3, 128, 128), np.float32)}


@pytest.mark.long
def test_two_processes_fit_what_one_does(tmp_path):
    """Every batch is shared out: the weights after three steps are those of one process.

    What a network draws for itself, as in dropout, each process draws anew.
    """
    script = tmp_path / "fit.py"
    script.write_text(TWO_PROCESSES, encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    here = str(Path(__file__).parent)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for start, folder in (([sys.executable], "one"), (launch, "two")):
        subprocess.run(
            [*start, str(script), str(tmp_path / folder), here],
            check=True,
            env=environment,
            timeout=240,
            capture_output=True,
        )
    from masi_vision.training.fit import CHECKPOINT, weights_of

    one, two = (weights_of(tmp_path / folder / CHECKPOINT) for folder in ("one", "two"))
    assert_the_same_but_for_rounding(two, one)
    files = (tmp_path / "one" / "drawn0", tmp_path / "two" / "drawn0", tmp_path / "two" / "drawn1")
    alone, first, second = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    assert first == alone
    assert len({*first, *second}) == 6
