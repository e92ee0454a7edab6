"""Resize and Upsample: interpolation along each axis, by the coordinates and filters of the ONNX specification."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from resnetx.verification.evaluation.call import Call, Table, integers_in, normal_axis
from resnetx.verification.evaluation.limits import refuse_large


@dataclass(frozen=True, kw_only=True)
class Axis:
    """How one axis is resized."""

    dim: int
    size: int
    wanted: int
    scale: float
    region: tuple[float, float] = (0.0, 1.0)
    """Start and end of the region of interest, as parts of the axis."""


def _coordinates(axis: Axis, mode: str) -> Tensor:
    """Where each output element lies on the input's axis."""
    at = torch.arange(axis.wanted, dtype=torch.float64)
    size, wanted, scale = axis.size, axis.wanted, axis.scale
    if mode == "asymmetric":
        return at / scale
    if mode == "half_pixel":
        return (at + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (at + 0.5) / scale - 0.5 if wanted > 1 else torch.zeros_like(at)
    if mode == "tf_half_pixel_for_nn":
        return (at + 0.5) / scale
    if mode == "align_corners":
        return at * (size - 1) / (wanted - 1) if wanted > 1 else torch.zeros_like(at)
    if mode == "half_pixel_symmetric":
        # The exact size is a fraction; the rounded one lies in its middle.
        exact = scale * size
        return size / 2 * (1 - wanted / exact) + (at + 0.5) / scale - 0.5
    if mode == "tf_crop_and_resize":
        start, end = axis.region
        if wanted > 1:
            return start * (size - 1) + at * (end - start) * (size - 1) / (wanted - 1)
        return torch.full_like(at, 0.5 * (start + end) * (size - 1))
    raise NotImplementedError(f"the coordinates {mode!r}")


NEAREST: dict[str, Callable[[Tensor], Tensor]] = {
    "round_prefer_floor": lambda at: torch.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: torch.floor(at + 0.5),
    "floor": torch.floor,
    "ceil": torch.ceil,
}


def _nearest_mode(call: Call, axis: Axis) -> str:
    """Before opset 11 it was not specified; ONNX Runtime takes the element above where it leaves some out."""
    if call.opset >= 11:
        return call.text("nearest_mode", "round_prefer_floor")
    return "ceil" if axis.scale < 1 else "floor"


def _linear(distance: Tensor) -> Tensor:
    return (1 - distance.abs()).clamp(min=0)


def _cubic(a: float) -> Callable[[Tensor], Tensor]:
    def weight(distance: Tensor) -> Tensor:
        d = distance.abs()
        inner = (a + 2) * d**3 - (a + 3) * d**2 + 1
        outer = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        return torch.where(d <= 1, inner, torch.where(d < 2, outer, torch.zeros_like(d)))

    return weight


def _weights(call: Call, axis: Axis, at: Tensor) -> Tensor:
    """A matrix from the input's axis to the output's."""
    cubic = call.text("mode", "nearest") == "cubic"
    filter_ = _cubic(call.number("cubic_coeff_a", -0.75)) if cubic else _linear
    reach = 2 if cubic else 1
    # With antialiasing the filter widens as the image shrinks.
    shrink = min(axis.scale, 1.0) if call.integer("antialias", 0) else 1.0
    radius = math.ceil(reach / shrink)
    first = torch.floor(at).to(torch.int64) - radius + 1
    taps = first[:, None] + torch.arange(2 * radius)
    weights = filter_((taps - at[:, None]) * shrink)
    inside = (taps >= 0) & (taps < axis.size)
    if call.integer("exclude_outside", 0):
        weights = torch.where(inside, weights, torch.zeros_like(weights))
    if call.integer("exclude_outside", 0) or shrink < 1:
        weights = weights / weights.sum(1, keepdim=True)
    refuse_large([axis.wanted, axis.size])
    matrix = torch.zeros(axis.wanted, axis.size, dtype=torch.float64)
    return matrix.scatter_add_(1, taps.clamp(0, axis.size - 1), weights)


def _interpolate(call: Call, x: Tensor, axes: list[Axis]) -> Tensor:
    coordinates = call.text("coordinate_transformation_mode", "half_pixel" if call.opset >= 11 else "asymmetric")
    mode = call.text("mode", "nearest")
    outside: list[tuple[int, Tensor]] = []
    for axis in axes:
        at = _coordinates(axis, coordinates)
        if coordinates == "tf_crop_and_resize":
            outside.append((axis.dim, (at < 0) | (at > axis.size - 1)))
        elif axis.size == axis.wanted and axis.scale == 1:
            continue
        if mode == "nearest":
            # As far as float32 tells: a scale of 0.7 that is stored as 0.69999999 means its ties to be ties.
            places = NEAREST[_nearest_mode(call, axis)](at.to(torch.float32))
            x = x.index_select(axis.dim, places.to(torch.int64).clamp(0, axis.size - 1))
        elif mode in ("linear", "cubic", "bilinear"):
            values = x if x.is_floating_point() else x.to(torch.float64)
            matrix = _weights(call, axis, at).to(values.dtype)
            refuse_large([axis.wanted, x.numel() // max(axis.size, 1)])
            resized = torch.tensordot(matrix, values, dims=([1], [axis.dim])).movedim(0, axis.dim)
            x = resized if x.is_floating_point() else resized.round().to(x.dtype)
        else:
            raise NotImplementedError(f"the mode {mode!r}")
    for dim, beyond in outside:
        reach = beyond.reshape([-1 if each == dim else 1 for each in range(x.dim())])
        x = torch.where(reach, torch.full((), call.number("extrapolation_value", 0.0), dtype=x.dtype), x)
    return x


def _axes(call: Call, x: Tensor, roi: Tensor | None, scales: Tensor | None, sizes: Tensor | None) -> list[Axis]:
    dims = [normal_axis(axis, x.dim()) for axis in call.integers("axes") or range(x.dim())]
    regions = [(0.0, 1.0)] * len(dims)
    if roi is not None and roi.numel() == 2 * len(dims):
        numbers = roi.flatten().tolist()
        regions = list(zip(numbers[: len(dims)], numbers[len(dims) :], strict=True))
    whole = call.text("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize"
    lengths = [1.0 if whole else end - start for start, end in regions]
    if sizes is not None and sizes.numel():
        wanted = integers_in(sizes)
        factors = [want / x.shape[dim] for want, dim in zip(wanted, dims, strict=True)]
        policy = call.text("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(dims)
            wanted = [math.floor(factor * x.shape[dim] + 0.5) for dim in dims]
    elif scales is not None:
        factors = [float(factor) for factor in scales.flatten().tolist()]
        wanted = [
            math.floor(x.shape[dim] * length * factor)
            for dim, length, factor in zip(dims, lengths, factors, strict=True)
        ]
    else:
        raise ValueError("neither scales nor sizes")
    final = list(x.shape)
    for dim, want in zip(dims, wanted, strict=True):
        final[dim] = want
    refuse_large(final)
    return [
        Axis(dim=dim, size=x.shape[dim], wanted=want, scale=factor, region=region)
        for dim, want, factor, region in zip(dims, wanted, factors, regions, strict=True)
    ]


def resize(call: Call, x: Tensor, *inputs: Tensor | None) -> Tensor:
    if call.opset < 11:
        return upsample(call, x, *inputs)
    roi, scales, sizes = (*inputs, None, None, None)[:3]
    if scales is not None and not scales.numel():
        scales = None
    return _interpolate(call, x, _axes(call, x, roi, scales, sizes))


def upsample(call: Call, x: Tensor, scales: Tensor | None = None) -> Tensor:
    if scales is None:
        scales = torch.tensor(call.numbers("scales") or [], dtype=torch.float64)
    return _interpolate(call, x, _axes(call, x, None, scales, None))


TABLE: Table = {"Resize": resize, "Upsample": upsample}
