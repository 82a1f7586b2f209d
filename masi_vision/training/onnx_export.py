"""Networks as they are delivered: ONNX files that give what PyTorch gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from masi_vision.errors import ModelError
from masi_vision.training.channel_blocks import cut_to_blocks

LARGEST_SHARE, LARGEST_PX, LARGEST_FRACTION = 1e-4, 1e-2, 1e-3
"""How far the two may differ: in a probability, in a landmark, in a pigmented fraction."""


class DeliveredReader(nn.Module):
    """A face reader as it is delivered: probabilities and landmarks."""

    def __init__(self, reader: nn.Module) -> None:
        super().__init__()
        self.reader = reader

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of the regions and landmarks."""
        logits, landmarks, _ = self.reader(image)
        odds = (logits - logits.amax(dim=1, keepdim=True)).exp()  # softmax, as it runs fastest
        return odds / odds.sum(dim=1, keepdim=True), landmarks


class DeliveredPigment(nn.Module):
    """A network of the pigment map as it is delivered: one tuple of one output."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Lesion logit and density."""
        return (self.network(image),)


def write_onnx(network: nn.Module, pictures: Tensor, outputs: list[str], file: Path) -> dict[str, float]:
    """Export with a batch of one; return each output's largest difference to PyTorch over the pictures."""
    with torch.inference_mode():
        torch.onnx.export(
            network.eval(),
            (pictures[:1],),
            str(file),
            input_names=["image"],
            output_names=outputs,
            opset_version=20,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        _as_delivered(file)
        worst = dict.fromkeys(outputs, 0.0)
        for ours, theirs in both_ways(network, pictures, file):
            for name, our, their in zip(outputs, ours, theirs, strict=True):
                worst[name] = float(np.maximum(worst[name], np.abs(our - their).max()))  # NaN stays NaN
    return worst


@torch.inference_mode()
def both_ways(
    network: nn.Module, pictures: Tensor, file: Path
) -> list[tuple[Sequence[np.ndarray], Sequence[np.ndarray]]]:
    """What PyTorch and ONNX Runtime give for each picture."""
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return [
        ([one.numpy() for one in network(picture[None])], session.run(None, {"image": picture[None].numpy()}))
        for picture in pictures
    ]


def _as_delivered(file: Path) -> None:
    """Cut what runs slowly, and take out where its code lay: the exporter writes that to every node."""
    model = onnx.load(file)
    cut_to_blocks(model.graph)
    for node in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, model.graph):
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(model, file)


def export_finder(network: nn.Module, pictures: Tensor, file: Path) -> dict[str, float]:
    """Export a face finder; pictures (N, 3, 128, 128) to compare on.

    Raises
    ------
    ModelError
        It gives what is no number.
    """
    apart = write_onnx(network, pictures, ["presence", "heat"], file)
    if not all(np.isfinite(one) for one in apart.values()):
        raise _differs(file, apart)
    return apart


def export_reader(network: nn.Module, pictures: Tensor, file: Path) -> dict[str, float]:
    """Export a face reader; pictures (N, 3, 192, 192) to compare on.

    Raises
    ------
    ModelError
        The two differ.
    """
    apart = write_onnx(DeliveredReader(network), pictures, ["shares", "landmarks"], file)
    if not (apart["shares"] <= LARGEST_SHARE and apart["landmarks"] <= LARGEST_PX):
        raise _differs(file, apart)
    return apart


def export_pigment(
    network: nn.Module, frames: Tensor, file: Path, *, lesion_probability: float
) -> dict[str, float]:
    """Export a network of the pigment map; frames (N, 15, 144, 128) to compare on.

    Raises
    ------
    ModelError
        The two differ in a probability, or in the pigmented share of a face.
    """
    delivered = DeliveredPigment(network)
    write_onnx(delivered, frames, ["drawn"], file)
    probability, fraction = 0.0, 0.0
    for frame, (ours, theirs) in zip(frames, both_ways(delivered, frames, file), strict=True):
        skin = frame[3].numpy() > 0
        our, their = (1 / (1 + np.exp(-drawn[0][0, 0][skin].astype(np.float64))) for drawn in (ours, theirs))
        probability = float(np.maximum(probability, np.abs(our - their).max()))
        shares = [float((one >= lesion_probability).mean()) for one in (our, their)]
        fraction = max(fraction, abs(shares[0] - shares[1]))
    apart = {"lesion": probability, "fraction": fraction}
    if not (probability <= LARGEST_SHARE and fraction <= LARGEST_FRACTION):
        raise _differs(file, apart)
    return apart


def _differs(file: Path, apart: dict[str, float]) -> ModelError:
    told = ", ".join(f"{name} by {value:.2g}" for name, value in apart.items())
    return ModelError(
        f"{file.name} as exported differs from the trained network: {told}. Expected at most "
        f"{LARGEST_SHARE:g} in a probability and {LARGEST_FRACTION:g} in a pigmented fraction. Try other "
        "versions of torch and onnx."
    )
