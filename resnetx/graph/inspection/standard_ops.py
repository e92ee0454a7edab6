"""Replaces ONNX Runtime's own operators with standard ones of the same shape, for ONNX shape inference.

Only the shapes are the same: activations, scales and sums are omitted.
"""

from collections.abc import Iterator, Sequence

from onnx import AttributeProto, NodeProto, helper

from resnetx.graph.inspection.macs import CONTRIB, integer

# Operator: the standard one, and the inputs that determine the shape.
_SAME_SHAPE: dict[str, tuple[str, Sequence[int]]] = {
    "FusedConv": ("Conv", (0, 1)),
    "NhwcConv": ("Conv", (0, 1)),
    "NhwcFusedConv": ("Conv", (0, 1)),
    "QLinearConv": ("Conv", (0, 3)),
    "NhwcMaxPool": ("MaxPool", (0,)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "FusedGemm": ("Gemm", (0, 1)),
    "QGemm": ("Gemm", (0, 3)),
    "GemmFastGelu": ("MatMul", (0, 1)),
    "MatMulIntegerToFloat": ("MatMul", (0, 1)),
    "DynamicQuantizeMatMul": ("MatMul", (0, 1)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Add", (0, 3)),
    "BiasAdd": ("Add", (0, 1)),
    **{
        name: ("Identity", (0,))
        for name in (
            *("QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax", "QuantizeLinear", "DequantizeLinear"),
            *("Gelu", "FastGelu", "BiasGelu", "QuickGelu", "BiasSoftmax", "SkipLayerNormalization"),
        )
    },
}
_CHANNELS_LAST = ("NhwcConv", "NhwcFusedConv", "NhwcMaxPool")
_KEPT = {
    "Conv": ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"),
    "MaxPool": ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides"),
    "AveragePool": ("auto_pad", "ceil_mode", "kernel_shape", "pads", "strides"),
    "Gemm": ("transA", "transB"),
}
_MATMULS = ("FusedMatMul", "FusedMatMulActivation", "TransposeMatMul")
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def standard_nodes(node: NodeProto) -> Iterator[NodeProto]:
    """The nodes that compute tensors of the same shapes; the node itself if it is standard or unknown."""
    if node.domain != CONTRIB or not node.output:
        yield node
    elif node.op_type in _MATMULS:
        yield from _matmul(node)
    elif node.op_type == "QLinearConcat" and len(node.input) > 2:
        axis = integer(node, "axis")
        yield helper.make_node("Concat", node.input[2::3], node.output[:1], axis=axis)
    elif node.op_type in _SAME_SHAPE and len(node.input) > max(_SAME_SHAPE[node.op_type][1]):
        yield from _same_shape(node)
    else:
        yield node


def _same_shape(node: NodeProto) -> Iterator[NodeProto]:
    op_type, places = _SAME_SHAPE[node.op_type]
    inputs, output = [node.input[place] for place in places], node.output[0]
    attributes = [attribute for attribute in node.attribute if attribute.name in _KEPT.get(op_type, ())]
    if node.op_type not in _CHANNELS_LAST and not integer(node, "channels_last"):
        yield _node(op_type, inputs, output, attributes)
        return
    # Names that are unlikely in a file; a conflict leads to wrong shapes, nothing worse.
    before, after = f"{output}\0in", f"{output}\0out"
    yield helper.make_node("Transpose", inputs[:1], [before], perm=TO_CHANNELS_FIRST)
    yield _node(op_type, [before, *inputs[1:]], after, attributes)
    yield helper.make_node("Transpose", [after], [output], perm=TO_CHANNELS_LAST)


def _matmul(node: NodeProto) -> Iterator[NodeProto]:
    if integer(node, "transBatchA") or integer(node, "transBatchB") or len(node.input) < 2:
        yield node
        return
    first = "...km" if integer(node, "transA") else "...mk"
    second = "...nk" if integer(node, "transB") else "...kn"
    yield helper.make_node("Einsum", node.input[:2], node.output[:1], equation=f"{first},{second}->...mn")


def _node(op_type: str, inputs: Sequence[str], output: str, attributes: Sequence[AttributeProto]) -> NodeProto:
    node = helper.make_node(op_type, inputs, [output])
    node.attribute.extend(attributes)
    return node
