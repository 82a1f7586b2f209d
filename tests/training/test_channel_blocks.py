"""Convolutions cut to whole blocks of channels: the same answer, the same weights."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra train")

import onnxruntime as ort  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from masi_vision.shipped import shipped_file  # noqa: E402
from masi_vision.training.channel_blocks import cut_to_blocks, stored_weights  # noqa: E402


def network(channels):
    """Conv (with bias), Relu, and a second Conv by the same weights (without)."""
    rng = np.random.default_rng(channels)
    weight = rng.normal(size=(channels, channels, 3, 3)).astype(np.float32)
    bias = rng.normal(size=channels).astype(np.float32)
    shape = [1, channels, 8, 8]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "w", "b"], ["a"], pads=[1, 1, 1, 1], strides=[1, 1]),
            helper.make_node("Relu", ["a"], ["r"]),
            helper.make_node("Conv", ["r", "w"], ["drawn"], pads=[1, 1, 1, 1]),
        ],
        "two",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("drawn", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def drawn(model, picture):
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": picture})[0]


@pytest.mark.parametrize("channels", [18, 37])
def test_a_network_says_the_same_cut_and_its_weights_come_back_whole(channels, tmp_path):
    model = network(channels)
    weight = numpy_helper.to_array(model.graph.initializer[0])
    picture = np.random.default_rng(0).normal(size=(1, channels, 8, 8)).astype(np.float32)
    before = drawn(model, picture)
    cut_to_blocks(model.graph)
    onnx.checker.check_model(model, full_check=True)
    seen = {tuple(one.dims) for one in model.graph.initializer if len(one.dims) == 4}
    first = channels // 16 * 16
    assert seen == {(channels, first, 3, 3), (channels, channels - first, 3, 3)}
    np.testing.assert_allclose(drawn(model, picture), before, rtol=1e-4, atol=1e-3)
    onnx.save(model, tmp_path / "cut.onnx")
    stored = stored_weights(tmp_path / "cut.onnx")
    assert stored.keys() == {"w", "b"}
    np.testing.assert_array_equal(stored["w"], weight)


@pytest.mark.parametrize("channels", [3, 15, 16, 20, 48])
def test_what_is_fast_already_stays(channels):
    model = network(channels)
    before = model.SerializeToString()
    cut_to_blocks(model.graph)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("name", ["face_finder.onnx", "face_reader.onnx", "pigment_reader.onnx"])
def test_shipped_networks_are_cut(name):
    model = onnx.load(shipped_file("models", name))
    before = len(model.graph.node)
    cut_to_blocks(model.graph)
    assert len(model.graph.node) == before
    kinds = [
        (node.op_type, one.i) for node in model.graph.node for one in node.attribute if one.name == "axis"
    ]
    assert ("Softmax", 1) not in kinds
