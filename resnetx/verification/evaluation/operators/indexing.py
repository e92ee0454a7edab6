"""Operators that pick elements by index, and those that find indices."""

import math

import torch
from torch import Tensor

from resnetx.verification.evaluation.call import Call, Result, Table, integers_in, normal_axis
from resnetx.verification.evaluation.limits import refuse_large


def _wrapped(indices: Tensor, size: int) -> Tensor:
    """Negative ones count from the end; those out of range are refused, which torch does not do everywhere."""
    indices = indices.to(torch.int64)
    if indices.numel() and (int(indices.min()) < -size or int(indices.max()) >= size):
        raise IndexError(f"an index outside of {size} elements")
    return torch.where(indices < 0, indices + size, indices)


def gather(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    axis = normal_axis(call.integer("axis", 0), x.dim())
    shape = [*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]]
    refuse_large(shape)
    return x.index_select(axis, _wrapped(indices, x.shape[axis]).flatten()).reshape(shape)


def gather_elements(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    axis = normal_axis(call.integer("axis", 0), x.dim())
    return x.gather(axis, _wrapped(indices, x.shape[axis]))


def _rows(indices: Tensor, sizes: list[int]) -> Tensor:
    """Indices of several dimensions, the last axis of `indices`, as indices of the flattened ones."""
    flat = torch.zeros(indices.shape[:-1], dtype=torch.int64)
    for place, size in enumerate(sizes):
        flat = flat * size + _wrapped(indices[..., place], size)
    return flat


def gather_nd(call: Call, x: Tensor, indices: Tensor) -> Tensor:
    batch = call.integer("batch_dims", 0)
    depth = indices.shape[-1]
    rest = list(x.shape[batch + depth :])
    refuse_large([*indices.shape[:-1], *rest])
    batches = math.prod(x.shape[:batch])
    table = x.reshape(batches, math.prod(x.shape[batch : batch + depth]), math.prod(rest))
    at = _rows(indices, list(x.shape[batch : batch + depth])).reshape(batches, -1)
    found = table.gather(1, at[..., None].expand(-1, -1, table.shape[2]))
    return found.reshape([*indices.shape[:-1], *rest])


REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def scatter_elements(call: Call, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    axis = normal_axis(call.integer("axis", 0), x.dim())
    at = _wrapped(indices, x.shape[axis])
    how = call.text("reduction", "none")
    if how == "none":
        return x.scatter(axis, at, updates)
    return x.scatter_reduce(axis, at, updates, REDUCTIONS[how])


def scatter_nd(call: Call, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    depth = indices.shape[-1]
    width = math.prod(x.shape[depth:])
    at = _rows(indices, list(x.shape[:depth])).reshape(-1, 1).expand(-1, width)
    table = x.reshape(-1, width).clone()
    values = updates.reshape(-1, width)
    how = call.text("reduction", "none")
    if how == "none":
        return table.scatter_(0, at, values).reshape(x.shape)
    return table.scatter_reduce_(0, at, values, REDUCTIONS[how]).reshape(x.shape)


def one_hot(call: Call, indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    size = int(depth)
    axis = normal_axis(call.integer("axis", -1), indices.dim() + 1)
    refuse_large([*indices.shape, size])
    at = indices.to(torch.int64)
    at = torch.where(at < 0, at + size, at)
    hot = at.unsqueeze(axis) == torch.arange(size).reshape([-1 if dim == axis else 1 for dim in range(at.dim() + 1)])
    return torch.where(hot, values[1], values[0])


def top_k(call: Call, x: Tensor, k: Tensor | None = None) -> Result:
    """Of equal values, the one with the lower index comes first: a stable sort, which `torch.topk` is not."""
    count = call.integer("k", 0) if k is None else int(k)
    axis = normal_axis(call.integer("axis", -1), x.dim())
    if not 0 <= count <= x.shape[axis]:
        raise ValueError(f"the {count} largest of {x.shape[axis]}")
    values, indices = torch.sort(x, dim=axis, descending=bool(call.integer("largest", 1)), stable=True)
    return values.narrow(axis, 0, count), indices.narrow(axis, 0, count)


def non_zero(call: Call, x: Tensor) -> Tensor:
    return torch.nonzero(x).transpose(0, 1)


def compress(call: Call, x: Tensor, condition: Tensor) -> Tensor:
    chosen = torch.nonzero(condition.flatten()).flatten()
    if not call.has("axis"):
        return x.flatten().index_select(0, chosen)
    return x.index_select(normal_axis(call.integer("axis", 0), x.dim()), chosen)


def reverse_sequence(call: Call, x: Tensor, lengths: Tensor) -> Tensor:
    batch, time = call.integer("batch_axis", 1), call.integer("time_axis", 0)
    moved = x.movedim((time, batch), (0, 1)).clone()
    for index, length in enumerate(integers_in(lengths)):
        moved[:length, index] = moved[:length, index].flip(0)
    return moved.movedim((0, 1), (time, batch))


TABLE: Table = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "ScatterElements": scatter_elements,
    "Scatter": scatter_elements,
    "ScatterND": scatter_nd,
    "OneHot": one_hot,
    "TopK": top_k,
    "NonZero": non_zero,
    "Compress": compress,
    "ReverseSequence": reverse_sequence,
}
