"""Writes operations in the terms that both sides share; the readers of files and of networks translate into these."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from resnetx.verification.structure.affine import given
from resnetx.verification.structure.folding import computed, error_of, reshaped, scaled
from resnetx.verification.structure.graph import Graph, Op, Shape
from resnetx.verification.structure.parameters import NetworkParameter, Parameter, constant

Operand = str | Parameter
SQRT_HALF = math.sqrt(0.5)


class Unknown(Exception):
    """What an operation does can't be said in the terms of this package."""


class Builder:
    """Collects the operations of a graph; `layer` is the name of what is being translated."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.shapes: dict[str, Shape | None] = {}
        self.layer = ""

    def new_value(self, shape: Shape | None) -> str:
        name = f"%{len(self.shapes)}"
        self.shapes[name] = shape
        return name

    def emit(
        self,
        kind: str,
        inputs: Sequence[str],
        shape: Shape | None,
        *,
        parameters: dict[str, NetworkParameter] | None = None,
        more_outputs: Sequence[Shape | None] = (),
        **attributes: Any,
    ) -> str:
        """Add an operation and return its (first) output; `more_outputs` are the shapes of further ones."""
        outputs = tuple(self.new_value(each) for each in (shape, *more_outputs))
        self.ops.append(
            Op(
                kind=kind,
                inputs=tuple(inputs),
                outputs=outputs,
                attributes=attributes,
                parameters=parameters or {},
                layer=self.layer,
                sources=(self.layer,),
            )
        )
        return outputs[0]

    def graph(self, inputs: Sequence[str], outputs: Sequence[str]) -> Graph:
        return Graph(inputs=tuple(inputs), outputs=tuple(outputs), ops=self.ops, shapes=self.shapes)

    # Arithmetic

    def affine(self, x: str, *, scale: Parameter | None = None, shift: Parameter | None = None) -> str:
        """x * scale + shift, both of which broadcast to x or beyond."""
        shape = self.shapes[x]
        rank = None if shape is None else len(shape)

        def aligned(parameter: Parameter | None) -> Parameter | None:
            if parameter is None or rank is None:
                return parameter
            if len(parameter.shape) > rank:
                raise Unknown
            line = (1,) * (rank - len(parameter.shape)) + parameter.shape
            # One number for all channels is one number.
            return reshaped(parameter, line)

        parameters = given(scale=aligned(scale), shift=aligned(shift))
        out = shape
        if shape is not None:
            out = np.broadcast_shapes(shape, *(parameter.shape for parameter in parameters.values()))
        return self.emit("affine", [x], out, parameters=parameters)

    def times(self, x: str, factor: float, offset: float = 0.0) -> str:
        """x * factor + offset."""
        scale = None if factor == 1.0 else constant(f"{self.layer}.factor", np.asarray(factor))
        shift = None if offset == 0.0 else constant(f"{self.layer}.offset", np.asarray(offset))
        return self.affine(x, scale=scale, shift=shift)

    def binary(self, kind: str, first: Operand, second: Operand, shape: Shape | None) -> str:
        """add, sub, mul or div, one side of which may be a constant."""
        if isinstance(first, str) and isinstance(second, str):
            return self.emit(kind, [first, second], shape)
        if isinstance(first, Parameter) and isinstance(second, Parameter):
            raise Unknown
        if any(isinstance(each, Parameter) and each.from_shape for each in (first, second)):
            raise Unknown
        if kind in ("add", "mul") and isinstance(first, Parameter):
            first, second = second, first
        if isinstance(first, str) and isinstance(second, Parameter):
            if kind == "add":
                return self.affine(first, shift=second)
            if kind == "sub":
                return self.affine(first, shift=scaled(second, np.asarray(-1.0)))
            if kind == "mul":
                return self.affine(first, scale=second)
            if kind == "div":
                return self.affine(first, scale=_inverse(second))
        elif isinstance(first, Parameter) and isinstance(second, str):
            if kind == "sub":
                return self.affine(second, scale=constant("minus one", np.asarray(-1.0)), shift=first)
            if kind == "div":
                return self.affine(self.emit("reciprocal", [second], self.shapes[second]), scale=first)
        raise Unknown

    # Layers

    def linear(self, x: str, weight: Parameter, bias: Parameter | None, shape: Shape | None) -> str:
        """`weight` is (outputs, inputs)."""
        if len(weight.shape) != 2 or weight.from_shape:
            raise Unknown
        if bias is not None and len(bias.shape) != 1:
            if int(np.prod(bias.shape)) != bias.shape[-1]:
                raise Unknown
            bias = reshaped(bias, bias.shape[-1:])
        if bias is not None and bias.shape != weight.shape[:1]:
            raise Unknown
        parameters = given(weight=weight, bias=bias)
        before = self.shapes[x]
        if before is None or shape is None or len(before) == 2:
            return self.emit("linear", [x], shape, parameters=parameters)
        # It works on the last axis alone, however the others are arranged: as one, to be the same everywhere.
        rows = math.prod(before[:-1])
        flat = self.emit("reshape", [x], (rows, before[-1]))
        product = self.emit("linear", [flat], (rows, shape[-1]), parameters=parameters)
        return self.emit("reshape", [product], shape)

    def batch_norm(
        self,
        x: str,
        gamma: Parameter | None,
        beta: Parameter | None,
        mean: Parameter,
        variance: Parameter,
        eps: float,
    ) -> str:
        """As one factor and one shift for each channel."""
        shape = self.shapes[x]
        if shape is None:
            raise Unknown
        line = (1, -1, *(1,) * (len(shape) - 2))
        with np.errstate(all="ignore"):
            root = 1 / np.sqrt(variance.value() + eps)
            scale = root if gamma is None else gamma.value() * root
            moved = mean.value() * scale
            shift = -moved if beta is None else beta.value() - moved
        terms = np.abs(moved) if beta is None else np.abs(moved) + np.abs(beta.value())
        storage = variance.storage if gamma is None else gamma.storage
        relative = _relative_error(variance) + (0.0 if gamma is None else _relative_error(gamma))
        error = np.abs(moved) * (relative + _relative_error(mean))
        error = error if beta is None else error + error_of(beta)
        name = gamma.name if gamma is not None else f"{self.layer}.weight"
        factor = computed(
            name, scale, magnitude=np.abs(scale), error=np.abs(scale) * relative, storage=storage, foldings=1
        )
        offset = computed(
            beta.name if beta is not None else f"{self.layer}.bias",
            shift,
            magnitude=terms,
            error=error,
            storage=storage,
            foldings=1,
        )
        channels = scale.shape[0]
        line = (1, channels, *(1,) * (len(shape) - 2))
        return self.affine(x, scale=reshaped(factor, line), shift=reshaped(offset, line))

    def normalize(
        self, x: str, axes: Sequence[int], eps: float, scale: Parameter | None, shift: Parameter | None
    ) -> str:
        """Layer normalization over the last axes, as normalizing, scaling and shifting."""
        normal = self.emit("normalize", [x], self.shapes[x], axes=tuple(axes), eps=float(np.float32(eps)))
        return normal if scale is None and shift is None else self.affine(normal, scale=scale, shift=shift)

    def group_norm(self, x: str, groups: int, eps: float, scale: Parameter | None, shift: Parameter | None) -> str:
        shape = self.shapes[x]
        if shape is None:
            raise Unknown
        normal = self.emit("group_normalize", [x], shape, groups=groups, eps=float(np.float32(eps)))
        line = (1, shape[1], *(1,) * (len(shape) - 2))
        parts = [None if each is None else reshaped(each, line) for each in (scale, shift)]
        return normal if scale is None and shift is None else self.affine(normal, scale=parts[0], shift=parts[1])

    # Activations

    def clip(self, x: str, low: float = 0.0, high: float = math.inf) -> str:
        return self.emit("clip", [x], self.shapes[x], min=float(low), max=float(high))

    def unary(self, kind: str, x: str, **attributes: Any) -> str:
        return self.emit(kind, [x], self.shapes[x], **attributes)

    def hard_sigmoid(self, x: str, alpha: float = 1 / 6, beta: float = 0.5) -> str:
        return self.clip(self.times(x, alpha, beta), 0.0, 1.0)

    def gated(self, x: str, gate: str) -> str:
        return self.emit("mul", [x, gate], self.shapes[x])

    def silu(self, x: str, alpha: float = 1.0) -> str:
        return self.gated(x, self.unary("sigmoid", x if alpha == 1.0 else self.times(x, alpha)))

    def gelu(self, x: str, approximate: str = "none") -> str:
        if approximate != "none":
            return self.unary("gelu_tanh", x)
        return self.gated(x, self.times(self.unary("erf", self.times(x, SQRT_HALF)), 0.5, 0.5))

    def mish(self, x: str) -> str:
        return self.gated(x, self.unary("tanh", self.unary("softplus", x)))

    # Shapes

    def reduce(self, kind: str, x: str, axes: Sequence[int], keep: bool) -> str:
        """mean, amax or sum over axes."""
        shape = self.shapes[x]
        if shape is None:
            raise Unknown
        over = tuple(sorted({axis % len(shape) for axis in axes})) if axes else tuple(range(len(shape)))
        whole = tuple(1 if axis in over else length for axis, length in enumerate(shape))
        value = self.emit(kind, [x], whole, axes=over)
        left = tuple(length for axis, length in enumerate(shape) if axis not in over)
        return value if keep else self.emit("reshape", [value], left)

    def slice(self, x: str, axis: int, start: int, end: int, step: int = 1) -> str:
        """One axis from `start` to `end`, which may count from the end."""
        shape = self.shapes[x]
        if shape is None:
            raise Unknown
        axis %= len(shape)
        first, last, step = slice(start, end, step).indices(shape[axis])
        length = len(range(first, last, step))
        out = (*shape[:axis], length, *shape[axis + 1 :])
        return self.emit("slice", [x], out, axis=axis, start=first, end=first + length * step, step=step)


def _inverse(parameter: Parameter) -> Parameter:
    with np.errstate(all="ignore"):
        value = 1 / parameter.value()
        error = error_of(parameter) * value**2
    return computed(parameter.name, value, magnitude=np.abs(value), error=error, storage=parameter.storage, foldings=1)


def _relative_error(parameter: Parameter) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(np.nan_to_num(error_of(parameter) / np.abs(parameter.value()), nan=0.0, posinf=0.0))
