"""Decides whether a few operations of the file compute what other ones of the network do, by numbers of every size."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from resnetx.verification.structure import affine
from resnetx.verification.structure.graph import Op, Shape
from resnetx.verification.structure.parameters import full

# Far more than an honest rewrite of a few operations costs in float64, with constants that were rounded to float32.
RELATIVE, ABSOLUTE = 2e-6, 1e-7
MAX_ELEMENTS = 2**21
# ONNX operators that its own evaluator is asked about: their results are no larger than the shapes inferred for them.
# fmt: off
BY_ONNX = frozenset((
    "Gather", "GatherND", "GatherElements", "Slice", "Expand", "Where", "Min", "Max", "Mod", "Range", "Concat",
    "Cast", "ConstantOfShape", "Shape", "Round", "Floor", "Ceil", "Sign", "Hardmax", "Einsum", "Greater", "Less",
    "Equal", "Add", "Sub", "Mul", "Div", "MatMul", "Unsqueeze", "Squeeze", "Reshape", "Tile", "Trilu", "Not", "And",
    "Or",
))
# fmt: on
Array = np.ndarray


class NotEvaluable(Exception):
    """One of the operations is not among those that are known here."""


def equivalent(
    network: Sequence[Op],
    file: Sequence[Op],
    *,
    frontier: Mapping[str, str],
    shapes: tuple[Mapping[str, Shape | None], Mapping[str, Shape | None]],
    results: tuple[str, str],
) -> bool | None:
    """Whether both give the same result; None if that can't be computed here.

    `frontier` has the file's value for each of the network's that is known to be the same; `shapes` and `results` are
    the network's and the file's.
    """
    random = np.random.default_rng(9)
    needed = {name for op in network for name in op.inputs} | {results[0]}
    given = {name for op in file for name in op.inputs} | {results[1]}
    feeds = {name: value for name, value in frontier.items() if name in needed or value in given}
    known = [shapes[0].get(name) for name in feeds]
    if any(shape is None for shape in known) or sum(int(np.prod(shape or ())) for shape in known) > MAX_ELEMENTS:
        return None
    for size in ("ordinary", "faint", "any"):
        loud = size == "any"
        left: dict[str, Array] = {}
        right: dict[str, Array] = {}
        for name, value in feeds.items():
            array = random.standard_normal(shapes[0][name] or ()) * 3
            if size == "faint":
                array *= 10.0 ** random.uniform(-9, -3, array.shape)
            elif loud:
                array = np.sign(array) * 10.0 ** random.uniform(-9, 9, array.shape)
            # Two of the network's values may be one of the file's.
            left[name] = right.setdefault(value, array)
        try:
            expected = _result(network, left, results[0], shapes[0])
            found = _result(file, right, results[1], shapes[1])
        except (NotEvaluable, ValueError, IndexError, KeyError, TypeError, StopIteration):
            return None
        if expected.shape != found.shape:
            return False
        with np.errstate(all="ignore"):
            unit = float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)) if size == "faint" else 1.0
            allowed = RELATIVE * np.maximum(np.abs(expected), np.abs(found)) + ABSOLUTE * min(unit, 1.0)
            close = np.abs(expected - found) <= allowed
            # A sum of exponentials overflows where a softmax doesn't: that is for the numeric checks to judge.
            overflow = ~np.isfinite(found) if loud else np.zeros(found.shape, bool)
        if not (close | overflow | (np.isnan(expected) & np.isnan(found)) | (expected == found)).all():
            return False
    return True


def _result(ops: Sequence[Op], values: dict[str, Array], result: str, shapes: Mapping[str, Shape | None]) -> Array:
    pending = list(ops)
    with np.errstate(all="ignore"):
        while result not in values:
            ready = [op for op in pending if all(name in values for name in op.inputs)]
            if not ready:
                raise NotEvaluable
            for op in ready:
                target = shapes.get(op.output)
                if op.kind == "reshape" and target is not None:
                    values[op.output] = values[op.inputs[0]].reshape(target)
                elif op.node is not None:
                    values |= _by_onnx(op, values, shapes)
                elif op.kind in KINDS and len(op.outputs) == 1:
                    values[op.output] = KINDS[op.kind](op, [values[name] for name in op.inputs])
                else:
                    raise NotEvaluable
                pending = [other for other in pending if other is not op]
    return values[result]


def _by_onnx(op: Op, values: Mapping[str, Array], shapes: Mapping[str, Shape | None]) -> dict[str, Array]:
    """One standard operator that this package doesn't know, evaluated by ONNX's reference."""
    from onnx.reference import ReferenceEvaluator

    assert op.node is not None
    sizes = [math.prod(shape) if shape is not None else MAX_ELEMENTS + 1 for shape in map(shapes.get, op.outputs)]
    if op.node.op_type not in BY_ONNX or max(sizes) > MAX_ELEMENTS:
        raise NotEvaluable
    activations = iter(op.inputs)
    feeds: dict[str, Array] = {}
    for place, name in enumerate(op.node.input):
        constant = op.parameters.get(str(place))
        if constant is not None:
            array = full(constant).read()
            feeds[name] = array.astype(np.float64) if array.dtype.kind == "f" else array
        elif name:
            feeds[name] = values[next(activations)]
    try:
        results = ReferenceEvaluator(op.node).run(None, feeds)
    except Exception as error:  # an invalid node fails in whatever way its evaluator does
        raise NotEvaluable from error
    return dict(zip(op.outputs, map(np.asarray, results), strict=False))


def _affine(op: Op, inputs: Sequence[Array]) -> Array:
    scale, shift = affine.parts(op)
    value = inputs[0] if scale is None else inputs[0] * scale.value()
    return value if shift is None else value + shift.value()


def _softmax(x: Array, axis: int) -> Array:
    power = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(power / power.sum(axis, keepdims=True))


def _log_softmax(x: Array, axis: int) -> Array:
    moved = x - x.max(axis, keepdims=True)
    return np.asarray(moved - np.log(np.exp(moved).sum(axis, keepdims=True)))


def _elu(x: Array, alpha: float, scale: float) -> Array:
    return np.asarray(scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


def _erf(x: Array) -> Array:
    """numpy has none."""
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


def _gelu_tanh(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def _normalize(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    return np.asarray((x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps))


def _group_normalize(x: Array, groups: int, eps: float) -> Array:
    parts = x.reshape(x.shape[0], groups, -1)
    return np.asarray(_normalize(parts, (2,), eps).reshape(x.shape))


def _slice(op: Op, x: Array) -> Array:
    attributes = op.attributes
    places = [slice(None)] * x.ndim
    places[attributes["axis"]] = slice(attributes["start"], attributes["end"], attributes["step"])
    return x[tuple(places)]


def _pad(op: Op, x: Array) -> Array:
    pads, rank = op.attributes["pads"], x.ndim
    if min(pads) < 0:
        raise NotEvaluable
    widths = [(pads[axis], pads[rank + axis]) for axis in range(rank)]
    if op.attributes["mode"] == "constant":
        return np.pad(x, widths, constant_values=op.attributes["value"])
    return np.pad(x, widths, mode=op.attributes["mode"])


def _unary(function: Callable[..., Any]) -> Callable[[Op, Sequence[Array]], Array]:
    return lambda op, inputs: np.asarray(function(inputs[0], **op.attributes))


def _binary(function: Callable[[Array, Array], Any]) -> Callable[[Op, Sequence[Array]], Array]:
    return lambda op, inputs: np.asarray(function(inputs[0], inputs[1]))


KINDS: dict[str, Callable[[Op, Sequence[Array]], Array]] = {
    "affine": _affine,
    "clip": lambda op, inputs: np.clip(inputs[0], op.attributes["min"], op.attributes["max"]),
    "sigmoid": _unary(_sigmoid),
    "tanh": _unary(np.tanh),
    "erf": _unary(_erf),
    "exp": _unary(np.exp),
    "log": _unary(np.log),
    "sqrt": _unary(np.sqrt),
    "abs": _unary(np.abs),
    "reciprocal": _unary(lambda x: 1 / x),
    "softplus": _unary(lambda x: np.logaddexp(x, 0)),
    "softsign": _unary(lambda x: x / (1 + np.abs(x))),
    "leaky_relu": _unary(lambda x, alpha: np.where(x > 0, x, alpha * x)),
    "elu": _unary(_elu),
    "celu": _unary(lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))),
    "gelu_tanh": _unary(_gelu_tanh),
    "pow": _unary(lambda x, exponent: np.power(x, exponent)),
    "softmax": _unary(_softmax),
    "log_softmax": _unary(_log_softmax),
    "normalize": _unary(_normalize),
    "group_normalize": _unary(_group_normalize),
    "mean": _unary(lambda x, axes: x.mean(axes, keepdims=True)),
    "amax": _unary(lambda x, axes: x.max(axes, keepdims=True)),
    "sum": _unary(lambda x, axes: x.sum(axes, keepdims=True)),
    "transpose": _unary(lambda x, perm: np.transpose(x, perm)),
    "add": _binary(np.add),
    "sub": _binary(np.subtract),
    "mul": _binary(np.multiply),
    "div": _binary(np.divide),
    "max": _binary(np.maximum),
    "min": _binary(np.minimum),
    "matmul": _binary(np.matmul),
    "concat": lambda op, inputs: np.concatenate(inputs, op.attributes["axis"]),
    "slice": lambda op, inputs: _slice(op, inputs[0]),
    "pad": lambda op, inputs: _pad(op, inputs[0]),
}
