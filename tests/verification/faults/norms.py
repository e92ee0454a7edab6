"""Faults in how BatchNorm was folded into the convolutions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import ModelProto

from tests.verification.faults.base import Base, fault, network
from tests.verification.faults.folding import folded_twice, folding, refold, unfolded, with_eps
from tests.verification.faults.graph_edits import Edit, after


def fold(change: Callable[..., Any], *layers: str, base: Base = "floats") -> Edit:
    return refold(lambda: network(base), change, *layers)


def neighbours_norm(layer: str, neighbour: str) -> Edit:
    """The layer's kernel with the BatchNorm of another layer of that shape."""
    return refold(network, lambda own: replace(folding(network(), neighbour), kernel=own.kernel), layer)


def as_a_node(layer: str, eps: float) -> Edit:
    """BatchNorm as a node of its own, as exporters write it that fold nothing."""

    def edit(model: ModelProto) -> None:
        norm = folding(network(), layer)
        refold(network, unfolded, layer)(model)
        body = f"y = BatchNormalization<epsilon={eps}>(x, gamma, beta, mean, var)"
        after(layer, body, gamma=norm.gamma, beta=norm.beta, mean=norm.mean, var=norm.var)(model)

    return edit


def statistics_of_the_batch(layer: str) -> Edit:
    """BatchNorm as it trains: by the mean and variance of the batch."""

    def edit(model: ModelProto) -> None:
        norm = folding(network(), layer)
        refold(network, unfolded, layer)(model)
        after(
            layer,
            """
            mean = ReduceMean(x, axes)
            centred = Sub(x, mean)
            square = Mul(centred, centred)
            var = ReduceMean(square, axes)
            shifted = Add(var, eps)
            deviation = Sqrt(shifted)
            normal = Div(centred, deviation)
            scaled = Mul(normal, gamma)
            y = Add(scaled, beta)
            """,
            axes=np.array([0, 2, 3]),
            eps=norm.eps,
            gamma=norm.gamma[:, None, None],
            beta=norm.beta[:, None, None],
        )(model)

    return edit


NORMS = (
    fault("BatchNorm eps 1e-3 for 1e-5 everywhere", "conv1", fold(with_eps(1e-3))),
    fault("BatchNorm eps 1e-4 for 1e-5 everywhere", "conv1", fold(with_eps(1e-4))),
    fault("BatchNorm eps 1e-3 for 1e-5 in layer3.1.conv3", "layer3.1.conv3", fold(with_eps(1e-3), "layer3.1.conv3")),
    fault(
        "BatchNorm eps 1.001e-5 for 1e-5 everywhere, variances near 1",
        None,
        fold(with_eps(1.001e-5)),
        observable=False,
        why="it scales a channel by 1 - 0.5e-8/var, here a tenth of a rounding of float32 and less",
    ),
    fault(
        "BatchNorm eps 1.001e-5 for 1e-5 everywhere, variances near 1e-4",
        "conv1",
        fold(with_eps(1.001e-5), base="small variances"),
        base="small variances",
    ),
    fault(
        "BatchNorm eps 1.001e-5 for 1e-5 in layer2.0.conv2, variances near 1e-4",
        "layer2.0.conv2",
        fold(with_eps(1.001e-5), "layer2.0.conv2", base="small variances"),
        base="small variances",
    ),
    fault(
        "BatchNorm eps 1e-3 for 1e-5 in layer1.0.downsample.0, variances near 1e-4",
        "layer1.0.downsample.0",
        fold(with_eps(1e-3), "layer1.0.downsample.0", base="small variances"),
        base="small variances",
    ),
    fault("BatchNorm's node with eps 1e-3 in layer2.0.conv1", "layer2.0.conv1", as_a_node("layer2.0.conv1", 1e-3)),
    fault("BatchNorm not folded in layer1.0.conv2", "layer1.0.conv2", fold(unfolded, "layer1.0.conv2")),
    fault("BatchNorm folded nowhere", "conv1", fold(unfolded)),
    fault("BatchNorm folded twice in layer2.0.conv1", "layer2.0.conv1", fold(folded_twice, "layer2.0.conv1")),
    fault("BatchNorm folded twice everywhere", "conv1", fold(folded_twice)),
    fault(
        "BatchNorm of the shortcut dropped in layer2.0",
        "layer2.0.downsample.0",
        fold(unfolded, "layer2.0.downsample.0"),
    ),
    fault(
        "running mean ignored in layer1.1.conv1",
        "layer1.1.conv1",
        fold(lambda norm: replace(norm, mean=0 * norm.mean), "layer1.1.conv1"),
    ),
    fault(
        "running variance ignored in layer3.0.conv2",
        "layer3.0.conv2",
        fold(lambda norm: replace(norm, var=0 * norm.var + 1), "layer3.0.conv2"),
    ),
    fault(
        "variance taken for the deviation in layer2.0.conv3",
        "layer2.0.conv3",
        fold(lambda norm: replace(norm, var=norm.var**2), "layer2.0.conv3"),
    ),
    fault(
        "variance with n for n - 1 everywhere (n = 12544)",
        "conv1",
        fold(lambda norm: replace(norm, var=norm.var * (1 - 1 / 12544))),
    ),
    fault(
        "variance with n for n - 1 in layer3.1.conv3 (n = 512)",
        "layer3.1.conv3",
        fold(lambda norm: replace(norm, var=norm.var * (1 - 1 / 512)), "layer3.1.conv3"),
    ),
    fault(
        "statistics' own scale forgotten in layer1.1.conv3 (Caffe)",
        "layer1.1.conv3",
        fold(lambda norm: replace(norm, mean=norm.mean * 0.999, var=norm.var * 0.999), "layer1.1.conv3"),
    ),
    fault(
        "gamma dropped in layer1.0.conv3",
        "layer1.0.conv3",
        fold(lambda norm: replace(norm, gamma=0 * norm.gamma + 1), "layer1.0.conv3"),
    ),
    fault(
        "beta dropped in layer3.0.downsample.0",
        "layer3.0.downsample.0",
        fold(lambda norm: replace(norm, beta=0 * norm.beta), "layer3.0.downsample.0"),
    ),
    fault(
        "BatchNorm of layer1.1.conv2 in layer1.0.conv2",
        "layer1.0.conv2",
        neighbours_norm("layer1.0.conv2", "layer1.1.conv2"),
    ),
    fault(
        "BatchNorm left in training mode in layer2.0.conv1", "layer2.0.conv1", statistics_of_the_batch("layer2.0.conv1")
    ),
)
