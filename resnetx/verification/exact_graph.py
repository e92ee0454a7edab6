"""A file's graph in float64: its outputs and inner tensors, exactly, and with the roundings of a precision.

torch is imported when a graph is evaluated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

from resnetx.base.optional_torch import INSTALL_TORCH, has_torch
from resnetx.base.precisions import EPSILON
from resnetx.verification.evaluation.unsupported import UnsupportedGraph
from resnetx.verification.reference_outputs import Trace, Traces
from resnetx.verification.sketch import NamedSketch, sketch

if TYPE_CHECKING:
    from resnetx.verification.evaluation.evaluator import Arithmetic, Steps

# The dimension of output channels in the weights of layers; Gemm's may be transposed.
OUTPUT_AXES = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": -1}
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


@dataclass(frozen=True)
class ExactGraph:
    """A graph; sketches bear the names of its tensors. Of the `watched` tensors, the values are kept as well.

    `weight_bits` are those of weights in INT8: 7 for processors whose sums of 8-bit products overflow.
    """

    model: onnx.ModelProto
    watched: tuple[str, ...] = ()
    weight_bits: int = 8
    values: dict[tuple[str, int], np.ndarray] = field(default_factory=dict)
    _traces: Traces = field(default_factory=Traces)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        constants = {tensor.name for tensor in self.model.graph.initializer}
        return tuple(value.name for value in self.model.graph.input if value.name not in constants)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.model.graph.output)

    def exact(self, feeds: Sequence[np.ndarray]) -> Trace:
        """The outputs and inner tensors in float64, with the roundings that the file asks for."""
        return self.run(feeds)

    def rounded(self, feeds: Sequence[np.ndarray]) -> Trace:
        """As `exact`, computed in float32."""
        return self.run(feeds, steps="declared", arithmetic="float32")

    def perturbed(self, feeds: Sequence[np.ndarray], precision: str) -> Trace:
        """As `exact`, but each float weight is off by up to a rounding of `precision`; in INT8, those of layers."""
        if precision == "int8":
            moved = ExactGraph(weights_in_steps(self.model, bits=self.weight_bits))
        else:
            moved = ExactGraph(perturbed_weights(self.model, EPSILON[precision], np.random.default_rng(0)))
        return self._traces.get(feeds, precision, lambda: moved.run(feeds))

    def run(
        self, feeds: Sequence[np.ndarray], *, steps: "Steps" = "kept", arithmetic: "Arithmetic" = "float64"
    ) -> Trace:
        return self._traces.get(feeds, (steps, arithmetic), lambda: self._evaluate(feeds, steps, arithmetic))

    def value(self, name: str, feeds: Sequence[np.ndarray]) -> np.ndarray:
        """A watched tensor in the last run of these feeds."""
        return self.values[name, id(feeds[0])]

    def _evaluate(self, feeds: Sequence[np.ndarray], steps: "Steps", arithmetic: "Arithmetic") -> Trace:
        if not has_torch():
            raise UnsupportedGraph(f"PyTorch, which evaluates graphs in float64, is not installed: {INSTALL_TORCH}")
        from resnetx.verification.evaluation.evaluator import Evaluator

        sketches: list[NamedSketch] = []

        def watch(name: str, tensor: Any) -> None:
            array = tensor.numpy()
            if name in self.watched:
                self.values[name, id(feeds[0])] = array.copy()
            if array.dtype.kind == "f" and array.ndim and array.size:
                sketches.append(NamedSketch(name=name, sketch=sketch(array)))

        evaluator = Evaluator(self.model, steps=steps, arithmetic=arithmetic)
        found = evaluator.run(dict(zip(self.inputs, feeds, strict=True)), watch)
        return [found[name] for name in self.outputs], tuple(sketches)


def perturbed_weights(model: onnx.ModelProto, size: float, generator: np.random.Generator) -> onnx.ModelProto:
    """A copy whose float weights are in float64, each off by up to `size` of itself."""
    moved = onnx.ModelProto()
    moved.CopyFrom(model)
    for tensor in moved.graph.initializer:
        if tensor.data_type in FLOATS:
            array = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(array * _near_one(array, size, generator), tensor.name))
    return moved


def weights_in_steps(model: onnx.ModelProto, *, bits: int) -> onnx.ModelProto:
    """A copy whose layers have weights as correct INT8 has them: by output channel, in symmetric steps."""
    axes: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in OUTPUT_AXES and len(node.input) > 1:
            transposed = any(each.name == "transB" and each.i for each in node.attribute)
            axes[node.input[1]] = 0 if transposed else OUTPUT_AXES[node.op_type]
    moved = onnx.ModelProto()
    moved.CopyFrom(model)
    for tensor in moved.graph.initializer:
        if tensor.name in axes and tensor.data_type in FLOATS and len(tensor.dims) > 1:
            array = numpy_helper.to_array(tensor)
            others = tuple(axis for axis in range(array.ndim) if axis != axes[tensor.name] % array.ndim)
            largest = np.abs(array).max(axis=others, keepdims=True, initial=np.finfo(array.dtype).tiny)
            step = largest / (2 ** (bits - 1) - 1)
            tensor.CopyFrom(numpy_helper.from_array(np.rint(array / step) * step, tensor.name))
    return moved


def _near_one(array: np.ndarray, size: float, generator: np.random.Generator) -> np.ndarray:
    result: np.ndarray = 1 + size * generator.uniform(-1, 1, array.shape)
    return result
