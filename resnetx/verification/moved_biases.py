"""The least that a runtime may do differently in INT8: each bias is off by half a unit of the sums that it is added to.

A runtime may round float biases to whole units, as ONNX Runtime does, or add in another order. That is next to nothing
in the sum itself, but of the numbers behind it some then fall into the next step of INT8.
"""

import numpy as np
import onnx
from onnx import numpy_helper

from resnetx.graph.inspection.parameters import constant_tensors

LAYERS = ("Conv", "ConvTranspose", "Gemm")


def with_moved_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which the layers whose inputs and weights are read back from INT8 have such biases."""
    constants = dict(constant_tensors(model.graph))
    reads_back = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for number, node in enumerate(changed.graph.node):
        if node.op_type not in LAYERS or len(node.input) < 3:
            continue
        scales = [_scale(reads_back.get(name), constants) for name in node.input[:2]]
        bias = _value(node.input[2], reads_back, constants)
        if bias is None or scales[0] is None or scales[1] is None or scales[0].size != 1:
            continue
        unit = scales[0].reshape(()) * scales[1].reshape(-1)
        moved = ((np.floor(bias / unit) + 0.5) * unit).astype(np.float32)
        changed.graph.initializer.append(numpy_helper.from_array(moved, f"bias of node {number}, half a unit off"))
        node.input[2] = changed.graph.initializer[-1].name
    return changed


def _scale(node: onnx.NodeProto | None, constants: dict[str, onnx.TensorProto]) -> np.ndarray | None:
    scale = None if node is None else constants.get(node.input[1])
    return None if scale is None else numpy_helper.to_array(scale).astype(np.float64)


def _value(
    name: str, reads_back: dict[str, onnx.NodeProto], constants: dict[str, onnx.TensorProto]
) -> np.ndarray | None:
    """A bias, in float or read back from integers."""
    node = reads_back.get(name)
    stored, scale = constants.get(name if node is None else node.input[0]), _scale(node, constants)
    if stored is None or (node is not None and scale is None):
        return None
    value = numpy_helper.to_array(stored).astype(np.float64)
    return value if scale is None else value * scale
