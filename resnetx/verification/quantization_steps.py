"""Looks at each step to INT8 by itself: does its range fit what passes through it?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from resnetx.graph.inspection.parameters import constant_tensors
from resnetx.verification.layers import LayerParity
from resnetx.verification.parity import MAX_MULTIPLE
from resnetx.verification.reference_outputs import Feeds

# Calibration sees other inputs than a verification, so that a right range is not exactly the one that these inputs
# need. Of 2,952 steps, calibrated on three kinds of images by three methods, the widest had 1.7 times the range that
# was needed, and each had 4.4 times or more once its scale was eight times as large.
MOST_OF_NEEDED = 4.0
# Being too narrow costs what is cut off. Methods cut off extremes on purpose where they are rare; where they are not,
# those of other images lie a little outside. So a range is too narrow if it is both far from the extremes and loses
# much: the narrowest had 0.56 of the range that was needed, and a step lost up to 0.11 of its tensor's RMS. With a
# scale a quarter as large every step was beyond both limits.
LEAST_OF_NEEDED = 0.5
MOST_LOST = 0.05


@dataclass
class _Step:
    """A QuantizeLinear; `scale`, and how many steps of it lie `below` and `above` zero, alone or by channel (C, 1).

    What passed through it: `needed` is the smallest scale that cuts off nothing, `squares` and `lost` are the sums of
    the squares of its elements, and of what is cut off.
    """

    node: onnx.NodeProto
    scale: np.ndarray
    below: np.ndarray
    above: np.ndarray
    needed: np.ndarray
    squares: float = 0.0
    lost: float = 0.0
    elements: int = 0
    shape: tuple[int, ...] = ()

    def see(self, value: np.ndarray) -> None:
        axis = next((each.i for each in self.node.attribute if each.name == "axis"), 1)
        rows = (value if self.scale.size == 1 else np.moveaxis(value, axis, 0)).reshape(self.scale.size, -1)
        # A range that begins or ends at zero is an activation: what it cuts off there is not lost.
        for side, limit in ((self.below, np.maximum), (self.above, np.minimum)):
            rows = rows if side.all() else np.where(side > 0, rows, limit(rows, 0.0))
        with np.errstate(invalid="ignore", over="ignore"):
            for side, sign in ((self.below, -1), (self.above, 1)):
                reach = (sign * rows).max(axis=1, keepdims=True, initial=0.0) / np.maximum(side, 1)
                self.needed = np.maximum(self.needed, reach)
            kept = np.clip(rows, -self.below * self.scale, self.above * self.scale)
            self.squares += float(np.square(rows).sum())
            self.lost += float(np.square(rows - kept).sum())
        self.elements += rows.size
        self.shape = value.shape


def compare_steps(
    model: onnx.ModelProto, feeds: Feeds, *, originals: Mapping[str, str | None]
) -> tuple[LayerParity, ...]:
    """Every activation's QuantizeLinear: how far its range is from what is needed, and what it cuts off.

    The error is that of rounding and cutting off, the noise that of the smallest scale that cuts off nothing. The
    multiple is scaled so that the bound is that of layers.
    """
    from resnetx.verification.evaluation.evaluator import Evaluator

    by_input: dict[str, list[_Step]] = {}
    for step in _steps(model):
        by_input.setdefault(step.node.input[0], []).append(step)

    def watch(name: str, tensor: Any) -> None:
        for step in by_input.get(name, ()):
            step.see(tensor.double().numpy())

    evaluator = Evaluator(model)
    names = [value.name for value in model.graph.input]
    for batch in feeds:
        fed = dict(zip(names, batch, strict=False))
        for name, array in fed.items():
            for step in by_input.get(name, ()):
                step.see(array.astype(np.float64))
        evaluator.run(fed, watch)
    return tuple(_row(step, originals) for each in by_input.values() for step in each if step.squares > 0)


def _steps(model: onnx.ModelProto) -> Iterator[_Step]:
    """Those to integers by a constant scale, alone or by channel; of weights, the numbers are compared."""
    from resnetx.verification.evaluation.tensors import INTEGER_RANGES

    constants = dict(constant_tensors(model.graph))
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or node.input[0] in constants or node.input[1] not in constants:
            continue
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        low, high = INTEGER_RANGES.get(onnx.TensorProto.UINT8 if zero is None else zero.data_type, (0, 0))
        scale = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
        middle = np.zeros((1, 1)) if zero is None else numpy_helper.to_array(zero).astype(np.float64).reshape(-1, 1)
        if high > low and scale.ndim < 2 and (scale > 0).all():
            scale = scale.reshape(-1, 1)
            below, above = middle - low, high - middle
            yield _Step(node=node, scale=scale, below=below, above=above, needed=np.zeros_like(scale))


def _row(step: _Step, originals: Mapping[str, str | None]) -> LayerParity:
    size = np.sqrt(step.squares / step.elements)
    lost = np.sqrt(step.lost / step.elements) / size
    # Of several scales, those of channels with large values count.
    scale, needed = (float(np.sqrt(np.mean(each**2))) for each in (step.scale, step.needed))
    rounding, least = (each / np.sqrt(12) / size for each in (scale, needed))
    too_narrow = min(LEAST_OF_NEEDED * needed / scale, lost / MOST_LOST)
    multiple = MAX_MULTIPLE * max(scale / needed / MOST_OF_NEEDED, too_narrow)
    return LayerParity(
        name=step.node.name,
        op=step.node.op_type,
        original=originals.get(step.node.name),
        shape=step.shape,
        error=float(np.hypot(rounding, lost)),
        noise=float(least),
        multiple=float(multiple),
        passed=bool(multiple <= MAX_MULTIPLE),
    )
