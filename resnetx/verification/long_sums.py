"""PyTorch with long sums added one number after the other in float32, as some runtimes add them.

PyTorch adds in a tree, whose error hardly grows with the length. A runtime that adds one by one is not wrong, but its
error is many times larger for means over large maps, norms and their variances.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from resnetx.verification.evaluation.call import Settings
from resnetx.verification.evaluation.sums import LONG, total
from resnetx.verification.operator_mode import OperatorMode

ONE_BY_ONE = Settings(dtype=torch.float32, one_by_one=True)

aten = torch.ops.aten


class OneByOne(OperatorMode):  # type: ignore[no-untyped-call]
    """`found` says whether any long sum was met."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False

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
    return None if count <= LONG else total(x, dims, ONE_BY_ONE, keepdim=keepdim) / count


def _sum(x: Tensor, dims: Sequence[int] | None = None, keepdim: bool = False) -> Tensor | None:
    dims = tuple(range(x.dim())) if not dims else tuple(dims)
    return None if math.prod(x.shape[dim] for dim in dims) <= LONG else total(x, dims, ONE_BY_ONE, keepdim=keepdim)


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
    if flat.shape[2] <= LONG:
        return None
    mean, inverse = _statistics(flat, (2,), eps)
    result = ((flat - mean) * inverse).reshape(x.shape)
    shape = (1, c, *[1] * (x.dim() - 2))
    result = result if weight is None else result * weight.reshape(shape)
    return (result if bias is None else result + bias.reshape(shape)), mean.squeeze(2), inverse.squeeze(2)


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    if math.prod(shape) <= LONG:
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
    if math.prod(x.shape[dim] for dim in dims) <= LONG:
        return None
    mean_here, inverse = _statistics(x, dims, eps)
    shape = (1, -1, *[1] * (x.dim() - 2))
    result = (x - mean_here) * inverse
    result = result if weight is None else result * weight.reshape(shape)
    return (result if bias is None else result + bias.reshape(shape)), mean_here.flatten(), inverse.flatten()


def _statistics(x: Tensor, dims: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor]:
    count = math.prod(x.shape[dim] for dim in dims)
    mean = total(x, dims, ONE_BY_ONE, keepdim=True) / count
    variance = total((x - mean) ** 2, dims, ONE_BY_ONE, keepdim=True) / count
    return mean, (variance + eps).rsqrt()


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
