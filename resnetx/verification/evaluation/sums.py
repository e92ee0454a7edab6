"""Sums over dimensions, also added one number after the other in float32, as ONNX Runtime adds long ones."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from resnetx.verification.evaluation.call import Settings

LONG = 64
# So many running sums are held at a time.
_CHUNK = 2**20


def total(x: Tensor, dims: Sequence[int], settings: Settings, *, keepdim: bool = False) -> Tensor:
    """The sum over `dims`; of no dimension, `x` itself."""
    dims = sorted(dim % max(x.dim(), 1) for dim in dims)
    if not dims or x.dim() == 0:
        return x
    count = math.prod(x.shape[dim] for dim in dims)
    if not (settings.one_by_one and x.dtype == torch.float32 and count > LONG):
        return x.sum(dims, keepdim=keepdim)
    kept = [dim for dim in range(x.dim()) if dim not in dims]
    rows = x.permute(*kept, *dims).reshape(-1, count)
    shape = [1 if dim in dims else size for dim, size in enumerate(x.shape)]
    sums = torch.from_numpy(_one_by_one(rows.numpy())).reshape(shape)
    return sums if keepdim else sums.reshape([x.shape[dim] for dim in kept])


def _one_by_one(rows: np.ndarray) -> np.ndarray:
    """The sum of each row. numpy's running sum is the one that stays in float32: torch's has a float64 accumulator."""
    together = max(_CHUNK // rows.shape[1], 1)
    chunks = [rows[start : start + together] for start in range(0, len(rows), together)]
    sums = [np.add.accumulate(chunk, axis=1, dtype=np.float32)[:, -1] for chunk in chunks]
    return np.concatenate([np.zeros(0, np.float32), *sums])


def average(x: Tensor, dims: Sequence[int], settings: Settings, *, keepdim: bool = False) -> Tensor:
    count = math.prod(x.shape[dim] for dim in dims)
    return total(x, dims, settings, keepdim=keepdim) / count
