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

from resnetx.base.precisions import EPSILON
from resnetx.verification.reference_outputs import Trace
from resnetx.verification.sketch import NamedSketch, sketch

if TYPE_CHECKING:
    from resnetx.verification.evaluation.evaluator import Arithmetic, Steps

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


@dataclass
class ExactGraph:
    """A graph; sketches bear the names of its tensors. `seen` are the values of the tensor `watched`, run by run."""

    model: onnx.ModelProto
    watched: str | None = None
    seen: list[np.ndarray] = field(default_factory=list)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        constants = {tensor.name for tensor in self.model.graph.initializer}
        return tuple(value.name for value in self.model.graph.input if value.name not in constants)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        return tuple(value.name for value in self.model.graph.output)

    def exact(self, feeds: Sequence[np.ndarray], *, steps: "Steps" = "kept") -> Trace:
        return self.run(feeds, steps=steps)

    def perturbed(
        self, feeds: Sequence[np.ndarray], precision: str, *, inputs: bool, factor: float = 1.0, seed: int = 0
    ) -> Trace:
        """As `exact`, but each parameter, and each input if `inputs`, is off by up to a rounding of `precision`."""
        generator = np.random.default_rng(seed)
        size = factor * EPSILON[precision]
        if inputs:
            feeds = [feed * _near_one(feed, size, generator) if feed.dtype.kind == "f" else feed for feed in feeds]
        moved = ExactGraph(perturbed_weights(self.model, size, generator))
        return moved.run(feeds)

    def run(
        self, feeds: Sequence[np.ndarray], *, steps: "Steps" = "kept", arithmetic: "Arithmetic" = "float64"
    ) -> Trace:
        from resnetx.verification.evaluation.evaluator import Evaluator

        sketches: list[NamedSketch] = []

        def watch(name: str, tensor: Any) -> None:
            array = tensor.numpy()
            if name == self.watched:
                self.seen.append(array.copy())
            if array.dtype.kind == "f" and array.ndim:
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


def _near_one(array: np.ndarray, size: float, generator: np.random.Generator) -> np.ndarray:
    result: np.ndarray = 1 + size * generator.uniform(-1, 1, array.shape)
    return result
