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
    """A copy in which the layers whose inputs and weights are read back from INT8 have such biases.

    The file may be of any origin: where its scales make no units for the biases, these stay as they are.
    """
    constants = dict(constant_tensors(model.graph))
    reads_back = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for number, node in enumerate(changed.graph.node):
        if node.op_type not in LAYERS or len(node.input) < 3:
            continue
        images, weights = (_constant(reads_back.get(name), 1, constants) for name in node.input[:2])
        bias = _bias(node.input[2], reads_back, constants)
        if bias is None or images is None or weights is None or images.size != 1:
            continue
        unit = images.astype(np.float64).reshape(()) * weights.astype(np.float64).reshape(-1)
        if unit.size not in (1, bias.size) or not (np.isfinite(unit) & (unit > 0)).all():
            continue
        moved = ((np.floor(bias / unit) + 0.5) * unit).astype(bias.dtype)
        changed.graph.initializer.append(numpy_helper.from_array(moved, f"bias of node {number}, half a unit off"))
        node.input[2] = changed.graph.initializer[-1].name
    return changed


def _bias(
    name: str, reads_back: dict[str, onnx.NodeProto], constants: dict[str, onnx.TensorProto]
) -> np.ndarray | None:
    """In float, or read back from integers without a zero point."""
    node = reads_back.get(name)
    if node is None:
        return numpy_helper.to_array(constants[name]) if name in constants else None
    stored, scale, zero = (_constant(node, place, constants) for place in range(3))
    if stored is None or scale is None or scale.size not in (1, stored.size) or (zero is not None and zero.any()):
        return None
    found: np.ndarray = stored.astype(scale.dtype) * scale.reshape(-1)
    return found


def _constant(node: onnx.NodeProto | None, place: int, constants: dict[str, onnx.TensorProto]) -> np.ndarray | None:
    """An input of a node, if it has one there that is constant."""
    known = node is not None and len(node.input) > place and node.input[place] in constants
    return numpy_helper.to_array(constants[node.input[place]]) if node is not None and known else None
