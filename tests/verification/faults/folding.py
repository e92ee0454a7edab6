"""BatchNorms folded again, with something about them changed."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from onnx import ModelProto
from torch import nn

from tests.verification.faults.graph_edits import Edit, set_weight


@dataclass(frozen=True, kw_only=True)
class Folding:
    """A convolution and the BatchNorm behind it, in float64, as they were before one went into the other."""

    kernel: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    var: np.ndarray
    eps: float

    def folded(self, *, bias: np.ndarray | float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        factor = self.gamma / np.sqrt(self.var + self.eps)
        return self.kernel * factor[:, None, None, None], (bias - self.mean) * factor + self.beta


def folding(network: nn.Module, layer: str) -> Folding:
    """By the layer's path: `conv2` has `bn2` behind it, `downsample.0` has `downsample.1`."""
    path = layer.replace("downsample.0", "downsample.1").replace("conv", "bn")
    norm, convolution = network.get_submodule(path), network.get_submodule(layer)
    assert isinstance(norm, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d)
    assert norm.running_mean is not None and norm.running_var is not None
    tensors = (convolution.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    arrays = (tensor.detach().double().numpy() for tensor in tensors)
    return Folding(**dict(zip(("kernel", "gamma", "beta", "mean", "var"), arrays, strict=True)), eps=norm.eps)


def convolutions(model: ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type == "Conv"]


def refold(
    network: Callable[[], nn.Module], change: Callable[[Folding], Folding | tuple[np.ndarray, np.ndarray]], *layers: str
) -> Edit:
    """Fold the layers' BatchNorms again (all of them if none is named), with something about them changed."""

    def edit(model: ModelProto) -> None:
        for layer in layers or convolutions(model):
            result = change(folding(network(), layer))
            kernel, bias = result.folded() if isinstance(result, Folding) else result
            set_weight(model, f"{layer}.weight", kernel)
            set_weight(model, f"{layer}.bias", bias)

    return edit


def with_eps(eps: float) -> Callable[[Folding], Folding]:
    return lambda folding: replace(folding, eps=eps)


def unfolded(folding: Folding) -> tuple[np.ndarray, np.ndarray]:
    return folding.kernel, np.zeros_like(folding.beta)


def folded_twice(folding: Folding) -> tuple[np.ndarray, np.ndarray]:
    kernel, bias = folding.folded()
    return replace(folding, kernel=kernel).folded(bias=bias)
