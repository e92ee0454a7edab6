"""Reductions over axes, and running sums."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from resnetx.verification.evaluation.call import Call, Operator, Settings, Table, integers_in, normal_axis
from resnetx.verification.evaluation.sums import total

Reduction = Callable[[Tensor, list[int], Settings], Tensor]


def axes_of(call: Call, x: Tensor, axes: Tensor | None) -> list[int] | None:
    """Of an attribute or an input; all where none are given, or None where that means no reduction."""
    found = integers_in(axes) if axes is not None else call.integers("axes")
    if found:
        return sorted({normal_axis(axis, x.dim()) for axis in found})
    return None if call.integer("noop_with_empty_axes", 0) else list(range(x.dim()))


def reduction(reduce: Reduction, untouched: Callable[[Tensor], Tensor] = lambda x: x) -> Operator:
    """`reduce` keeps the dimensions; `untouched` is what remains of it where nothing is reduced."""

    def apply(call: Call, x: Tensor, axes: Tensor | None = None) -> Tensor:
        dims = axes_of(call, x, axes)
        if dims is None:
            return untouched(x)
        if not dims:
            return reduce(x.reshape(1), [0], call.settings).reshape(())
        result = reduce(x, dims, call.settings)
        if call.integer("keepdims", 1):
            return result
        return result.reshape([size for dim, size in enumerate(x.shape) if dim not in dims])

    return apply


def summed(x: Tensor, dims: Sequence[int], settings: Settings) -> Tensor:
    return total(x, dims, settings, keepdim=True)


def mean(x: Tensor, dims: Sequence[int], settings: Settings) -> Tensor:
    count = math.prod(x.shape[dim] for dim in dims)
    sums = summed(x, dims, settings)
    return sums / count if x.is_floating_point() else torch.div(sums, count, rounding_mode="trunc")


def product(x: Tensor, dims: Sequence[int], settings: Settings) -> Tensor:
    for dim in dims:
        x = x.prod(dim, keepdim=True)
    return x


def root(x: Tensor) -> Tensor:
    return torch.sqrt(x.to(torch.float64)).to(x.dtype) if not x.is_floating_point() else torch.sqrt(x)


def logarithm(x: Tensor) -> Tensor:
    return torch.log(x.to(torch.float64)).to(x.dtype) if not x.is_floating_point() else torch.log(x)


def log_sum_exp(x: Tensor, dims: Sequence[int], settings: Settings) -> Tensor:
    values = x if x.is_floating_point() else x.to(torch.float64)
    return torch.logsumexp(values, list(dims), keepdim=True).to(x.dtype)


def _extreme(largest: bool) -> Reduction:
    def reduce(x: Tensor, dims: Sequence[int], settings: Settings) -> Tensor:
        if math.prod(x.shape[dim] for dim in dims) == 0:
            shape = [1 if dim in dims else size for dim, size in enumerate(x.shape)]
            return torch.full(shape, _nothing(x.dtype, largest), dtype=x.dtype)
        return x.amax(list(dims), keepdim=True) if largest else x.amin(list(dims), keepdim=True)

    return reduce


def _nothing(dtype: torch.dtype, largest: bool) -> float:
    if dtype == torch.bool:
        return not largest
    if dtype.is_floating_point:
        return -math.inf if largest else math.inf
    return torch.iinfo(dtype).min if largest else torch.iinfo(dtype).max


def _arg(largest: bool) -> Operator:
    def apply(call: Call, x: Tensor) -> Tensor:
        axis = normal_axis(call.integer("axis", 0), x.dim())
        last = bool(call.integer("select_last_index", 0))
        values = x.flip(axis) if last else x
        keep = bool(call.integer("keepdims", 1))
        index = values.argmax(axis, keepdim=keep) if largest else values.argmin(axis, keepdim=keep)
        return x.shape[axis] - 1 - index if last else index

    return apply


def running(accumulate: Callable[[Tensor, int], Tensor], neutral: int) -> Operator:
    def apply(call: Call, x: Tensor, axis: Tensor) -> Tensor:
        dim = normal_axis(int(axis), x.dim())
        backwards = bool(call.integer("reverse", 0))
        values = x.flip(dim) if backwards else x
        if call.integer("exclusive", 0):
            first = torch.full_like(values.narrow(dim, 0, 1), neutral)
            values = torch.cat([first, values.narrow(dim, 0, x.shape[dim] - 1)], dim)
        result = accumulate(values, dim).to(x.dtype)
        return result.flip(dim) if backwards else result

    return apply


TABLE: Table = {
    "ReduceSum": reduction(summed),
    "ReduceMean": reduction(mean),
    "ReduceProd": reduction(product),
    "ReduceL1": reduction(lambda x, dims, settings: summed(x.abs(), dims, settings), torch.abs),
    "ReduceL2": reduction(lambda x, dims, settings: root(summed(x * x, dims, settings)), torch.abs),
    "ReduceSumSquare": reduction(lambda x, dims, settings: summed(x * x, dims, settings), torch.square),
    "ReduceLogSum": reduction(lambda x, dims, settings: logarithm(summed(x, dims, settings)), logarithm),
    "ReduceLogSumExp": reduction(log_sum_exp),
    "ReduceMax": reduction(_extreme(True)),
    "ReduceMin": reduction(_extreme(False)),
    "ArgMax": _arg(True),
    "ArgMin": _arg(False),
    "CumSum": running(torch.cumsum, 0),
    "CumProd": running(torch.cumprod, 1),
}
