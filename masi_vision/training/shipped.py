"""The shipped networks back in trainable form, so that a run can go on from what is there.

The export folds every batch normalization into the convolution before it. To train on, each gets its
statistics back from pictures that pass through: normalized and scaled back, the network gives what it gave.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from masi_vision.training.channel_blocks import stored_weights

_WRAPPED = ("reader.", "network.")  # what an export wraps a network in, to deliver what it draws
_FOLDED = ".weight_bias"  # what the export names the bias of a convolution that swallowed its normalization


def load_shipped(network: nn.Module, file: Path, pictures: Tensor) -> None:
    """Give a network the weights of an exported one, and its batch normalizations statistics. In place.

    Parameters
    ----------
    network : nn.Module
        Of the same design, with a batch normalization after every convolution without bias.
    file : Path
        What `write_onnx` made of it.
    pictures : (B, 3, S, S) float32
        Training pictures, sRGB in [0, 1]: 100 or more, as the statistics are theirs.

    Raises
    ------
    ValueError
        The file holds another design.
    """
    stored = {_unwrapped(name): torch.tensor(weight) for name, weight in stored_weights(file).items()}
    plain = {
        name: stored[name]
        for name, _ in network.named_parameters()
        if name in stored and stored[name].shape == network.get_parameter(name).shape
    }
    normalized = _normalized(network)
    biases = {bn: stored.get(f"{conv}{_FOLDED}") for conv, bn in normalized.items()}
    lacking = [
        n for n, _ in network.named_parameters() if n not in plain and n.rpartition(".")[0] not in biases
    ]
    lacking += [bn for bn, bias in biases.items() if bias is None]
    if lacking:
        raise ValueError(f"{file.name} lacks {', '.join(lacking[:3])}. Expected the same design of network.")
    network.load_state_dict(plain, strict=False)
    _unfold(network, {bn: bias for bn, bias in biases.items() if bias is not None}, pictures)


def _unwrapped(name: str) -> str:
    for prefix in _WRAPPED:
        name = name.removeprefix(prefix)
    return name


def _normalized(network: nn.Module) -> dict[str, str]:
    """Convolution without bias -> the batch normalization after it, by name."""
    layers = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    return {
        conv: bn
        for (conv, first), (bn, second) in pairwise(layers)
        if isinstance(first, nn.Conv2d) and first.bias is None and isinstance(second, nn.BatchNorm2d)
    }


@torch.no_grad()
def _unfold(network: nn.Module, biases: dict[str, Tensor], pictures: Tensor) -> None:
    """Normalize by the statistics of the pictures and scale back: y = (x - m) / s * s + (m + bias)."""
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def measure(name: str) -> torch.utils.hooks.RemovableHandle:
        def hook(_module: nn.Module, inputs: tuple[Tensor]) -> None:
            found[name] = (inputs[0].mean(dim=(0, 2, 3)), inputs[0].var(dim=(0, 2, 3), correction=0))

        return network.get_submodule(name).register_forward_pre_hook(hook)

    for name, bias in biases.items():
        _set(network.get_submodule(name), torch.zeros_like(bias), torch.ones_like(bias), bias)
    hooks = [measure(name) for name in biases]
    network.eval()(pictures)
    for hook in hooks:
        hook.remove()
    for name, bias in biases.items():
        _set(network.get_submodule(name), *found[name], bias)


def _set(layer: nn.Module, mean: Tensor, variance: Tensor, bias: Tensor) -> None:
    """Statistics of a batch normalization, and the scale and shift by which it only adds the bias."""
    assert isinstance(layer, nn.BatchNorm2d)
    layer.load_state_dict(
        {
            "weight": (variance + layer.eps).sqrt(),
            "bias": mean + bias,
            "running_mean": mean,
            "running_var": variance,
            "num_batches_tracked": torch.tensor(1),
        }
    )
