"""The operators of convolutional classifiers in PyTorch, one function for each, and the fused convolution.

A function takes the attributes of a node and returns what computes its outputs from its inputs; a missing optional
input is None. Shapes and axes are read from constants when the network is built, so that no run waits for the GPU.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from resnetx.errors import GraphError

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


class Zeros:
    """Arrays of zeros on the device, which stay where they are: a CUDA graph may have recorded their addresses."""

    def __init__(self) -> None:
        self._kept: list[Tensor] = []

    def like(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        batch, channels, height, width = shape
        count = batch * channels * height * width
        fits = (
            kept for kept in self._kept if kept.numel() >= count and (kept.dtype, kept.device) == (x.dtype, x.device)
        )
        zeros = next(fits, None)
        if zeros is None:
            zeros = torch.zeros(count, dtype=x.dtype, device=x.device)
            self._kept.append(zeros)
        return zeros[:count].view(batch, height, width, channels).permute(0, 3, 1, 2)


def convolution(has: Attributes, zeros: Zeros | None = None, *, relu: bool = False) -> Compute:
    """A convolution with what follows it: an addition, if it gets a fourth input, and a ReLU."""
    pads, strides, dilations = _symmetric(has, "Conv"), has.get("strides", [1, 1]), has.get("dilations", [1, 1])
    groups = has.get("group", 1)

    def shape(x: Tensor, weight: Tensor) -> tuple[int, ...]:
        size = [
            (x.shape[axis + 2] + 2 * pads[axis] - dilations[axis] * (weight.shape[axis + 2] - 1) - 1) // strides[axis]
            + 1
            for axis in (0, 1)
        ]
        return (x.shape[0], weight.shape[0], *size)

    def compute(x: Tensor, weight: Tensor, bias: Tensor | None = None, added: Tensor | None = None) -> Tensor:
        if zeros is None or not (relu and can_fuse(x)) or (added is not None and added.shape != shape(x, weight)):
            y = functional.conv2d(x, weight, bias, strides, pads, dilations, groups)
            y = y if added is None else y + added
            return y.relu_() if relu else y
        # cuDNN wants an addend. PyTorch's own is the memory of the output, times zero: NaN if there was NaN in it.
        scale = 0.0 if added is None else 1.0
        added = zeros.like(x, shape(x, weight)) if added is None else added
        return torch.cudnn_convolution_add_relu(x, weight, added, scale, bias, strides, pads, dilations, groups)

    return compute


def can_fuse(x: Tensor) -> bool:
    """Fused kernels compute on tensor cores, which have no float32."""
    return x.is_cuda and (x.dtype == torch.float16 or torch.backends.cudnn.allow_tf32)


def _symmetric(has: Attributes, operator: str) -> list[int]:
    if has.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID", b""):
        raise GraphError(f"it has a {operator} with auto_pad, which is not supported; export it with explicit pads")
    pads = list(has.get("pads", [0, 0, 0, 0]))
    if len(pads) != 4 or pads[:2] != pads[2:]:
        raise GraphError(f"it has a {operator} with the pads {pads}; only equal ones on both sides are supported")
    return pads[:2]


def _max_pool(has: Attributes) -> Compute:
    pads = _symmetric(has, "MaxPool")
    rest = (has["kernel_shape"], has.get("strides", [1, 1]), pads, has.get("dilations", [1, 1]))
    return lambda x: functional.max_pool2d(x, *rest, ceil_mode=bool(has.get("ceil_mode", 0)))


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
    "Conv": convolution,
    "MaxPool": _max_pool,
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
# Inputs that say how to compute, and not on what: lists of integers.
SETTINGS = {"ReduceMean": (1,), "Reshape": (1,), "TopK": (1,)}
