"""PyTorch with long sums added one number after the other in float32, as some runtimes add them.

PyTorch adds in a tree, whose error hardly grows with the length. A runtime that adds one by one is not wrong, but its
error is many times larger for means over large maps, norms and their variances.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Shorter sums differ too little from a tree's.
LONG = 64

aten = torch.ops.aten


class OneByOne(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """`found` says whether any long sum was met."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and torch would import its compiler, which takes two seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        replacement = REPLACEMENTS.get(func.overloadpacket)
        x = args[0] if args else None
        if replacement is not None and isinstance(x, Tensor) and x.dtype == torch.float32 and not (kwargs or {}):
            result = replacement(*args)
            if result is not None:
                self.found = True
                return result
        return func(*args, **(kwargs or {}))


def _mean(x: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False) -> Tensor | None:
    dims = tuple(range(x.dim())) if not dims else tuple(dims)
    count = math.prod(x.shape[dim] for dim in dims)
    return None if count < LONG else sum_one_by_one(x, dims, keepdim) / count


def _sum(x: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False) -> Tensor | None:
    dims = tuple(range(x.dim())) if not dims else tuple(dims)
    return None if math.prod(x.shape[dim] for dim in dims) < LONG else sum_one_by_one(x, dims, keepdim)


def _adaptive(x: Tensor, size: Sequence[int]) -> Tensor | None:
    return _mean(x, (-2, -1), True) if tuple(size) == (1, 1) else None


def _pool(x: Tensor, kernel: Sequence[int], *rest: object) -> Tensor | None:
    sides = tuple(kernel) * 2 if len(kernel) == 1 else tuple(kernel)
    return _mean(x, (-2, -1), True) if sides == tuple(x.shape[-2:]) else None


def _vector_norm(
    x: Tensor, order: float = 2, dims: Sequence[int] | None = None, keepdim: bool = False
) -> Tensor | None:
    if order != 2:
        return None
    squares = _sum(x * x, dims, keepdim)
    return None if squares is None else squares.sqrt()


def _group_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, c: int, hw: int, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    flat = x.reshape(n, groups, -1)
    if flat.shape[2] < LONG:
        return None
    mean, inverse = _statistics(flat, (2,), eps)
    result = ((flat - mean) * inverse).reshape(x.shape)
    shape = (1, c, *[1] * (x.dim() - 2))
    result = result if weight is None else result * weight.reshape(shape)
    return (result if bias is None else result + bias.reshape(shape)), mean.squeeze(2), inverse.squeeze(2)


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    if math.prod(shape) < LONG:
        return None
    mean, inverse = _statistics(x, tuple(range(x.dim() - len(shape), x.dim())), eps)
    result = (x - mean) * inverse
    result = result if weight is None else result * weight
    return (result if bias is None else result + bias), mean, inverse


def _instance_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Instance norm is a batch norm in training mode over a map of its own."""
    training, eps = rest[0], rest[-1]
    if not training or x.dim() < 3:
        return None
    dims = (0, *range(2, x.dim()))
    if math.prod(x.shape[dim] for dim in dims) < LONG:
        return None
    mean_here, inverse = _statistics(x, dims, eps)
    shape = (1, -1, *[1] * (x.dim() - 2))
    result = (x - mean_here) * inverse
    result = result if weight is None else result * weight.reshape(shape)
    return (result if bias is None else result + bias.reshape(shape)), mean_here.flatten(), inverse.flatten()


def _statistics(x: Tensor, dims: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    count = math.prod(x.shape[dim] for dim in dims)
    mean = sum_one_by_one(x, dims, True) / count
    variance = sum_one_by_one((x - mean) ** 2, dims, True) / count
    return mean, (variance + eps).rsqrt()


def sum_one_by_one(x: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """numpy's accumulate adds in the type of its elements, in order; PyTorch's cumsum adds in float64."""
    dims = sorted(dim % x.dim() for dim in dims)
    kept = [dim for dim in range(x.dim()) if dim not in dims]
    moved = x.permute(*kept, *dims).reshape(*(x.shape[dim] for dim in kept), -1).numpy()
    total = torch.from_numpy(np.ascontiguousarray(np.add.accumulate(moved, axis=-1)[..., -1]))
    return total.reshape([1 if dim in dims else size for dim, size in enumerate(x.shape)]) if keepdim else total


REPLACEMENTS: dict[Any, Callable[..., Any]] = {
    aten.mean: _mean,
    aten.sum: _sum,
    aten._adaptive_avg_pool2d: _adaptive,
    aten.avg_pool2d: _pool,
    aten.linalg_vector_norm: _vector_norm,
    aten.native_group_norm: _group_norm,
    aten.native_layer_norm: _layer_norm,
    aten.native_batch_norm: _instance_norm,
}
