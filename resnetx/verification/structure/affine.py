"""Scaling and shifting by constants, folded into the operation before it, in float64."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from resnetx.verification.structure.folding import coarser, scaled, sum_of
from resnetx.verification.structure.graph import Graph, Op
from resnetx.verification.structure.parameters import NetworkParameter, Parameter, full

Parameters = Mapping[str, NetworkParameter]


def parts(op: Op) -> tuple[Parameter | None, Parameter | None]:
    """The scale and the shift of an affine operation, or the weight's and bias's place in others."""
    found = op.parameters.get("scale"), op.parameters.get("shift")
    return tuple(None if item is None else full(item) for item in found)  # type: ignore[return-value]


def given(**parameters: Parameter | None) -> dict[str, NetworkParameter]:
    return {name: value for name, value in parameters.items() if value is not None}


def number(parameter: Parameter | None, default: float) -> float | None:
    """The one number that a parameter consists of, or None if it has several."""
    if parameter is None:
        return default
    if int(np.prod(parameter.shape)) != 1:
        # A factor for each of three colours may be the same number three times.
        return None
    return float(parameter.value().reshape(()))


def scale_only(op: Op) -> float | None:
    """The factor of an affine operation that does nothing but multiply by one number."""
    scale, shift = parts(op)
    return number(scale, 1.0) if op.kind == "affine" and shift is None and scale is not None else None


def is_identity(op: Op) -> bool:
    scale, shift = parts(op)
    ones = scale is None or (int(np.prod(scale.shape)) == 1 and number(scale, 1.0) == 1.0)
    none = shift is None or (int(np.prod(shift.shape)) == 1 and number(shift, 0.0) == 0.0)
    return op.kind == "affine" and ones and none


def after_affine(op: Op, before: Op) -> Op:
    """Two affine operations as one: (x * a + b) * c + d."""
    first, start = parts(before)
    scale, shift = parts(op)
    factor = None if scale is None else scale.value()
    product = first
    if scale is not None:
        product = scale if first is None else _scaled(first, scale)
    merged = given(scale=product, shift=sum_of(_name(start, shift), start, factor, shift))
    return replace(op, inputs=before.inputs, parameters=merged, sources=before.sources + op.sources)


def after_layer(op: Op, before: Op, graph: Graph) -> Op | None:
    """A convolution or matrix product with the affine operation behind it folded in, where it is one per channel."""
    weight = full(before.parameters["weight"])
    if before.attributes.get("transposed"):
        if before.attributes["groups"] != 1:
            return None
        filters = 1
    else:
        filters = 0
    channels = weight.shape[filters]
    rank = graph.rank(before.output)
    if rank is None:
        return None
    axis = rank - 1 if before.kind == "linear" else 1
    vectors = [_per_channel(item, axis, rank, channels) for item in parts(op)]
    if any(vector is None and item is not None for vector, item in zip(vectors, parts(op), strict=True)):
        return None
    scale, shift = vectors
    bias = full(before.parameters["bias"]) if "bias" in before.parameters else None
    factor = None if scale is None else scale.value()
    if scale is not None and factor is not None:
        line = [1] * len(weight.shape)
        line[filters] = channels
        weight = replace(scaled(weight, factor.reshape(line)), storage=coarser(weight.storage, scale.storage))
    bias = sum_of(f"{before.layer}.bias", bias, factor, shift)
    return replace(
        before,
        outputs=op.outputs,
        parameters=given(weight=weight, bias=bias),
        sources=before.sources + op.sources,
        unfolded=before,
    )


def _scaled(first: Parameter, second: Parameter) -> Parameter:
    """The product of two parameters that broadcast to each other."""
    shape = np.broadcast_shapes(first.shape, second.shape)
    if shape != first.shape:
        first, second = second, first
    if shape == first.shape:
        return replace(scaled(first, second.value()), storage=coarser(first.storage, second.storage))
    product = first.value() * second.value()
    return Parameter(name=first.name, shape=shape, read=lambda: product, foldings=first.foldings + second.foldings + 1)


def _per_channel(parameter: Parameter | None, axis: int, rank: int, channels: int) -> Parameter | None:
    """The parameter as a vector of one number per channel, or None if it differs along other axes too."""
    if parameter is None:
        return None
    shape = (1,) * (rank - len(parameter.shape)) + parameter.shape
    size = int(np.prod(shape))
    if len(shape) != rank or size not in (1, channels) or (size > 1 and shape[axis] != size):
        return None
    value = np.broadcast_to(parameter.value().reshape(-1), (channels,))

    def line(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else np.broadcast_to(np.asarray(array).reshape(-1), (channels,))

    return replace(
        parameter,
        shape=(channels,),
        read=lambda: value,
        factor=None,
        step=line(parameter.step if parameter.factor is None else _times(parameter.step, parameter.factor)),
        magnitude=line(parameter.magnitude),
        error=line(parameter.error),
    )


def _times(first: np.ndarray | None, second: np.ndarray) -> np.ndarray | None:
    return None if first is None else first * np.abs(second)


def _name(*parameters: Parameter | None) -> str:
    return next((parameter.name for parameter in parameters if parameter is not None), "")
