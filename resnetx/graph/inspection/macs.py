"""Multiply-accumulates of single nodes, from the shapes of their inputs and outputs.

As in the literature, only convolutions and matrix products count, not additions, pooling or activations;
padding counts like the image.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onnx import AttributeProto, NodeProto

# None is an unknown dimension; a shape that is None is entirely unknown.
Shape = tuple[int | None, ...]
Inputs = Sequence[Shape | None]
# A count beyond 64 bits comes from invalid shapes.
LARGEST = 2**63 - 1
CONTRIB = "com.microsoft"


@dataclass(frozen=True)
class Rule:
    """How one operator is counted; `data` and `weight` are the input indices of its two factors."""

    count: Callable[[NodeProto, Shape, Shape, Shape], int | None]
    data: int = 0
    weight: int = 1
    quantized: bool = False


def rule_of(node: NodeProto) -> Rule | None:
    """How a node's multiply-accumulates are counted, or None if it has none."""
    return RULES.get((domain_of(node), node.op_type))


def domain_of(node: NodeProto) -> str:
    return "" if node.domain == "ai.onnx" else node.domain


def multiply_accumulates(node: NodeProto, inputs: Inputs, output: Shape | None) -> int | None:
    """The multiply-accumulates of a node in one run; None if its shapes are unknown, 0 if it has none."""
    rule = rule_of(node)
    if rule is None:
        return 0
    # The product of an unknown shape is unknown.
    data, weight = (inputs[place] if place < len(inputs) else None for place in (rule.data, rule.weight))
    unknown: Shape = (None,)
    macs = rule.count(node, data or unknown, weight or unknown, (None,) if output is None else output)
    return macs if macs is not None and 0 <= macs <= LARGEST else None


def integer(node: NodeProto, name: str, default: int = 0) -> int:
    for attribute in node.attribute:
        if attribute.name == name and attribute.type == AttributeProto.INT:
            return int(attribute.i)
    return default


def _product(*dims: int | None) -> int | None:
    known = [dim for dim in dims if dim is not None and dim >= 0]
    return math.prod(known) if len(known) == len(dims) else None


def _conv(node: NodeProto, data: Shape, weight: Shape, output: Shape) -> int | None:
    # The weight is (outputs, inputs / groups, *kernel): each output element sums up one filter.
    return _product(*output, *weight[1:]) if len(weight) > 2 else None


def _conv_transpose(node: NodeProto, data: Shape, weight: Shape, output: Shape) -> int | None:
    # The weight is (inputs, outputs / groups, *kernel): each input element is spread over one filter.
    return _product(*data, *weight[1:]) if len(weight) > 2 else None


def _gemm(node: NodeProto, data: Shape, weight: Shape, output: Shape) -> int | None:
    if len(data) != 2 or len(weight) != 2:
        return None
    return _product(*data, weight[0 if integer(node, "transB") else 1])


def _matmul(node: NodeProto, data: Shape, weight: Shape, output: Shape) -> int | None:
    return _product(*output, data[-1])


def _fused_matmul(node: NodeProto, data: Shape, weight: Shape, output: Shape) -> int | None:
    if integer(node, "transBatchA") or integer(node, "transBatchB"):
        return None
    return _product(*output, data[-2 if integer(node, "transA") and len(data) > 1 else -1])


def _matmul_nbits(node: NodeProto, data: Shape, weight: Shape, output: Shape) -> int | None:
    # The weight is packed; its true shape is in the attributes.
    return _product(*data, integer(node, "N", -1))


def _einsum(node: NodeProto, data: Shape, weight: Shape, output: Shape) -> int | None:
    equation = next((a.s.decode(errors="replace") for a in node.attribute if a.name == "equation"), "")
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if len(node.input) == 1:
        return 0
    if len(terms) != 2 or "." in equation or (len(terms[0]), len(terms[1])) != (len(data), len(weight)):
        return None
    sizes = dict(zip("".join(terms), (*data, *weight), strict=True))
    return _product(*sizes.values())


def _uncounted(node: NodeProto, data: Shape, weight: Shape, output: Shape) -> int | None:
    """It multiplies matrices, but is not supported here: the total must not look complete."""
    return None


RULES: dict[tuple[str, str], Rule] = {
    ("", "Conv"): Rule(_conv),
    ("", "ConvTranspose"): Rule(_conv_transpose),
    ("", "DeformConv"): Rule(_conv),
    ("", "Gemm"): Rule(_gemm),
    ("", "MatMul"): Rule(_matmul),
    ("", "Einsum"): Rule(_einsum),
    ("", "ConvInteger"): Rule(_conv, quantized=True),
    ("", "MatMulInteger"): Rule(_matmul, quantized=True),
    ("", "QLinearConv"): Rule(_conv, weight=3, quantized=True),
    ("", "QLinearMatMul"): Rule(_matmul, weight=3, quantized=True),
    (CONTRIB, "FusedConv"): Rule(_conv),
    (CONTRIB, "NhwcConv"): Rule(_conv),
    (CONTRIB, "NhwcFusedConv"): Rule(_conv),
    (CONTRIB, "QLinearConv"): Rule(_conv, weight=3, quantized=True),
    (CONTRIB, "ConvTransposeWithDynamicPads"): Rule(_conv_transpose),
    (CONTRIB, "FusedGemm"): Rule(_gemm),
    (CONTRIB, "GemmFastGelu"): Rule(_matmul),
    (CONTRIB, "QGemm"): Rule(_gemm, weight=3, quantized=True),
    (CONTRIB, "FusedMatMul"): Rule(_fused_matmul),
    (CONTRIB, "FusedMatMulActivation"): Rule(_fused_matmul),
    (CONTRIB, "TransposeMatMul"): Rule(_fused_matmul),
    (CONTRIB, "MatMulIntegerToFloat"): Rule(_matmul, quantized=True),
    (CONTRIB, "DynamicQuantizeMatMul"): Rule(_matmul, quantized=True),
    (CONTRIB, "MatMulNBits"): Rule(_matmul_nbits),
    **{("", name): Rule(_uncounted) for name in ("LSTM", "GRU", "RNN", "Attention", "LinearAttention")},
    **{
        (CONTRIB, name): Rule(_uncounted)
        for name in (
            *("Attention", "DecoderAttention", "DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention"),
            *("DynamicQuantizeLSTM", "AttnLSTM", "GemmFloat8", "GroupQueryAttention", "LinearAttention"),
            *("LongformerAttention", "MatMulBnb4", "MatMulFpQ4", "MatMulInteger16", "MatMulNBitsMlp"),
            *("MatMulNBitsQkv", "MoE", "MultiHeadAttention", "PackedAttention", "PackedMultiHeadAttention"),
            *("PagedAttention", "QAttention", "QMoE", "QOrderedAttention", "QOrderedMatMul", "SparseAttention"),
            *("SparseToDenseMatMul",),
        )
    },
}
