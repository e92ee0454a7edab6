"""Layers that compute on quantized numbers: QLinear*, *Integer, and those that ONNX Runtime's optimizer fuses.

Each one computes on the integers it stands for, exactly, and rounds once: where it writes its output.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from resnetx.verification.evaluation.call import Call, Operator, Result, Table, given
from resnetx.verification.evaluation.limits import must_fit, refuse_large
from resnetx.verification.evaluation.operators.activation import leaky_relu
from resnetx.verification.evaluation.operators.convolution import convolve, matmul
from resnetx.verification.evaluation.operators.elementwise import broadcast
from resnetx.verification.evaluation.operators.pooling import average_pool, global_average_pool, max_pool
from resnetx.verification.evaluation.operators.quantization import dequantized, dynamic_quantize, quantized, spread
from resnetx.verification.evaluation.operators.reduction import TABLE as REDUCTIONS


def _centred(x: Tensor, zero: Tensor | None, axis: int = 1) -> Tensor:
    """Less its zero point, in float64, where every product of eight-bit numbers is exact."""
    wide = x.to(torch.float64)
    return wide if zero is None else wide - spread(zero, wide, axis).to(torch.float64)


def _rows(zero: Tensor | None) -> Tensor | None:
    """One number for each row of the left matrix."""
    return zero if zero is None or zero.dim() != 1 or zero.numel() == 1 else zero[:, None]


def _matrix_centred(x: Tensor, zero: Tensor | None) -> Tensor:
    wide = x.to(torch.float64)
    must_fit(x, zero)
    return wide if zero is None else wide - zero.to(torch.float64)


def qlinear_conv(
    call: Call,
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    bias: Tensor | None = None,
) -> Tensor:
    last = bool(call.integer("channels_last", 0))
    planar = x.movedim(-1, 1) if last else x
    summed = convolve(call, _centred(planar, x_zero), _centred(w, w_zero, 0), None if bias is None else bias.double())
    scale = spread(w_scale.double() * x_scale.double(), summed, 1)
    result = quantized(call, summed * scale, y_scale.double(), y_zero, call.type_of(7), axis=1)
    return result.movedim(1, -1) if last else result


def conv_integer(
    call: Call, x: Tensor, w: Tensor, x_zero: Tensor | None = None, w_zero: Tensor | None = None
) -> Tensor:
    return convolve(call, _centred(x, x_zero), _centred(w, w_zero, 0))


def matmul_integer(
    call: Call, a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None
) -> Tensor:
    return matmul(_matrix_centred(a, _rows(a_zero)), _matrix_centred(b, b_zero))


def qlinear_matmul(
    call: Call,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
) -> Tensor:
    product = matmul_integer(call, a, b, a_zero, b_zero)
    left = _rows(a_scale)
    assert left is not None
    must_fit(product, left, b_scale)
    real = product * left.double() * b_scale.double()
    return quantized(call, real, y_scale.double(), y_zero, call.type_of(7), axis=-2)


def qgemm(
    call: Call,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    c: Tensor | None = None,
    y_scale: Tensor | None = None,
    y_zero: Tensor | None = None,
) -> Tensor:
    left, right = _matrix_centred(a, a_zero), b.to(torch.float64)
    left = left.transpose(0, 1) if call.integer("transA", 0) else left
    # The scales and zero points of B belong to its columns, as they are multiplied.
    right = right.transpose(0, 1) if call.integer("transB", 0) else right
    product = matmul(left, _matrix_centred(right, b_zero))
    must_fit(product, c, b_scale)
    summed = product if c is None else product + c.to(torch.float64)
    real = summed * (call.number("alpha", 1.0) * a_scale.double() * b_scale.double())
    return real if y_scale is None else quantized(call, real, y_scale.double(), y_zero, call.type_of(8), axis=-1)


def matmul_integer_to_float(
    call: Call,
    a: Tensor,
    b: Tensor,
    a_scale: Tensor,
    b_scale: Tensor,
    a_zero: Tensor | None = None,
    b_zero: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    product = matmul_integer(call, a, b, a_zero, b_zero)
    must_fit(product, a_scale, b_scale, bias)
    real = product * (a_scale.double() * b_scale.double())
    return real if bias is None else real + bias.double()


def dynamic_quantize_matmul(
    call: Call, a: Tensor, b: Tensor, b_scale: Tensor, b_zero: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    steps, scale, zero = dynamic_quantize(call, a)
    return matmul_integer_to_float(call, steps, b, scale, b_scale, zero, b_zero, bias)


def _two(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def apply(call: Call, *inputs: Tensor) -> Tensor:
        a, a_scale, a_zero, b, b_scale, b_zero, scale = inputs[:7]
        broadcast(a, b)
        left = dequantized(call, a, a_scale.double(), a_zero, axis=1)
        right = dequantized(call, b, b_scale.double(), b_zero, axis=1)
        zero = given(inputs, 7)
        return quantized(call, function(left, right), scale.double(), zero, call.type_of(0), axis=1)

    return apply


def _one(function: Callable[[Call, Tensor], Result]) -> Operator:
    """Dequantized, computed as floats, quantized again."""

    def apply(
        call: Call, x: Tensor, x_scale: Tensor, x_zero: Tensor | None, y_scale: Tensor, y_zero: Tensor | None = None
    ) -> Tensor:
        real = function(call, dequantized(call, x, x_scale.double(), x_zero, axis=1))
        assert isinstance(real, Tensor)
        return quantized(call, real, y_scale.double(), y_zero, call.type_of(0), axis=1)

    return apply


def channels_last(function: Callable[[Call, Tensor], Result]) -> Callable[[Call, Tensor], Tensor]:
    """For nodes that can have their channels last."""

    def apply(call: Call, x: Tensor) -> Tensor:
        last = bool(call.integer("channels_last", 0))
        result = function(call, x.movedim(-1, 1) if last else x)
        assert isinstance(result, Tensor)
        return result.movedim(1, -1) if last else result

    return apply


def nhwc_max_pool(call: Call, x: Tensor) -> Tensor:
    result = max_pool(call, x.movedim(-1, 1))
    assert isinstance(result, Tensor)
    return result.movedim(1, -1)


def qlinear_concat(call: Call, scale: Tensor, zero: Tensor, *inputs: Tensor) -> Tensor:
    parts = [
        dequantized(call, inputs[at], inputs[at + 1].double(), inputs[at + 2], axis=1)
        for at in range(0, len(inputs), 3)
    ]
    refuse_large([sum(part.numel() for part in parts)])
    joined = torch.cat(parts, call.integer("axis", 0))
    return quantized(call, joined, scale.double(), zero, call.type_of(1), axis=1)


def qlinear_where(call: Call, condition: Tensor, *inputs: Tensor) -> Tensor:
    a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = inputs
    broadcast(condition, a, b)
    left = dequantized(call, a, a_scale.double(), a_zero, axis=1)
    right = dequantized(call, b, b_scale.double(), b_zero, axis=1)
    return quantized(call, torch.where(condition, left, right), scale.double(), zero, call.type_of(1), axis=1)


def _softmax(call: Call, x: Tensor) -> Tensor:
    """The meaning of the axis is that of the opset in the attribute."""
    old = call.integer("opset", 13) < 13
    axis = call.integer("axis", 1 if old else -1)
    if not old:
        return torch.softmax(x, axis)
    axis += x.dim() if axis < 0 else 0
    return torch.softmax(x.flatten(axis), -1).reshape(x.shape)


def _mean(call: Call, x: Tensor) -> Result:
    return REDUCTIONS["ReduceMean"](call, x)


TABLE: Table = {
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "ConvInteger": conv_integer,
    "MatMulInteger": matmul_integer,
}
MICROSOFT_TABLE: Table = {
    "QLinearConv": qlinear_conv,
    "QLinearAdd": _two(torch.add),
    "QLinearMul": _two(torch.mul),
    "QLinearSigmoid": _one(lambda call, x: torch.sigmoid(x)),
    "QLinearLeakyRelu": _one(lambda call, x: leaky_relu(x, call.number("alpha", 0.01))),
    "QLinearSoftmax": _one(_softmax),
    "QLinearAveragePool": _one(channels_last(average_pool)),
    "QLinearGlobalAveragePool": _one(channels_last(global_average_pool)),
    "QLinearReduceMean": _one(_mean),
    "QLinearConcat": qlinear_concat,
    "QLinearWhere": qlinear_where,
    "QGemm": qgemm,
    "MatMulIntegerToFloat": matmul_integer_to_float,
    "DynamicQuantizeMatMul": dynamic_quantize_matmul,
    "NhwcMaxPool": nhwc_max_pool,
}
