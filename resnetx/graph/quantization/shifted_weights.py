"""Stores INT8 weights one lower, with a zero point of -1: the same numbers, for kernels that zero points choose."""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import numpy_helper

LOWEST = np.iinfo(np.int8).min


def shiftable(graph: onnx.GraphProto) -> list[str]:
    """The convolutions, by name, whose weights are symmetric and can be stored one lower."""
    return list(_weights(graph))


def with_shifted_weights(model: onnx.ModelProto, layers: Collection[str]) -> onnx.ModelProto:
    """A copy in which the weights q of these layers, with zero point 0, are q - 1 with zero point -1.

    What DequantizeLinear makes of them is the same to the bit; other layers, and those in float, stay as they are.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    # Layers that share their weights are shifted once, together.
    pairs = {pair[0].name: pair for name, pair in _weights(copy.graph).items() if name in layers}
    for weights, zeros in pairs.values():
        for tensor in (weights, zeros):
            lower = numpy_helper.to_array(tensor) - np.int8(1)
            tensor.CopyFrom(numpy_helper.from_array(lower, tensor.name))
    return copy


def _weights(graph: onnx.GraphProto) -> dict[str, tuple[onnx.TensorProto, onnx.TensorProto]]:
    """The weights and zero points of convolutions that can be shifted, by the layer's name."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    readers = [name for node in graph.node for name in node.input]
    steps = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear" and len(node.input) == 3}
    found = {}
    for node in graph.node:
        step = steps.get(node.input[1]) if node.op_type == "Conv" else None
        if step is None or not {step.input[0], step.input[2]} <= set(constants):
            continue
        weights, zeros = constants[step.input[0]], constants[step.input[2]]
        alone = readers.count(weights.name) == readers.count(zeros.name) == 1
        if alone and weights.data_type == onnx.TensorProto.INT8 and _can_be_lower(weights, zeros):
            found[node.name] = (weights, zeros)
    return found


def _can_be_lower(weights: onnx.TensorProto, zeros: onnx.TensorProto) -> bool:
    return not numpy_helper.to_array(zeros).any() and bool((numpy_helper.to_array(weights) > LOWEST).all())
