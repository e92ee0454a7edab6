"""Pooling over windows and over everything."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from resnetx.verification.evaluation.call import Call, Result, Table
from resnetx.verification.evaluation.limits import refuse_large
from resnetx.verification.evaluation.operators.convolution import pad_ends, window_pads
from resnetx.verification.evaluation.sums import LONG, average

# Of a window that is added place by place: one of 1024x1024.
MAX_PLACES = 2**20
MAX_POOLS: dict[int, Callable[..., tuple[Tensor, Tensor]]] = {
    1: functional.max_pool1d_with_indices,
    2: functional.max_pool2d_with_indices,
    3: functional.max_pool3d_with_indices,
}


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Where a pooling node's windows lie on the padded input."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    begins: list[int]
    ends: list[int]
    """As declared."""
    reached: list[int]
    """The pads at the ends that make every window fit: with `ceil_mode` more than declared, otherwise often fewer."""
    counts: list[int]

    def places(self) -> Iterator[tuple[int, ...]]:
        """Every place in the kernel."""
        return product(*(range(size) for size in self.kernel))

    def at(self, padded: Tensor, place: Sequence[int]) -> Tensor:
        """What all windows see at this place of the kernel."""
        slices = tuple(
            slice(at * dilation, at * dilation + (count - 1) * stride + 1, stride)
            for at, dilation, count, stride in zip(place, self.dilations, self.counts, self.strides, strict=True)
        )
        return padded[(slice(None), slice(None), *slices)]

    def cover(self, sizes: Sequence[int], *, pads: bool) -> Tensor:
        """For each window, how many of its places lie on the input (and, with `pads`, on the declared padding)."""
        result = torch.ones((), dtype=torch.float64)
        for axis, size in enumerate(sizes):
            refuse_large([self.counts[axis], self.kernel[axis]])
            low, high = (-self.begins[axis], size + self.ends[axis]) if pads else (0, size)
            starts = torch.arange(self.counts[axis]) * self.strides[axis] - self.begins[axis]
            at = starts[:, None] + torch.arange(self.kernel[axis]) * self.dilations[axis]
            result = result[..., None] * ((at >= low) & (at < high)).sum(1)
        return result


def windows_of(call: Call, x: Tensor) -> Windows:
    kernel = call.integers("kernel_shape")
    sizes = x.shape[2:]
    if kernel is None or len(kernel) != len(sizes) or min(kernel) < 1:
        raise ValueError(f"the kernel {kernel} on {x.dim()} dimensions")
    strides = call.integers("strides") or [1] * len(kernel)
    dilations = call.integers("dilations") or [1] * len(kernel)
    begins, ends = window_pads(call, sizes, kernel, strides, dilations)
    spans = [(each - 1) * dilation + 1 for each, dilation in zip(kernel, dilations, strict=True)]
    counts = []
    for size, begin, end, span, stride in zip(sizes, begins, ends, spans, strides, strict=True):
        room = size + begin + end - span
        count = room // stride + 1
        # A window may overhang the end, but it has to start on the input or on the padding before it.
        if call.integer("ceil_mode", 0) and room % stride and count * stride < size + begin:
            count += 1
        counts.append(max(count, 0))
    reached = [
        (count - 1) * stride + span - size - begin
        for count, stride, span, size, begin in zip(counts, strides, spans, sizes, begins, strict=True)
    ]
    refuse_large([*x.shape[:2], *counts])
    return Windows(
        kernel=kernel, strides=strides, dilations=dilations, begins=begins, ends=ends, reached=reached, counts=counts
    )


def max_pool(call: Call, x: Tensor) -> Result:
    windows = windows_of(call, x)
    # torch pools floats only, and every integer type that ONNX pools fits into a float64.
    values = x if x.is_floating_point() else x.to(torch.float64)
    padded = pad_ends(values, windows.begins, windows.reached, -math.inf)
    pooled, places = MAX_POOLS[len(windows.kernel)](padded, windows.kernel, windows.strides, 0, windows.dilations)
    if not call.wants(1):
        return pooled.to(x.dtype)
    return pooled.to(x.dtype), _indices(call, places, x.shape, padded.shape[2:], windows.begins)


def _indices(call: Call, places: Tensor, shape: Sequence[int], padded: Sequence[int], begins: Sequence[int]) -> Tensor:
    """Places in the padded plane as indices into the whole input."""
    sizes = shape[2:]
    at: list[Tensor] = []
    for size, begin in zip(reversed(padded), reversed(begins), strict=True):
        at.insert(0, places % size - begin)
        places = places // size
    order = range(len(sizes)) if call.integer("storage_order", 0) == 0 else reversed(range(len(sizes)))
    inside = torch.zeros_like(at[0])
    for axis in order:
        inside = inside * sizes[axis] + at[axis]
    planes = torch.arange(shape[0] * shape[1]).reshape(shape[0], shape[1], *[1] * len(sizes))
    return inside + planes * math.prod(sizes)


def average_pool(call: Call, x: Tensor) -> Tensor:
    windows = windows_of(call, x)
    sums = window_sums(call, x, windows)
    include = bool(call.integer("count_include_pad", 0))
    return (sums / windows.cover(x.shape[2:], pads=include).to(x.dtype)).to(x.dtype)


def window_sums(call: Call, x: Tensor, windows: Windows) -> Tensor:
    padded = pad_ends(x, windows.begins, windows.reached)
    long = call.settings.one_by_one and math.prod(windows.kernel) > LONG
    if len(windows.kernel) == 2 and set(windows.dilations) == {1} and not long:
        return functional.avg_pool2d(padded, windows.kernel, windows.strides, divisor_override=1)
    if math.prod(windows.kernel) > MAX_PLACES:
        raise NotImplementedError(f"windows of {math.prod(windows.kernel):,} places")
    result = torch.zeros([*x.shape[:2], *windows.counts], dtype=x.dtype)
    for place in windows.places():
        result += windows.at(padded, place)
    return result


def lp_pool(call: Call, x: Tensor) -> Tensor:
    p = call.integer("p", 2)
    return window_sums(call, x.abs() ** p, windows_of(call, x)) ** (1 / p)


def _spatial(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


def global_average_pool(call: Call, x: Tensor) -> Tensor:
    return average(x, _spatial(x), call.settings, keepdim=True)


def global_max_pool(call: Call, x: Tensor) -> Tensor:
    return x.amax(_spatial(x), keepdim=True) if x.dim() > 2 else x


def global_lp_pool(call: Call, x: Tensor) -> Tensor:
    p = call.integer("p", 2)
    return (x.abs() ** p).sum(_spatial(x), keepdim=True) ** (1 / p)


def max_unpool(call: Call, x: Tensor, indices: Tensor, shape: Tensor | None = None) -> Tensor:
    kernel = call.integers("kernel_shape") or []
    strides = call.integers("strides") or [1] * len(kernel)
    pads = call.integers("pads") or [0] * (2 * len(kernel))
    sizes = [
        (size - 1) * stride + each - begin - end
        for size, stride, each, begin, end in zip(
            x.shape[2:], strides, kernel, pads[: len(kernel)], pads[len(kernel) :], strict=True
        )
    ]
    wanted = [int(size) for size in shape.tolist()] if shape is not None else [*x.shape[:2], *sizes]
    refuse_large(wanted)
    # The indices are those of the size that the attributes give; a wanted larger size pads at the ends.
    flat = torch.zeros(math.prod([*x.shape[:2], *sizes]), dtype=x.dtype)
    flat[indices.flatten()] = x.flatten()
    inner = flat.reshape(*x.shape[:2], *sizes)
    return pad_ends(inner, [0] * len(sizes), [want - size for want, size in zip(wanted[2:], sizes, strict=True)])


TABLE: Table = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "MaxUnpool": max_unpool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "GlobalLpPool": global_lp_pool,
}
