"""Finds the stored weights of each layer of a graph: their shape and type, through casts and quantization."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import GraphProto, NodeProto, TensorProto

from resnetx.base.precisions import Precision

TYPES: dict[int, Precision] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.DOUBLE: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
    TensorProto.INT4: "int8",
    TensorProto.UINT4: "int8",
}
# What may stand between stored weights and the layer that uses them.
UNPACKING = ("DequantizeLinear", "Cast", "Identity", "Transpose", "Reshape")
# Weights have two or more dimensions: a bias, a scale and a zero point have fewer.
LEAST_DIMENSIONS = 2


@dataclass(frozen=True, kw_only=True)
class StoredWeights:
    """The weights that one layer reads. `transposed` is true for a matrix stored as (inputs, outputs)."""

    layer: str
    operator: str
    shape: tuple[int, ...]
    precision: Precision
    transposed: bool

    @property
    def outputs(self) -> int:
        return self.shape[-1] if self.transposed else self.shape[0]


def stored_weights(graph: GraphProto) -> tuple[StoredWeights, ...]:
    """The weights of every convolution and matrix product, in the graph's order; those computed in it are left out."""
    tensors: dict[str, TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type == "Constant" and node.output:
            for each in node.attribute:
                if each.HasField("t"):
                    tensors[node.output[0]] = each.t
    found = []
    for node in graph.node:
        if not is_layer(node):
            continue
        for name in node.input[1:]:
            stored = _stored(name, tensors, producers)
            if stored is not None and len(stored[0].dims) >= LEAST_DIMENSIONS:
                tensor, flips = stored
                found.append(
                    StoredWeights(
                        layer=node.name or node.op_type,
                        operator=node.op_type,
                        shape=tuple(tensor.dims),
                        precision=TYPES.get(tensor.data_type, "fp32"),
                        transposed=_transposed(node) != flips,
                    )
                )
                break
    return tuple(found)


def is_layer(node: NodeProto) -> bool:
    """Convolutions and matrix products under any name, such as FusedConv, QLinearMatMul or MatMulInteger."""
    return any(word in node.op_type for word in ("Conv", "Gemm", "MatMul"))


def is_convolution(weights: StoredWeights) -> bool:
    return "Conv" in weights.operator


def file_precision(weights: Sequence[StoredWeights]) -> tuple[Precision, int] | None:
    """The precision in which most layers are stored, and how many are; None without stored weights.

    A file with any layer in INT8 is an INT8 file: quantization leaves as many layers in float as accuracy needs.
    """
    counts = Counter(each.precision for each in weights)
    if counts["int8"]:
        return "int8", counts["int8"]
    return counts.most_common(1)[0] if counts else None


def _stored(
    name: str, tensors: Mapping[str, TensorProto], producers: Mapping[str, NodeProto]
) -> tuple[TensorProto, bool] | None:
    """The tensor behind an input, and whether a Transpose turned a matrix on the way."""
    flipped = False
    for _ in range(len(UNPACKING)):
        if name in tensors:
            return tensors[name], flipped
        node = producers.get(name)
        if node is None or node.op_type not in UNPACKING or not node.input:
            return None
        flipped ^= node.op_type == "Transpose"
        name = node.input[0]
    return (tensors[name], flipped) if name in tensors else None


def _transposed(node: NodeProto) -> bool:
    if "Conv" in node.op_type:
        return False
    turned = any(each.name == "transB" and each.i for each in node.attribute)
    return not turned


def default_opset(model: onnx.ModelProto) -> int | None:
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
