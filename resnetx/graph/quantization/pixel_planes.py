"""Keeps the normalization of pixels in planes, where ONNX Runtime would move it ahead of their transposition."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

NORMALIZING = ("Cast", "Mul", "Add", "Sub", "Div")


def with_pixels_in_planes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with a Reshape to the same shape behind each normalization of transposed inputs.

    ONNX Runtime's INT8 convolutions want channels last, so it moves the transposition behind the normalization, which
    then runs over one pixel's few channels at a time, which took 2.8 of 25 ms. It moves none across a Reshape.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    inputs = {value.name for value in graph.input}
    transposed = [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in inputs]
    for last in [each for node in transposed if (each := _last_normalization(graph, node)) is not node]:
        planes = f"{last.output[0]}_planes"
        for reader in _readers(graph, last.output[0]):
            reader.input[:] = [planes if name == last.output[0] else name for name in reader.input]
        graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.int64), f"{planes}_shape"))
        same = helper.make_node("Reshape", [last.output[0], f"{planes}_shape"], [planes], name=planes)
        graph.node.insert(list(graph.node).index(last) + 1, same)
    return copy


def _last_normalization(graph: onnx.GraphProto, node: onnx.NodeProto) -> onnx.NodeProto:
    """The end of the chain of operations, each the only reader of the one before; `node` itself if there is none."""
    readers = _readers(graph, node.output[0])
    follows = len(readers) == 1 and readers[0].op_type in NORMALIZING
    return _last_normalization(graph, readers[0]) if follows else node


def _readers(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if name in node.input]
