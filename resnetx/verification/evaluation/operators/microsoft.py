"""The floating-point operators that ONNX Runtime's optimizer writes, in its own domain."""

import torch
from torch import Tensor

from resnetx.verification.evaluation.call import Call, Table
from resnetx.verification.evaluation.operators.activation import ACTIVATIONS, gelu, gelu_by_tanh
from resnetx.verification.evaluation.operators.convolution import convolve, gemm, matmul
from resnetx.verification.evaluation.operators.elementwise import broadcast
from resnetx.verification.evaluation.operators.indexing import gather_nd
from resnetx.verification.evaluation.operators.shape import pad, range_, trilu


def _activated(call: Call, x: Tensor, parameters: list[float]) -> Tensor:
    name = call.text("activation", "")
    if not name:
        return x
    if name not in ACTIVATIONS:
        raise NotImplementedError(f"the activation {name!r}")
    return ACTIVATIONS[name](x, *parameters)


def fused_conv(
    call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None, summand: Tensor | None = None
) -> Tensor:
    result = added(convolve(call, x, weight, bias), summand)
    return _activated(call, result, call.numbers("activation_params") or [])


def nhwc_conv(
    call: Call, x: Tensor, weight: Tensor, bias: Tensor | None = None, summand: Tensor | None = None
) -> Tensor:
    planar = None if summand is None else summand.movedim(-1, 1)
    return fused_conv(call, x.movedim(-1, 1), weight, bias, planar).movedim(1, -1)


def fused_gemm(call: Call, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    return _activated(call, gemm(call, a, b, c), [call.number(name, 0.0) for name in names if call.has(name)])


def fused_matmul(call: Call, a: Tensor, b: Tensor) -> Tensor:
    def arranged(x: Tensor, side: str) -> Tensor:
        # The first dimension becomes the last but one: [M, batch..., K] is [batch..., M, K].
        if call.integer(f"transBatch{side}", 0):
            x = x.movedim(0, -2)
        return x.transpose(-1, -2) if call.integer(f"trans{side}", 0) and x.dim() > 1 else x

    return matmul(arranged(a, "A"), arranged(b, "B")) * call.number("alpha", 1.0)


def added(x: Tensor, *others: Tensor | None) -> Tensor:
    for other in others:
        if other is not None:
            broadcast(x, other)
            x = x + other
    return x


def bias_gelu(call: Call, x: Tensor, bias: Tensor) -> Tensor:
    return gelu(added(x, bias))


def fast_gelu(call: Call, x: Tensor, bias: Tensor | None = None) -> Tensor:
    return gelu_by_tanh(added(x, bias))


def quick_gelu(call: Call, x: Tensor) -> Tensor:
    return x * torch.sigmoid(call.number("alpha", 1.702) * x)


def bias_add(call: Call, x: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    return added(x, bias, skip)


def bias_softmax(call: Call, x: Tensor, bias: Tensor) -> Tensor:
    """Over all dimensions from the axis on."""
    axis = call.integer("axis", 1) % x.dim()
    if not call.integer("is_inner_broadcast", 1):
        # The bias lacks the dimension of a batch that is repeated inside: it is matched from the left.
        bias = bias.reshape(*bias.shape, *[1] * (x.dim() - bias.dim()))
    return torch.softmax(added(x, bias).flatten(axis), -1).reshape(x.shape)


def bias_split_gelu(call: Call, x: Tensor, bias: Tensor) -> Tensor:
    left, right = added(x, bias).chunk(2, -1)
    return left * gelu(right)


TABLE: Table = {
    "FusedConv": fused_conv,
    "NhwcConv": nhwc_conv,
    "NhwcFusedConv": nhwc_conv,
    "FusedGemm": fused_gemm,
    "FusedMatMul": fused_matmul,
    "TransposeMatMul": fused_matmul,
    "Gelu": lambda call, x: gelu(x),
    "BiasGelu": bias_gelu,
    "FastGelu": fast_gelu,
    "QuickGelu": quick_gelu,
    "BiasAdd": bias_add,
    "BiasSoftmax": bias_softmax,
    "BiasSplitGelu": bias_split_gelu,
    "Pad": pad,
    "Trilu": trilu,
    "Range": range_,
    "GatherND": gather_nd,
}
