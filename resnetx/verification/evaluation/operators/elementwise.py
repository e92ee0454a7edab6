"""Operators that compute each element on its own: arithmetic, comparisons, logic and bits."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from resnetx.verification.evaluation.call import Call, Operator, Table
from resnetx.verification.evaluation.limits import broadcast_shape, refuse_large
from resnetx.verification.evaluation.tensors import INTEGER_RANGES


def broadcast(*inputs: Tensor) -> None:
    """Refuse a result that would be too large, before it is made."""
    refuse_large(broadcast_shape(*(each.shape for each in inputs)))


def unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda call, x: function(x)


def binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def apply(call: Call, a: Tensor, b: Tensor) -> Tensor:
        broadcast(a, b)
        return function(a, b)

    return apply


def variadic(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def apply(call: Call, *inputs: Tensor) -> Tensor:
        broadcast(*inputs)
        result = inputs[0]
        for other in inputs[1:]:
            result = function(result, other)
        return result

    return apply


def divide(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def modulo(call: Call, a: Tensor, b: Tensor) -> Tensor:
    """The sign of the divisor, or with `fmod` that of the dividend."""
    broadcast(a, b)
    return torch.fmod(a, b) if call.integer("fmod", 0) else torch.remainder(a, b)


def power(call: Call, a: Tensor, b: Tensor) -> Tensor:
    """In the type of the base."""
    broadcast(a, b)
    if a.is_floating_point() or not b.is_floating_point():
        return torch.pow(a, b.to(a.dtype) if b.dtype != a.dtype else b)
    return torch.pow(a.to(torch.float64), b.to(torch.float64)).to(a.dtype)


def mean(call: Call, *inputs: Tensor) -> Tensor:
    broadcast(*inputs)
    result = inputs[0]
    for other in inputs[1:]:
        result = result + other
    return result / len(inputs)


def clip(call: Call, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    if call.opset < 11:
        return x.clamp(call.number("min", -math.inf), call.number("max", math.inf))
    if low is not None:
        x = torch.maximum(x, low.to(x.dtype))
    return torch.minimum(x, high.to(x.dtype)) if high is not None else x


def is_infinite(call: Call, x: Tensor) -> Tensor:
    found = torch.zeros_like(x, dtype=torch.bool)
    if call.integer("detect_positive", 1):
        found |= torch.isposinf(x)
    if call.integer("detect_negative", 1):
        found |= torch.isneginf(x)
    return found


def where(call: Call, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    broadcast(condition, a, b)
    return torch.where(condition, a, b)


def shift(call: Call, a: Tensor, b: Tensor) -> Tensor:
    broadcast(a, b)
    left = call.text("direction", "") == "LEFT"
    # In 64 bits: a signed type of fewer would bring in its sign from the left.
    wide, by = a.to(torch.int64), b.to(torch.int64)
    return wide << by if left else wide >> by


def bitwise_not(call: Call, x: Tensor) -> Tensor:
    low, high = INTEGER_RANGES.get(call.type_of(0), (-1, 0))
    return high - x if low == 0 else torch.bitwise_not(x)


def negative(x: Tensor) -> Tensor:
    return -x


def sign(x: Tensor) -> Tensor:
    """NaN stays NaN, as in IEEE arithmetic; torch makes it 0."""
    return torch.where(torch.isnan(x), x, torch.sign(x)) if x.is_floating_point() else torch.sign(x)


def dropout(
    call: Call, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The identity at inference, with a mask that keeps everything; in training it is random and refused."""
    if training is not None and bool(training) and (ratio is None or float(ratio) != 0):
        raise NotImplementedError("it drops at random, in training mode")
    return x, torch.ones_like(x, dtype=torch.bool)


def identity(call: Call, x: Tensor) -> Tensor:
    return x


TABLE: Table = {
    "Abs": unary(torch.abs),
    "Acos": unary(torch.acos),
    "Acosh": unary(torch.acosh),
    "Add": binary(torch.add),
    "And": binary(torch.logical_and),
    "Asin": unary(torch.asin),
    "Asinh": unary(torch.asinh),
    "Atan": unary(torch.atan),
    "Atanh": unary(torch.atanh),
    "BitShift": shift,
    "BitwiseAnd": binary(torch.bitwise_and),
    "BitwiseNot": bitwise_not,
    "BitwiseOr": binary(torch.bitwise_or),
    "BitwiseXor": binary(torch.bitwise_xor),
    "Ceil": unary(torch.ceil),
    "Clip": clip,
    "Cos": unary(torch.cos),
    "Cosh": unary(torch.cosh),
    "Div": binary(divide),
    "Dropout": dropout,
    "Equal": binary(torch.eq),
    "Erf": unary(torch.erf),
    "Exp": unary(torch.exp),
    "Floor": unary(torch.floor),
    "Greater": binary(torch.gt),
    "GreaterOrEqual": binary(torch.ge),
    "Identity": identity,
    "IsInf": is_infinite,
    "IsNaN": unary(torch.isnan),
    "Less": binary(torch.lt),
    "LessOrEqual": binary(torch.le),
    "Log": unary(torch.log),
    "Max": variadic(torch.maximum),
    "Mean": mean,
    "Min": variadic(torch.minimum),
    "Mod": modulo,
    "Mul": binary(torch.mul),
    "Neg": unary(negative),
    "Not": unary(torch.logical_not),
    "Or": binary(torch.logical_or),
    "Pow": power,
    "Reciprocal": unary(torch.reciprocal),
    "Round": unary(torch.round),
    "Sign": unary(sign),
    "Sin": unary(torch.sin),
    "Sinh": unary(torch.sinh),
    "Sqrt": unary(torch.sqrt),
    "Sub": binary(torch.sub),
    "Sum": variadic(torch.add),
    "Tan": unary(torch.tan),
    "Tanh": unary(torch.tanh),
    "Where": where,
    "Xor": binary(torch.logical_xor),
}
