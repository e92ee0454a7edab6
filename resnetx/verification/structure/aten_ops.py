"""The layers of PyTorch: convolutions, products, normalizations, activations and arithmetic; all operators' table."""

import math

from resnetx.verification.structure.aten_call import Arguments, Handler, handler, many
from resnetx.verification.structure.aten_shapes import ATEN_SHAPES
from resnetx.verification.structure.builder import Operand, Unknown
from resnetx.verification.structure.folding import transposed
from resnetx.verification.structure.parameters import Parameter


def _convolution(a: Arguments) -> str:
    weight, bias = a.constant("weight"), a.optional("bias")
    rank = len(weight.shape) - 2
    pads = many(a["padding"], rank)
    return a.builder.emit(
        "conv",
        [a.value("input")],
        a.shape,
        parameters={"weight": weight} if bias is None else {"weight": weight, "bias": bias},
        strides=many(a["stride"], rank),
        dilations=many(a["dilation"], rank),
        pads=pads * 2,
        groups=int(a["groups"]),
        transposed=bool(a["transposed"]),
        output_padding=many(a["output_padding"], rank) if a["transposed"] else (),
    )


def _addmm(a: Arguments) -> str:
    if a["alpha"] != 1 or a["beta"] != 1:
        raise Unknown
    return a.builder.linear(a.value("mat1"), transposed(a.constant("mat2"), (1, 0)), a.constant("self"), a.shape)


def _matmul(a: Arguments) -> str:
    second = a["mat2"]
    if isinstance(second, str):
        return a.builder.emit("matmul", [a.value(), second], a.shape)
    if len(second.shape) == 3 and second.shape[0] == 1:
        raise Unknown
    return a.builder.linear(a.value(), transposed(second, (1, 0)), None, a.shape)


def _linear(a: Arguments) -> str:
    return a.builder.linear(a.value("input"), a.constant("weight"), a.optional("bias"), a.shape)


def _batch_norm(a: Arguments) -> list[Operand]:
    if a.given.get("training"):
        raise Unknown
    weight, bias = a.optional("weight"), a.optional("bias")
    value = a.builder.batch_norm(
        a.value("input"), weight, bias, a.constant("running_mean"), a.constant("running_var"), float(a["eps"])
    )
    return [value, *(a.builder.new_value(shape) for shape in a.shapes[1:])]


def _layer_norm(a: Arguments) -> list[Operand]:
    rank, count = len(a.shape), len(a["normalized_shape"])
    axes = tuple(range(rank - count, rank))
    value = a.builder.normalize(a.value("input"), axes, a["eps"], a.optional("weight"), a.optional("bias"))
    return [value, *(a.builder.new_value(shape) for shape in a.shapes[1:])]


def _group_norm(a: Arguments) -> list[Operand]:
    value = a.builder.group_norm(a.value("input"), int(a["group"]), a["eps"], a.optional("weight"), a.optional("bias"))
    return [value, *(a.builder.new_value(shape) for shape in a.shapes[1:])]


def _binary(a: Arguments, kind: str) -> str:
    a.floats()
    if a.given.get("alpha", 1) != 1 or a.given.get("rounding_mode") is not None:
        raise Unknown
    return a.builder.binary(kind, a.operand("self"), a.operand("other"), a.shape)


def _reversed_sub(a: Arguments) -> str:
    return a.builder.binary("sub", a.operand("other"), a.operand("self"), a.shape)


def _several(a: Arguments, kind: str) -> str:
    return a.builder.emit(kind, [a.value("self"), a.value("other")], a.shape)


def _unary(a: Arguments, kind: str) -> str:
    a.floats()
    return a.builder.unary(kind, a.value())


def _clamp(a: Arguments) -> str:
    low, high = a.given.get("min", a.given.get("min_val")), a.given.get("max", a.given.get("max_val"))
    if isinstance(low, str | Parameter) or isinstance(high, str | Parameter):
        raise Unknown
    return a.builder.clip(a.value(), -math.inf if low is None else low, math.inf if high is None else high)


def _softmax(a: Arguments, kind: str) -> str:
    return a.builder.unary(kind, a.value(), axis=int(a["dim"]) % len(a.shape))


def _elu(a: Arguments) -> str:
    if a["input_scale"] != 1:
        raise Unknown
    return a.builder.unary("elu", a.value(), alpha=float(a["alpha"]), scale=float(a["scale"]))


def _pow(a: Arguments) -> str:
    exponent, x = a["exponent"], a.value()
    return a.builder.gated(x, x) if exponent == 2 else a.builder.unary("pow", x, exponent=float(exponent))


def _softplus(a: Arguments) -> str:
    if a["beta"] != 1 or a["threshold"] != 20:
        raise Unknown
    return a.builder.unary("softplus", a.value())


def _prelu(a: Arguments) -> str:
    return a.builder.emit("prelu", [a.value()], a.shape, parameters={"weight": a.constant("weight")})


ATEN: dict[str, Handler] = {
    **ATEN_SHAPES,
    "convolution": handler(_convolution),
    "addmm": handler(_addmm),
    "mm": handler(_matmul),
    "bmm": handler(_matmul),
    "linear": handler(_linear),
    "native_batch_norm": handler(_batch_norm),
    "_native_batch_norm_legit_no_training": handler(_batch_norm),
    "native_layer_norm": handler(_layer_norm),
    "native_group_norm": handler(_group_norm),
    **{name: handler(_binary, kind=name) for name in ("add", "sub", "mul", "div")},
    "rsub": handler(_reversed_sub),
    "maximum": handler(_several, kind="max"),
    "minimum": handler(_several, kind="min"),
    "relu": handler(lambda a: a.builder.clip(a.value())),
    **{name: handler(_clamp) for name in ("clamp", "clamp_min", "clamp_max", "hardtanh")},
    **{
        name: handler(_unary, kind=name)
        for name in ("sigmoid", "tanh", "erf", "exp", "log", "sqrt", "reciprocal", "abs")
    },
    "softplus": handler(_softplus),
    "leaky_relu": handler(lambda a: a.builder.unary("leaky_relu", a.value(), alpha=float(a["negative_slope"]))),
    "elu": handler(_elu),
    "celu": handler(lambda a: a.builder.unary("celu", a.value(), alpha=float(a["alpha"]))),
    "pow": handler(_pow),
    "neg": handler(lambda a: a.builder.times(a.value(), -1.0)),
    "silu": handler(lambda a: a.builder.silu(a.value())),
    "gelu": handler(lambda a: a.builder.gelu(a.value(), a["approximate"])),
    "mish": handler(lambda a: a.builder.mish(a.value())),
    "hardsigmoid": handler(lambda a: a.builder.hard_sigmoid(a.value())),
    "hardswish": handler(lambda a: a.builder.gated(a.value(), a.builder.hard_sigmoid(a.value()))),
    "_prelu_kernel": handler(_prelu),
    "_softmax": handler(_softmax, kind="softmax"),
    "_log_softmax": handler(_softmax, kind="log_softmax"),
}
