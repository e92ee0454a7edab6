"""The operators of PyTorch that pool, move, cut and copy."""

import numpy as np

from resnetx.verification.structure.aten_call import FLOATS, Arguments, Handler, handler, many
from resnetx.verification.structure.builder import Operand, Unknown
from resnetx.verification.structure.onnx_shapes import pool_attributes
from resnetx.verification.structure.parameters import Parameter

LARGEST = np.iinfo(np.int64).max


def _pool(a: Arguments, kind: str) -> list[Operand]:
    kernel = many(a["kernel_size"], 2)
    window = {
        "strides": many(a["stride"], 2) if a["stride"] else kernel,
        "dilations": many(a.given.get("dilation", 1), 2),
        "pads": many(a["padding"], 2) * 2,
    }
    if a.given.get("divisor_override") is not None:
        raise Unknown
    counted = bool(a.given.get("count_include_pad", False))
    shape = a.builder.shapes[a.value()]
    attributes = pool_attributes(shape, kind, kernel, window, bool(a["ceil_mode"]), counted)
    value = a.builder.emit(kind, [a.value()], a.shape, **attributes)
    return [value, *(a.builder.new_value(each) for each in a.shapes[1:])]


def _adaptive(a: Arguments, kind: str) -> list[Operand]:
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


def _reduce(a: Arguments, kind: str) -> str:
    a.floats()
    return a.builder.reduce(kind, a.value(), tuple(a["dim"] or ()), bool(a["keepdim"]))


def _reshape(a: Arguments) -> str:
    return a.builder.emit("reshape", [a.value()], a.shape)


def _permute(a: Arguments) -> str:
    perm = tuple(int(axis) % len(a.shape) for axis in a["dims"])
    return a.builder.emit("transpose", [a.value()], a.shape, perm=perm)


def _transpose(a: Arguments) -> str:
    rank = len(a.shape)
    first, second = (0, 1) if a.name == "t" else (int(a["dim0"]) % rank, int(a["dim1"]) % rank)
    perm = list(range(rank))
    perm[first], perm[second] = second, first
    return a.builder.emit("transpose", [a.value()], a.shape, perm=tuple(perm))


def _cat(a: Arguments) -> str:
    tensors = a["tensors"]
    if not all(isinstance(each, str) for each in tensors):
        raise Unknown
    return a.builder.emit("concat", tensors, a.shape, axis=int(a["dim"]) % len(a.shape))


def _split(a: Arguments) -> list[Operand]:
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


def _slice(a: Arguments) -> str:
    end = LARGEST if a["end"] is None else int(a["end"])
    return a.builder.slice(a.value(), int(a["dim"]), int(a["start"] or 0), end, int(a["step"]))


def _select(a: Arguments) -> str:
    shape = a.builder.shapes[a.value()]
    if shape is None:
        raise Unknown
    axis = int(a["dim"]) % len(shape)
    place = int(a["index"]) % shape[axis]
    return a.builder.emit("reshape", [a.builder.slice(a.value(), axis, place, place + 1)], a.shape)


def _pad(a: Arguments) -> str:
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


def _expand(a: Arguments) -> str:
    if a.shape != a.builder.shapes[a.value()]:
        raise Unknown
    return a.value()


def _topk(a: Arguments) -> list[Operand]:
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


def _copied(a: Arguments) -> Operand:
    """A copy in another type: exact into floats."""
    operand = a["self"]
    if a.dtypes[0] not in FLOATS:
        raise Unknown
    return operand if isinstance(operand, str | Parameter) else a.value()


def _as_strided(a: Arguments) -> str:
    """Axes of length one may have any stride; PyTorch restores the memory format of pooled maps in this way."""
    if a.shape != a.builder.shapes[a.value()] or a["storage_offset"]:
        raise Unknown
    dense = 1
    for length, stride in zip(reversed(a.shape), reversed(a["stride"]), strict=True):
        if length != 1 and stride != dense:
            raise Unknown
        dense *= length
    return a.value()


def _same(a: Arguments) -> str:
    return a.value("input") if "input" in a.given else a.value()


IDENTITY = handler(_same)
ATEN_SHAPES: dict[str, Handler] = {
    "max_pool2d_with_indices": handler(_pool, kind="max_pool"),
    "avg_pool2d": handler(_pool, kind="avg_pool"),
    "_adaptive_avg_pool2d": handler(_adaptive, kind="avg_pool"),
    "adaptive_max_pool2d": handler(_adaptive, kind="max_pool"),
    "mean": handler(_reduce, kind="mean"),
    "amax": handler(_reduce, kind="amax"),
    "sum": handler(_reduce, kind="sum"),
    **{
        name: handler(_reshape)
        for name in ("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "_reshape_alias", "flatten")
    },
    "permute": handler(_permute),
    "transpose": handler(_transpose),
    "t": handler(_transpose),
    "cat": handler(_cat),
    **{name: handler(_split) for name in ("split", "split_with_sizes", "unsafe_split", "chunk", "unsafe_chunk")},
    "slice": handler(_slice),
    "select": handler(_select),
    "constant_pad_nd": handler(_pad),
    "expand": handler(_expand),
    "as_strided": handler(_as_strided),
    "topk": handler(_topk),
    "_to_copy": handler(_copied),
    **dict.fromkeys(("detach", "alias", "clone", "contiguous", "lift_fresh", "dropout"), IDENTITY),
}
