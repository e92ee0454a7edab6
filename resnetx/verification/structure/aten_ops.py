"""What PyTorch's operators do, in the terms that both sides share."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from resnetx.verification.structure.builder import Builder, Operand, Unknown
from resnetx.verification.structure.onnx_shapes import pool_attributes
from resnetx.verification.structure.parameters import Parameter, constant, transposed

FLOATS = ("float32", "float64", "float16", "bfloat16")
LARGEST = np.iinfo(np.int64).max


class _Arguments:
    """The arguments of one call, each read in the form that is needed."""

    def __init__(self, call: Any) -> None:
        self.builder: Builder = call.builder
        self.given: dict[str, Any] = dict(call.arguments)
        self.shapes: Sequence[tuple[int, ...]] = call.shapes
        self.dtypes: Sequence[str] = call.dtypes
        self.name: str = call.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shapes[0]

    def __getitem__(self, name: str) -> Any:
        return self.given[name]

    def value(self, name: str = "self") -> str:
        operand = self.given[name]
        if not isinstance(operand, str):
            raise Unknown
        return operand

    def constant(self, name: str) -> Parameter:
        operand = self.optional(name)
        if operand is None:
            raise Unknown
        return operand

    def optional(self, name: str) -> Parameter | None:
        operand = self.given.get(name)
        if operand is not None and not isinstance(operand, Parameter):
            raise Unknown
        return operand

    def operand(self, name: str) -> Operand:
        """A tensor or a number."""
        operand = self.given[name]
        if isinstance(operand, bool) or operand is None:
            raise Unknown
        return constant("number", np.asarray(float(operand))) if isinstance(operand, int | float) else operand

    def floats(self) -> None:
        if self.dtypes[0] not in FLOATS:
            raise Unknown


Handler = Callable[[Any], "Operand | Sequence[Operand]"]


def _many(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    numbers = (value,) if isinstance(value, int) else tuple(value)
    return numbers * rank if len(numbers) == 1 else numbers


def _convolution(a: _Arguments) -> str:
    weight, bias = a.constant("weight"), a.optional("bias")
    rank = len(weight.shape) - 2
    pads = _many(a["padding"], rank)
    return a.builder.emit(
        "conv",
        [a.value("input")],
        a.shape,
        parameters={"weight": weight} if bias is None else {"weight": weight, "bias": bias},
        strides=_many(a["stride"], rank),
        dilations=_many(a["dilation"], rank),
        pads=pads * 2,
        groups=int(a["groups"]),
        transposed=bool(a["transposed"]),
        output_padding=_many(a["output_padding"], rank) if a["transposed"] else (),
    )


def _addmm(a: _Arguments) -> str:
    if a["alpha"] != 1 or a["beta"] != 1:
        raise Unknown
    return a.builder.linear(a.value("mat1"), transposed(a.constant("mat2"), (1, 0)), a.constant("self"), a.shape)


def _matmul(a: _Arguments) -> str:
    second = a["mat2"]
    if isinstance(second, str):
        return a.builder.emit("matmul", [a.value(), second], a.shape)
    if len(second.shape) == 3 and second.shape[0] == 1:
        raise Unknown
    return a.builder.linear(a.value(), transposed(second, (1, 0)), None, a.shape)


def _linear(a: _Arguments) -> str:
    return a.builder.linear(a.value("input"), a.constant("weight"), a.optional("bias"), a.shape)


def _batch_norm(a: _Arguments) -> list[Operand]:
    if a.given.get("training"):
        raise Unknown
    weight, bias = a.optional("weight"), a.optional("bias")
    value = a.builder.batch_norm(
        a.value("input"), weight, bias, a.constant("running_mean"), a.constant("running_var"), float(a["eps"])
    )
    return [value, *(a.builder.new_value(shape) for shape in a.shapes[1:])]


def _layer_norm(a: _Arguments) -> list[Operand]:
    rank, count = len(a.shape), len(a["normalized_shape"])
    axes = tuple(range(rank - count, rank))
    value = a.builder.normalize(a.value("input"), axes, a["eps"], a.optional("weight"), a.optional("bias"))
    return [value, *(a.builder.new_value(shape) for shape in a.shapes[1:])]


def _group_norm(a: _Arguments) -> list[Operand]:
    value = a.builder.group_norm(
        a.value("input"), int(a["group"]), a["eps"], a.optional("weight"), a.optional("bias")
    )
    return [value, *(a.builder.new_value(shape) for shape in a.shapes[1:])]


def _binary(a: _Arguments, kind: str) -> str:
    a.floats()
    if a.given.get("alpha", 1) != 1 or a.given.get("rounding_mode") is not None:
        raise Unknown
    return a.builder.binary(kind, a.operand("self"), a.operand("other"), a.shape)


def _reversed_sub(a: _Arguments) -> str:
    return a.builder.binary("sub", a.operand("other"), a.operand("self"), a.shape)


def _several(a: _Arguments, kind: str) -> str:
    return a.builder.emit(kind, [a.value("self"), a.value("other")], a.shape)


def _unary(a: _Arguments, kind: str) -> str:
    a.floats()
    return a.builder.unary(kind, a.value())


def _clamp(a: _Arguments) -> str:
    low, high = a.given.get("min", a.given.get("min_val")), a.given.get("max", a.given.get("max_val"))
    if isinstance(low, str | Parameter) or isinstance(high, str | Parameter):
        raise Unknown
    return a.builder.clip(a.value(), -math.inf if low is None else low, math.inf if high is None else high)


def _softmax(a: _Arguments, kind: str) -> str:
    return a.builder.unary(kind, a.value(), axis=int(a["dim"]) % len(a.shape))


def _elu(a: _Arguments) -> str:
    if a["input_scale"] != 1:
        raise Unknown
    return a.builder.unary("elu", a.value(), alpha=float(a["alpha"]), scale=float(a["scale"]))


def _pow(a: _Arguments) -> str:
    exponent, x = a["exponent"], a.value()
    return a.builder.gated(x, x) if exponent == 2 else a.builder.unary("pow", x, exponent=float(exponent))


def _softplus(a: _Arguments) -> str:
    if a["beta"] != 1 or a["threshold"] != 20:
        raise Unknown
    return a.builder.unary("softplus", a.value())


def _prelu(a: _Arguments) -> str:
    return a.builder.emit("prelu", [a.value()], a.shape, parameters={"weight": a.constant("weight")})


def _pool(a: _Arguments, kind: str) -> list[Operand]:
    kernel = _many(a["kernel_size"], 2)
    window = {
        "strides": _many(a["stride"], 2) if a["stride"] else kernel,
        "dilations": _many(a.given.get("dilation", 1), 2),
        "pads": _many(a["padding"], 2) * 2,
    }
    if a.given.get("divisor_override") is not None:
        raise Unknown
    counted = bool(a.given.get("count_include_pad", False))
    shape = a.builder.shapes[a.value()]
    attributes = pool_attributes(shape, kind, kernel, window, bool(a["ceil_mode"]), counted)
    value = a.builder.emit(kind, [a.value()], a.shape, **attributes)
    return [value, *(a.builder.new_value(each) for each in a.shapes[1:])]


def _adaptive(a: _Arguments, kind: str) -> list[Operand]:
    """A pooling to a given size: where that divides the map, it has one window."""
    shape, out = a.builder.shapes[a.value()], a.shape[-2:]
    if shape is None or any(length % parts for length, parts in zip(shape[-2:], out, strict=True)):
        raise Unknown
    if len(shape) != 4:
        raise Unknown
    kernel = tuple(length // parts for length, parts in zip(shape[-2:], out, strict=True))
    window = {"strides": kernel, "dilations": (1, 1), "pads": (0, 0, 0, 0)}
    attributes = pool_attributes(shape, kind, kernel, window, False, False)
    value = a.builder.emit(kind, [a.value()], a.shape, **attributes)
    return [value, *(a.builder.new_value(each) for each in a.shapes[1:])]


def _reduce(a: _Arguments, kind: str) -> str:
    a.floats()
    return a.builder.reduce(kind, a.value(), tuple(a["dim"] or ()), bool(a["keepdim"]))


def _reshape(a: _Arguments) -> str:
    return a.builder.emit("reshape", [a.value()], a.shape)


def _permute(a: _Arguments) -> str:
    perm = tuple(int(axis) % len(a.shape) for axis in a["dims"])
    return a.builder.emit("transpose", [a.value()], a.shape, perm=perm)


def _transpose(a: _Arguments) -> str:
    rank = len(a.shape)
    first, second = (0, 1) if a.name == "t" else (int(a["dim0"]) % rank, int(a["dim1"]) % rank)
    perm = list(range(rank))
    perm[first], perm[second] = second, first
    return a.builder.emit("transpose", [a.value()], a.shape, perm=tuple(perm))


def _cat(a: _Arguments) -> str:
    tensors = a["tensors"]
    if not all(isinstance(each, str) for each in tensors):
        raise Unknown
    return a.builder.emit("concat", tensors, a.shape, axis=int(a["dim"]) % len(a.shape))


def _split(a: _Arguments) -> list[Operand]:
    shape = a.builder.shapes[a.value()]
    axis = int(a["dim"]) % len(a.shape)
    parts: list[Operand] = []
    start = 0
    for each in a.shapes:
        parts.append(a.builder.slice(a.value(), axis, start, start + each[axis]))
        start += each[axis]
    if shape is None or start != shape[axis]:
        raise Unknown
    return parts


def _slice(a: _Arguments) -> str:
    end = LARGEST if a["end"] is None else int(a["end"])
    return a.builder.slice(a.value(), int(a["dim"]), int(a["start"] or 0), end, int(a["step"]))


def _select(a: _Arguments) -> str:
    shape = a.builder.shapes[a.value()]
    if shape is None:
        raise Unknown
    axis = int(a["dim"]) % len(shape)
    place = int(a["index"]) % shape[axis]
    return a.builder.emit("reshape", [a.builder.slice(a.value(), axis, place, place + 1)], a.shape)


def _pad(a: _Arguments) -> str:
    """torch counts from the last axis."""
    pads, rank = list(a["pad"]), len(a.shape)
    begin, end = [0] * rank, [0] * rank
    for place in range(len(pads) // 2):
        begin[rank - 1 - place], end[rank - 1 - place] = int(pads[2 * place]), int(pads[2 * place + 1])
    value = float(a.given.get("value", 0.0) or 0.0)
    modes = {"constant_pad_nd": "constant", "reflection_pad2d": "reflect", "replication_pad2d": "edge"}
    given = a.given.get("pad", a.given.get("padding"))
    if given is None:
        raise Unknown
    return a.builder.emit("pad", [a.value()], a.shape, pads=(*begin, *end), mode=modes[a.name], value=value)


def _expand(a: _Arguments) -> str:
    if a.shape != a.builder.shapes[a.value()]:
        raise Unknown
    return a.value()


def _topk(a: _Arguments) -> list[Operand]:
    a.builder.emit(
        "topk",
        [a.value()],
        a.shape,
        more_outputs=a.shapes[1:],
        k=int(a["k"]),
        axis=int(a["dim"]) % len(a.shape),
        largest=bool(a["largest"]),
        sorted=bool(a["sorted"]),
    )
    return list(a.builder.ops[-1].outputs)


def _copied(a: _Arguments) -> Operand:
    """A copy in another type: exact into floats."""
    operand = a["self"]
    if a.dtypes[0] not in FLOATS:
        raise Unknown
    return operand if isinstance(operand, str | Parameter) else a.value()


def _as_strided(a: _Arguments) -> str:
    """Axes of length one may have any stride; PyTorch restores the memory format of pooled maps in this way."""
    if a.shape != a.builder.shapes[a.value()] or a["storage_offset"]:
        raise Unknown
    dense = 1
    for length, stride in zip(reversed(a.shape), reversed(a["stride"]), strict=True):
        if length != 1 and stride != dense:
            raise Unknown
        dense *= length
    return a.value()


def _same(a: _Arguments) -> str:
    return a.value("input") if "input" in a.given else a.value()


def _handler(function: Callable[..., Any], **fixed: Any) -> Handler:
    return lambda call: function(_Arguments(call), **fixed)


_identity = _handler(_same)
ATEN: dict[str, Handler] = {
    "convolution": _handler(_convolution),
    "addmm": _handler(_addmm),
    "mm": _handler(_matmul),
    "bmm": _handler(_matmul),
    "linear": _handler(_linear),
    "native_batch_norm": _handler(_batch_norm),
    "_native_batch_norm_legit_no_training": _handler(_batch_norm),
    "native_layer_norm": _handler(_layer_norm),
    "native_group_norm": _handler(_group_norm),
    **{name: _handler(_binary, kind=name) for name in ("add", "sub", "mul", "div")},
    "rsub": _handler(_reversed_sub),
    "maximum": _handler(_several, kind="max"),
    "minimum": _handler(_several, kind="min"),
    "relu": _handler(lambda a: a.builder.clip(a.value())),
    **{name: _handler(_clamp) for name in ("clamp", "clamp_min", "clamp_max", "hardtanh")},
    **{
        name: _handler(_unary, kind=name)
        for name in ("sigmoid", "tanh", "erf", "exp", "log", "sqrt", "reciprocal", "abs")
    },
    "softplus": _handler(_softplus),
    "leaky_relu": _handler(lambda a: a.builder.unary("leaky_relu", a.value(), alpha=float(a["negative_slope"]))),
    "elu": _handler(_elu),
    "celu": _handler(lambda a: a.builder.unary("celu", a.value(), alpha=float(a["alpha"]))),
    "pow": _handler(_pow),
    "neg": _handler(lambda a: a.builder.times(a.value(), -1.0)),
    "silu": _handler(lambda a: a.builder.silu(a.value())),
    "gelu": _handler(lambda a: a.builder.gelu(a.value(), a["approximate"])),
    "mish": _handler(lambda a: a.builder.mish(a.value())),
    "hardsigmoid": _handler(lambda a: a.builder.hard_sigmoid(a.value())),
    "hardswish": _handler(lambda a: a.builder.gated(a.value(), a.builder.hard_sigmoid(a.value()))),
    "_prelu_kernel": _handler(_prelu),
    "_softmax": _handler(_softmax, kind="softmax"),
    "_log_softmax": _handler(_softmax, kind="log_softmax"),
    "max_pool2d_with_indices": _handler(_pool, kind="max_pool"),
    "avg_pool2d": _handler(_pool, kind="avg_pool"),
    "_adaptive_avg_pool2d": _handler(_adaptive, kind="avg_pool"),
    "adaptive_max_pool2d": _handler(_adaptive, kind="max_pool"),
    "mean": _handler(_reduce, kind="mean"),
    "amax": _handler(_reduce, kind="amax"),
    "sum": _handler(_reduce, kind="sum"),
    **{
        name: _handler(_reshape)
        for name in ("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "_reshape_alias", "flatten")
    },
    "permute": _handler(_permute),
    "transpose": _handler(_transpose),
    "t": _handler(_transpose),
    "cat": _handler(_cat),
    **{name: _handler(_split) for name in ("split", "split_with_sizes", "unsafe_split", "chunk", "unsafe_chunk")},
    "slice": _handler(_slice),
    "select": _handler(_select),
    "constant_pad_nd": _handler(_pad),
    "expand": _handler(_expand),
    "as_strided": _handler(_as_strided),
    "topk": _handler(_topk),
    "_to_copy": _handler(_copied),
    **dict.fromkeys(("detach", "alias", "clone", "contiguous", "lift_fresh", "dropout"), _identity),
}
