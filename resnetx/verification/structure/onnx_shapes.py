"""The operators of ONNX that pool, move, cut and convert: their numbers are those of the input, or averages of them."""

import math
from functools import partial
from typing import Any

import numpy as np
from onnx import TensorProto

from resnetx.verification.structure.builder import Operand, Unknown
from resnetx.verification.structure.onnx_constants import along, resolved
from resnetx.verification.structure.onnx_node import FLOATS, Node, Translation
from resnetx.verification.structure.parameters import Parameter, constant

ROUNDED: dict[int, str] = {TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}
# For each integer type, the bits of a number and whether it has a sign.
BITS: dict[int, tuple[int, bool]] = {
    TensorProto.BOOL: (1, False),
    **{number: (bits, False) for number, bits in ((2, 8), (4, 16), (12, 32), (13, 64))},
    **{number: (bits, True) for number, bits in ((3, 8), (5, 16), (6, 32), (7, 64))},
}
# Operations whose results have both signs.
SIGNED_RESULTS = ("conv", "linear", "add", "sub", "mul", "affine")


def _pool(node: Node, kind: str) -> str:
    if len([name for name in node.node.output if name]) > 1:
        raise Unknown
    kernel = node.integers("kernel_shape")
    if kernel is None:
        raise Unknown
    window = node.window(kernel)
    ceil = bool(node.attributes.get("ceil_mode", 0))
    counted = bool(node.attributes.get("count_include_pad", 0))
    return pooled(node, kind, kernel, window, ceil, counted)


def pooled(
    node: Node, kind: str, kernel: tuple[int, ...], window: dict[str, tuple[int, ...]], ceil: bool, counted: bool
) -> str:
    attributes = pool_attributes(node.input_shape(), kind, kernel, window, ceil, counted)
    return node.builder.emit(kind, [node.floats()], node.shape, **attributes)


def pool_attributes(
    shape: tuple[int, ...] | None,
    kind: str,
    kernel: tuple[int, ...],
    window: dict[str, tuple[int, ...]],
    ceil: bool,
    counted: bool,
) -> dict[str, Any]:
    """The attributes of a pooling, without what makes no difference for the size of its input."""
    if ceil and shape is not None:
        rank, pads = len(kernel), window["pads"]
        rest = [
            (length + pads[axis] + pads[rank + axis] - (kernel[axis] - 1) * window["dilations"][axis] - 1)
            % window["strides"][axis]
            for axis, length in enumerate(shape[2:])
        ]
        ceil = any(rest)
    attributes: dict[str, Any] = {"kernel": tuple(kernel), **window, "ceil": ceil}
    if kind == "avg_pool":
        attributes["count_include_pad"] = counted or not any(window["pads"])
    return attributes


def _reduce(node: Node, kind: str) -> str:
    axes = node.integers("axes", 1)
    if not axes and node.attributes.get("noop_with_empty_axes", 0):
        return node.value()
    return node.builder.reduce(kind, node.floats(), axes or (), bool(node.attributes.get("keepdims", 1)))


def _global(node: Node, kind: str) -> str:
    return node.builder.reduce(kind, node.floats(), tuple(range(2, len(node.known_shape()))), True)


def _reshape(node: Node) -> str:
    target = node.integers("shape", 1)
    if target is None:
        raise Unknown
    shape = resolved(target, node.known_shape(), bool(node.attributes.get("allowzero", 0)))
    return node.builder.emit("reshape", [node.value()], shape)


def _flatten(node: Node) -> str:
    shape = node.known_shape()
    axis = node.attributes.get("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    out = (math.prod(shape[:axis]), math.prod(shape[axis:]))
    return node.builder.emit("reshape", [node.value()], out)


def _squeeze(node: Node) -> str:
    shape = node.known_shape()
    axes = node.integers("axes", 1)
    gone = {axis % len(shape) for axis in axes} if axes else {axis for axis, size in enumerate(shape) if size == 1}
    if any(shape[axis] != 1 for axis in gone):
        raise Unknown
    return node.builder.emit("reshape", [node.value()], tuple(s for axis, s in enumerate(shape) if axis not in gone))


def _unsqueeze(node: Node) -> str:
    shape = list(node.known_shape())
    axes = node.integers("axes", 1) or ()
    for axis in sorted(axis % (len(shape) + len(axes)) for axis in axes):
        shape.insert(axis, 1)
    return node.builder.emit("reshape", [node.value()], tuple(shape))


def _transpose(node: Node) -> str:
    rank = len(node.known_shape())
    perm = node.integers("perm") or tuple(range(rank))[::-1]
    return node.builder.emit("transpose", [node.value()], node.shape, perm=perm)


def _concat(node: Node) -> str:
    values = [node.value(place) for place in range(len(node.operands))]
    return node.builder.emit("concat", values, node.shape, axis=node.attributes["axis"] % len(node.known_shape()))


def _slice(node: Node) -> str:
    shape = node.known_shape()
    starts, ends = node.integers("starts", 1), node.integers("ends", 2)
    if starts is None or ends is None:
        raise Unknown
    axes = node.integers("axes", 3) or tuple(range(len(starts)))
    steps = node.integers("steps", 4) or (1,) * len(starts)
    value = node.value()
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 0:
            raise Unknown
        value = node.builder.slice(value, axis, start, min(end, shape[axis]), step)
    return value


def _split(node: Node) -> list[Operand]:
    axis = node.attributes.get("axis", 0) % len(node.known_shape())
    parts: list[Operand] = []
    start = 0
    for shape in node.shapes:
        if shape is None:
            raise Unknown
        parts.append(node.builder.slice(node.value(), axis, start, start + shape[axis]))
        start += shape[axis]
    return parts


def _gather(node: Node) -> str:
    """One place of an axis, which disappears."""
    index, shape = node.constant(1), node.known_shape()
    axis = node.attributes.get("axis", 0) % len(shape)
    if index.shape != ():
        raise Unknown
    place = int(index.read()) % shape[axis]
    part = node.builder.slice(node.value(), axis, place, place + 1)
    return node.builder.emit("reshape", [part], (*shape[:axis], *shape[axis + 1 :]))


def _pad(node: Node) -> str:
    pads, shape = node.integers("pads", 1), node.known_shape()
    mode = node.attributes.get("mode", "constant")
    value = node.attributes["value"] if "value" in node.attributes else node.number(2, 0.0)
    axes = node.integers("axes", 3)
    if pads is None or axes is not None:
        raise Unknown
    out = tuple(s + pads[axis] + pads[len(shape) + axis] for axis, s in enumerate(shape))
    return node.builder.emit("pad", [node.value()], out, pads=pads, mode=mode, value=value)


def _expand(node: Node) -> str:
    """Where it makes no tensor larger, it does nothing."""
    target, shape = node.integers("shape", 1), node.known_shape()
    if target is None or np.broadcast_shapes(target, shape) != shape:
        raise Unknown
    return node.value()


def _dropout(node: Node) -> list[Operand]:
    training = node.operand(2)
    if training is not None and (isinstance(training, str) or training.read().any()):
        raise Unknown
    if len([name for name in node.node.output if name]) > 1:
        raise Unknown
    return [node.value()]


def _cast(node: Node) -> str:
    """Between float types it rounds, which is noted; from whole numbers it is exact if they fit."""
    source, to = node.types[0], int(node.attributes["to"])
    if to in FLOATS:
        if source in FLOATS or source in BITS:
            if to in ROUNDED and source not in ROUNDED:
                node.note(node.value(), ROUNDED[to])
            return node.value()
    elif source in BITS and to in BITS:
        (bits, sign), (room, signed) = BITS[source], BITS[to]
        if (room >= bits and sign == signed) or (signed and not sign and room > bits) or {source, to} == {6, 7}:
            return node.value()
    name = TensorProto.DataType.Name(to).lower()
    return node.builder.unary("cast", node.value(), to=name)


def _quantize(node: Node) -> str:
    scale, zero = node.constant(1), node.optional(2)
    rank, axis = len(node.known_shape()), node.attributes.get("axis", 1)
    steps = along(scale, rank, axis)
    offset = np.zeros((1,) * rank) if zero is None else along(zero, rank, axis)
    problem = None
    if not np.isfinite(steps).all() or not (steps > 0).all():
        problem = f"its scale is {float(steps.reshape(-1)[0]):.4g}; a scale must be finite and larger than 0"
    node.note(node.floats(), "int8", problem)
    node.quantized[node.node.output[0]] = (steps, offset)
    value = node.value()
    producer = next((op for op in reversed(node.builder.ops) if value in op.outputs), None)
    bits, signed = BITS.get(node.types[2], (8, False)) if zero is not None else (8, False)
    lowest = -(2.0 ** (bits - 1)) if signed else 0.0
    # A range that begins at zero is a ReLU, and quantizers remove the ReLU before it.
    if producer is not None and producer.kind in SIGNED_RESULTS and (offset == lowest).all():
        return node.builder.clip(value)
    return value


def _dequantize(node: Node) -> str:
    if node.node.input[0] not in node.quantized:
        raise Unknown
    rank, axis = len(node.known_shape()), node.attributes.get("axis", 1)
    steps, offset = node.quantized[node.node.input[0]]
    zero = node.optional(2)
    own = along(node.constant(1), rank, axis)
    own_offset = np.zeros((1,) * rank) if zero is None else along(zero, rank, axis)
    if np.array_equal(own, steps, equal_nan=True) and np.array_equal(own_offset, offset):
        return node.value()
    with np.errstate(all="ignore"):
        scale, shift = own / steps, (offset - own_offset) * own
    return node.builder.affine(node.value(), scale=constant("scale", scale), shift=constant("shift", shift))


def _resize(node: Node) -> str:
    if node.shape is None:
        raise Unknown
    given = node.attributes.get
    return node.builder.emit(
        "resize",
        [node.value()],
        node.shape,
        mode=given("mode", "nearest"),
        coordinates=given("coordinate_transformation_mode", "half_pixel"),
        antialias=bool(given("antialias", 0)),
    )


def _same(node: Node) -> Operand:
    operand = node.operand(0)
    if operand is None:
        raise Unknown
    return operand


SHAPES: dict[str, Translation] = {
    "MaxPool": partial(_pool, kind="max_pool"),
    "AveragePool": partial(_pool, kind="avg_pool"),
    "GlobalAveragePool": partial(_global, kind="mean"),
    "GlobalMaxPool": partial(_global, kind="amax"),
    "ReduceMean": partial(_reduce, kind="mean"),
    "ReduceMax": partial(_reduce, kind="amax"),
    "ReduceSum": partial(_reduce, kind="sum"),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Pad": _pad,
    "Expand": _expand,
    "Dropout": _dropout,
    "Identity": _same,
    "Cast": _cast,
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Resize": _resize,
}
__all__ = ["SHAPES", "Parameter", "pool_attributes"]
