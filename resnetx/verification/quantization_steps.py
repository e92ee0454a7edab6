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
# need. Of 2,952 steps, calibrated on three kinds of images by three methods and seen by eight others, the widest had
# 1.7 times the range that was needed, and each had 4.4 times or more once its scale was eight times as large.
MOST_OF_NEEDED = 4.0
# Being too narrow costs what is cut off. Methods cut off extremes on purpose where they are rare; where they are not,
# those of other images lie a little outside. So a range is too narrow if it is both far from the extremes and loses
# much. Of those steps the narrowest had 0.56 of the range that was needed, and one lost 0.11 of its tensor's RMS; on
# sixteen images, one had less than half and lost 0.07. With a scale a quarter as large all were beyond both limits.
LEAST_OF_NEEDED = 0.5
MOST_LOST = 0.1
# A rounding moves no number by more than half a step, but for the last bits of the computation.
HALF_A_STEP = 0.501


@dataclass
class _Step:
    """A QuantizeLinear; `scale`, and how many steps of it lie `below` and `above` zero, alone or by channel (C, 1).

    What passed through it: `needed` is the smallest scale that cuts off nothing, `squares` and `lost` are the sums of
    the squares of its elements, and of what is cut off. `moved` is how far, in steps, any other number is from what is
    read back, the `result`.
    """

    node: onnx.NodeProto
    result: str | None
    scale: np.ndarray
    below: np.ndarray
    above: np.ndarray
    needed: np.ndarray
    squares: float = 0.0
    lost: float = 0.0
    elements: int = 0
    shape: tuple[int, ...] = ()
    moved: float = 0.0
    kept: np.ndarray | None = None

    def see(self, value: np.ndarray) -> None:
        rows = self._rows(value)
        # A range that begins or ends at zero is an activation: what it cuts off there is not lost.
        for side, limit in ((self.below, np.maximum), (self.above, np.minimum)):
            rows = rows if side.all() else np.where(side > 0, rows, limit(rows, 0.0))
        with np.errstate(invalid="ignore", over="ignore"):
            for side, sign in ((self.below, -1), (self.above, 1)):
                reach = (sign * rows).max(axis=1, keepdims=True, initial=0.0) / np.maximum(side, 1)
                self.needed = np.maximum(self.needed, reach)
            self.kept = np.clip(rows, -self.below * self.scale, self.above * self.scale)
            self.squares += float(np.square(rows).sum())
            self.lost += float(np.square(rows - self.kept).sum())
        self.elements += rows.size
        self.shape = value.shape

    def see_result(self, value: np.ndarray) -> None:
        if self.kept is not None and value.size == self.kept.size:
            with np.errstate(invalid="ignore"):
                moved = np.abs(self._rows(value) - self.kept) / self.scale
            self.moved = max(self.moved, float(moved.max(initial=0.0)))
        self.kept = None

    def _rows(self, value: np.ndarray) -> np.ndarray:
        axis = next((each.i for each in self.node.attribute if each.name == "axis"), 1)
        return (value if self.scale.size == 1 else np.moveaxis(value, axis, 0)).reshape(self.scale.size, -1)


def compare_steps(
    model: onnx.ModelProto, feeds: Feeds, *, originals: Mapping[str, str | None]
) -> tuple[LayerParity, ...]:
    """Every activation's QuantizeLinear: how far its range is from what is needed, what it cuts off, and whether the
    numbers are read back as they were written.

    The error is that of rounding and cutting off, the noise that of the smallest scale that cuts off nothing. The
    multiple is scaled so that the bound is that of layers.
    """
    from resnetx.verification.evaluation.evaluator import Evaluator

    by_input: dict[str, list[_Step]] = {}
    by_result: dict[str, _Step] = {}
    for step in _steps(model):
        by_input.setdefault(step.node.input[0], []).append(step)
        if step.result is not None:
            by_result[step.result] = step

    def watch(name: str, tensor: Any) -> None:
        for step in by_input.get(name, ()):
            step.see(tensor.double().numpy())
        if name in by_result:
            by_result[name].see_result(tensor.double().numpy())

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
    readers = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    for node in model.graph.node:
        if node.op_type != "QuantizeLinear" or node.input[0] in constants or node.input[1] not in constants:
            continue
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        low, high = INTEGER_RANGES.get(onnx.TensorProto.UINT8 if zero is None else zero.data_type, (0, 0))
        scale = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
        middle = np.zeros((1, 1)) if zero is None else numpy_helper.to_array(zero).astype(np.float64).reshape(-1, 1)
        if high > low and scale.ndim < 2 and (scale > 0).all():
            scale = scale.reshape(-1, 1)
            yield _Step(
                node=node,
                result=readers.get(node.output[0]),
                scale=scale,
                below=middle - low,
                above=high - middle,
                needed=np.zeros_like(scale),
            )


def _row(step: _Step, originals: Mapping[str, str | None]) -> LayerParity:
    size = np.sqrt(step.squares / step.elements)
    lost = np.sqrt(step.lost / step.elements) / size
    # Of several scales, those of channels with large values count.
    scale, needed = (float(np.sqrt(np.mean(each**2))) for each in (step.scale, step.needed))
    rounding, least = (each / np.sqrt(12) / size for each in (scale, needed))
    too_narrow = min(LEAST_OF_NEEDED * needed / scale, lost / MOST_LOST)
    apart = step.moved / HALF_A_STEP if step.moved > HALF_A_STEP else 0.0
    multiple = MAX_MULTIPLE * max(scale / needed / MOST_OF_NEEDED, too_narrow, apart)
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
