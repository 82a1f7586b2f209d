"""A network whose weights lie in another file is seen, wherever and however its own file says so."""

import time

import numpy as np
import pytest

from masi_vision.errors import ModelError
from masi_vision.model_files import open_session, shipped_folder
from masi_vision.onnx_file import has_weights_elsewhere


def varint(number, more=0):
    """A whole number, on demand in more bytes than it needs."""
    found = []
    while True:
        found.append(number & 0x7F)
        number >>= 7
        if not number:
            break
    found += [0] * more
    return bytes([*(byte | 0x80 for byte in found[:-1]), found[-1]])


def field(number, content, more=0):
    """A field of bytes, or of a whole number."""
    if isinstance(content, int):
        return varint(number << 3, more) + varint(content, more)
    return varint(number << 3 | 2, more) + varint(len(content), more) + content


def nested(tensor, *numbers):
    for number in reversed(numbers):
        tensor = field(number, tensor)
    return tensor


NAMED = field(13, field(1, b"location") + field(2, b"weights.bin"))
PLACES = {
    "weights": (7, 5),
    "sparse weights": (7, 15, 1),
    "where sparse weights stand": (7, 15, 2),
    "constant": (7, 1, 5, 5),
    "constants": (7, 1, 5, 10),
    "sparse constant": (7, 1, 5, 22, 1),
    "branch": (7, 1, 5, 6, 5),
    "one of branches": (7, 1, 5, 11, 1, 5, 5),
    "function": (25, 7, 5, 5),
    "attribute of a function": (25, 11, 5),
    "training": (20, 1, 5),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_that_lies_elsewhere_is_seen(place):
    for tensor in (NAMED, field(14, 1), field(14, 2**32 + 1), field(13, b"")):
        assert has_weights_elsewhere(nested(field(8, b"w") + tensor, *PLACES[place]))
    here = field(1, 3) + field(2, 1) + field(9, NAMED) + field(14, 0)
    assert not has_weights_elsewhere(nested(here, *PLACES[place]))


@pytest.mark.parametrize("more", range(4))
def test_a_number_may_be_written_in_more_bytes_than_it_needs(more):
    inner = field(13, field(1, b"location", more) + field(2, b"weights.bin", more), more)
    assert has_weights_elsewhere(field(7, field(5, inner, more), more))


def test_bits_that_protobuf_drops_of_a_fields_number_are_dropped():
    tag = bytes([0x80 | 13 << 3 & 0x7F | 2, 0x80, 0x80, 0x80, 0x10])  # 2**32 and field 13
    assert has_weights_elsewhere(nested(tag + b"\0", 7, 5))


@pytest.mark.parametrize(
    "content",
    [b"no network", b"\x3a\x05abc", b"\x3a\xff", b"\x80" * 12, b"\x00\x00", field(7, b"\x2b\x2c"), b"\x0d\0"],
)
def test_what_is_no_protobuf_is_an_error(content):
    with pytest.raises(ValueError, match=r"a field|a number"):
        has_weights_elsewhere(content)


def test_the_shipped_networks_are_whole_and_soon_looked_through():
    for file in sorted(shipped_folder().glob("*.onnx")):
        content = file.read_bytes()
        start = time.perf_counter()
        assert not has_weights_elsewhere(content)
        assert time.perf_counter() - start < 0.5, file.name


def test_a_network_of_two_files_as_onnx_itself_writes_it_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the extra train")
    helper = onnx.helper
    weights = onnx.numpy_helper.from_array(np.zeros((1, 2000), np.float32), "weights")
    sides = [helper.make_tensor_value_info(name, 1, (1, 2000)) for name in ("image", "sum")]
    node = helper.make_node("Add", ["image", "weights"], ["sum"])
    graph = helper.make_graph([node], "adds", sides[:1], sides[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "whole.onnx")
    onnx.save(model, tmp_path / "two.onnx", save_as_external_data=True, location="weights.bin")
    assert open_session(tmp_path / "whole.onnx", (2000,), {"sum": (1, 2000)})
    with pytest.raises(ModelError, match=r"two\.onnx keeps weights in another file, which no hash covers"):
        open_session(tmp_path / "two.onnx", (2000,), {"sum": (1, 2000)})
