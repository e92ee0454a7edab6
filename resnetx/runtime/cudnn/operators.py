"""The operators of convolutional classifiers in PyTorch, one function for each, and the fused convolution.

A function takes the attributes of a node and returns what computes its outputs from its inputs; a missing optional
input is None. Shapes and axes are read from constants when the network is built, so that no run waits for the GPU.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from resnetx.errors import GraphError
from resnetx.runtime.cudnn.convolutions import Ways
from resnetx.runtime.cudnn.windows import Geometry, Pooling

Attributes = Mapping[str, Any]
Compute = Callable[..., Tensor | tuple[Tensor, ...]]
# ONNX's numbers of types.
TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
}


def convolution(has: Attributes, ways: Ways, *, relu: bool = False) -> Compute:
    """A convolution with what follows it: an addition, if it gets a fourth input, and a ReLU."""
    geometry = Geometry(
        strides=tuple(has.get("strides", [1, 1])),
        pads=tuple(_symmetric(has, "Conv")),
        dilations=tuple(has.get("dilations", [1, 1])),
        groups=has.get("group", 1),
        relu=relu,
    )
    return partial(ways, geometry)


def _symmetric(has: Attributes, operator: str) -> list[int]:
    if has.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID", b""):
        raise GraphError(f"it has a {operator} with auto_pad, which is not supported; export it with explicit pads")
    pads = list(has.get("pads", [0, 0, 0, 0]))
    if len(pads) != 4 or pads[:2] != pads[2:]:
        raise GraphError(f"it has a {operator} with the pads {pads}; only equal ones on both sides are supported")
    return pads[:2]


def max_pool(has: Attributes, ways: Ways) -> Compute:
    return partial(
        ways.max_pool,
        Pooling(
            window=tuple(has["kernel_shape"]),
            strides=tuple(has.get("strides", [1, 1])),
            pads=tuple(_symmetric(has, "MaxPool")),
            dilations=tuple(has.get("dilations", [1, 1])),
            ceil=bool(has.get("ceil_mode", 0)),
        ),
    )


def _average_pool(has: Attributes) -> Compute:
    pads = _symmetric(has, "AveragePool")
    if any(size != 1 for size in has.get("dilations", ())):
        raise GraphError("it has an AveragePool with dilations, which is not supported")
    rest = (has["kernel_shape"], has.get("strides", [1, 1]), pads)
    counts = bool(has.get("count_include_pad", 0))
    ceil = bool(has.get("ceil_mode", 0))
    return lambda x: functional.avg_pool2d(x, *rest, ceil_mode=ceil, count_include_pad=counts)


def _batch_normalization(has: Attributes) -> Compute:
    epsilon = has.get("epsilon", 1e-5)
    return lambda x, scale, bias, mean, variance: functional.batch_norm(x, mean, variance, scale, bias, eps=epsilon)


def _mean(has: Attributes) -> Compute:
    def compute(x: Tensor, axes: list[int] | None = None) -> Tensor:
        found = axes or has.get("axes") or list(range(x.dim()))
        return x.mean(tuple(found), keepdim=bool(has.get("keepdims", 1)))

    return compute


def _reshape(has: Attributes) -> Compute:
    def compute(x: Tensor, shape: list[int]) -> Tensor:
        copied = bool(has.get("allowzero", 0))
        return x.reshape([x.shape[axis] if size == 0 and not copied else size for axis, size in enumerate(shape)])

    return compute


def _flatten(has: Attributes) -> Compute:
    axis = has.get("axis", 1)
    return lambda x: x.reshape(math.prod(x.shape[:axis]), -1)


def _gemm(has: Attributes) -> Compute:
    alpha, beta = has.get("alpha", 1.0), has.get("beta", 1.0)
    across = bool(has.get("transA", 0)), bool(has.get("transB", 0))

    def compute(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a, b = (x.t() if turned else x for x, turned in zip((a, b), across, strict=True))
        return alpha * (a @ b) if c is None else torch.addmm(c, a, b, alpha=alpha, beta=beta)

    return compute


def _top_k(has: Attributes) -> Compute:
    largest, ordered = bool(has.get("largest", 1)), bool(has.get("sorted", 1))

    def compute(x: Tensor, k: list[int]) -> tuple[Tensor, ...]:
        return tuple(torch.topk(x, k[0], dim=has.get("axis", -1), largest=largest, sorted=ordered))

    return compute


def _cast(has: Attributes) -> Compute:
    dtype = TYPES.get(has["to"])
    if dtype is None:
        raise GraphError(f"it has a Cast to ONNX's type {has['to']}, which is not supported")
    return lambda x: x.to(dtype)


def _clip(has: Attributes) -> Compute:
    return lambda x, low=None, high=None: torch.clamp(x, low, high)


OPERATORS: dict[str, Callable[[Attributes], Compute]] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_normalization,
    "GlobalAveragePool": lambda has: lambda x: x.mean((2, 3), keepdim=True),
    "ReduceMean": _mean,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "MatMul": lambda has: torch.matmul,
    "TopK": _top_k,
    "Cast": _cast,
    "Clip": _clip,
    "Transpose": lambda has: lambda x: x.permute(has["perm"]),
    "Softmax": lambda has: lambda x: torch.softmax(x, has.get("axis", -1)),
    "Concat": lambda has: lambda *x: torch.cat(x, has["axis"]),
    "Relu": lambda has: torch.relu,
    "Sigmoid": lambda has: torch.sigmoid,
    "Tanh": lambda has: torch.tanh,
    "Identity": lambda has: lambda x: x,
    "Dropout": lambda has: lambda x, *_: x,
    "Add": lambda has: torch.add,
    "Sub": lambda has: torch.sub,
    "Mul": lambda has: torch.mul,
    "Div": lambda has: torch.div,
}
# Those that are computed in the fastest of several ways.
SEARCHED: dict[str, Callable[[Attributes, Ways], Compute]] = {"Conv": convolution, "MaxPool": max_pool}
# Inputs that say how to compute, and not on what: lists of integers.
SETTINGS = {"ReduceMean": (1,), "Reshape": (1,), "TopK": (1,)}
