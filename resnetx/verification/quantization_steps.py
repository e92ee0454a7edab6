"""Looks at each step to INT8 by itself: does its range fit what passes through it?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from resnetx.verification.layers import LayerParity
from resnetx.verification.parity import MAX_MULTIPLE
from resnetx.verification.reference_outputs import Feeds

# A range chosen for the very same values in 256 steps makes the least error. Calibration on other images, or one that
# clips rare values, makes two or three times as much.
MOST_TIMES_LEAST = 6.0


@dataclass
class _Step:
    node: onnx.NodeProto
    result: str
    value: np.ndarray | None = None
    error: float = 0.0
    least: float = 0.0
    size: float = 0.0
    shape: tuple[int, ...] = ()


def compare_steps(
    model: onnx.ModelProto, feeds: Feeds, *, originals: Mapping[str, str | None]
) -> tuple[LayerParity, ...]:
    """The error of every activation's QuantizeLinear and DequantizeLinear, beside the least that 256 steps make.

    The multiple is scaled so that the bound is that of layers.
    """
    from resnetx.verification.evaluation.evaluator import Evaluator

    steps = _steps(model)
    by_input: dict[str, list[_Step]] = {}
    by_result: dict[str, list[_Step]] = {}
    for step in steps:
        by_input.setdefault(step.node.input[0], []).append(step)
        by_result.setdefault(step.result, []).append(step)

    def watch(name: str, tensor: Any) -> None:
        for step in by_input.get(name, ()):
            step.value = tensor.double().numpy().copy()
        for step in by_result.get(name, ()):
            _measure(step, tensor.double().numpy())

    evaluator = Evaluator(model)
    names = [value.name for value in model.graph.input]
    for batch in feeds:
        fed = dict(zip(names, batch, strict=False))
        for name, array in fed.items():
            for step in by_input.get(name, ()):
                step.value = array.astype(np.float64)
        evaluator.run(fed, watch)
    return tuple(_row(step, originals) for step in steps if step.size > 0)


def _steps(model: onnx.ModelProto) -> list[_Step]:
    users: dict[str, list[onnx.NodeProto]] = {}
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return [
        _Step(node=node, result=after[0].output[0])
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants
        if (after := [each for each in users.get(node.output[0], ()) if each.op_type == "DequantizeLinear"])
    ]


def _measure(step: _Step, result: np.ndarray) -> None:
    value, step.value = step.value, None
    if value is None or value.shape != result.shape or not value.size:
        return
    # A range that begins at zero is a ReLU.
    kept = np.maximum(value, 0.0) if result.min() >= 0 > value.min() else value
    low, high = min(0.0, float(kept.min())), max(0.0, float(kept.max()))
    step.error = max(step.error, float(np.sqrt(np.mean((result - kept) ** 2))))
    step.least = max(step.least, (high - low) / 255 / math.sqrt(12))
    step.size = max(step.size, float(np.sqrt(np.mean(kept**2))))
    step.shape = value.shape


def _row(step: _Step, originals: Mapping[str, str | None]) -> LayerParity:
    least = max(step.least, step.size * 2.0**-16)
    multiple = step.error / least * MAX_MULTIPLE / MOST_TIMES_LEAST
    return LayerParity(
        name=step.node.name,
        op=step.node.op_type,
        original=originals.get(step.node.name),
        shape=step.shape,
        error=step.error / step.size,
        noise=least / step.size,
        multiple=multiple,
        passed=multiple <= MAX_MULTIPLE,
    )
