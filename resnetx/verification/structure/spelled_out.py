"""Recognizes what exporters spell out in several operations: softmax, softplus and layer normalization."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from resnetx.verification.structure import affine
from resnetx.verification.structure.graph import ONNX_PREFIX, Graph
from resnetx.verification.structure.parameters import full

# From here on, softplus adds less than half a rounding of float32 to its input.
SAME_FROM = 15.0


def _softmax(graph: Graph) -> None:
    """exp(x) / sum(exp(x)), with or without the maximum subtracted."""
    producers = graph.producers()
    for number, op in enumerate(graph.ops):
        if op.kind != "div":
            continue
        top, bottom = (producers.get(name) for name in op.inputs)
        if top is None or bottom is None or top.kind != "exp" or bottom.kind != "sum":
            continue
        axes = bottom.attributes["axes"]
        if bottom.inputs != (top.output,) or len(axes) != 1:
            continue
        source = top.inputs[0]
        shifted = producers.get(source)
        if shifted is not None and shifted.kind == "sub":
            largest = producers.get(shifted.inputs[1])
            if largest is not None and largest.kind == "amax" and largest.inputs == shifted.inputs[:1]:
                source = shifted.inputs[0] if largest.attributes["axes"] == axes else source
        graph.ops[number] = replace(op, kind="softmax", inputs=(source,), attributes={"axis": axes[0]})


def _layer_norm(graph: Graph) -> None:
    """(x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps), which scaling and shifting may follow."""
    producers = graph.producers()
    for number, op in enumerate(graph.ops):
        root = producers.get(op.inputs[1]) if op.kind == "div" else None
        if root is None or root.kind != "sqrt":
            continue
        eps, centred = producers.get(root.inputs[0]), producers.get(op.inputs[0])
        variance = producers.get(eps.inputs[0]) if eps is not None and eps.kind == "affine" else None
        square = producers.get(variance.inputs[0]) if variance is not None and variance.kind == "mean" else None
        if eps is None or variance is None or square is None or centred is None or centred.kind != "sub":
            continue
        scale, shift = affine.parts(eps)
        mean, axes = producers.get(centred.inputs[1]), variance.attributes["axes"]
        squared = square.kind == "mul" and square.inputs == (centred.output,) * 2
        if not squared or mean is None or mean.kind != "mean" or mean.inputs != centred.inputs[:1]:
            continue
        amount = affine.number(shift, 0.0)
        if mean.attributes["axes"] != axes or scale is not None or amount is None:
            continue
        graph.ops[number] = replace(
            op, kind="normalize", inputs=centred.inputs[:1], attributes={"axes": axes, "eps": float(np.float32(amount))}
        )


def _softplus(graph: Graph) -> None:
    """x where x is above 20, and softplus(x) elsewhere: in float32 both are the same there."""
    producers = graph.producers()
    for number, op in enumerate(graph.ops):
        if op.kind != f"{ONNX_PREFIX}Where" or len(op.inputs) != 3:
            continue
        condition, smooth = producers.get(op.inputs[0]), producers.get(op.inputs[2])
        if condition is None or smooth is None or smooth.kind != "softplus":
            continue
        if condition.kind == f"{ONNX_PREFIX}Greater" and op.inputs[1:2] == smooth.inputs == condition.inputs:
            threshold = condition.parameters.get("1")
            if threshold is not None and (full(threshold).value() >= SAME_FROM).all():
                graph.ops[number] = replace(smooth, outputs=op.outputs)


PATTERNS: tuple[Callable[[Graph], None], ...] = (_softmax, _softplus, _layer_norm)
