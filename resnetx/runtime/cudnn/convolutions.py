"""The ways to compute a convolution with its bias, an addition and a ReLU, and the choice of the fastest by timing."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from resnetx.runtime.cudnn import plans
from resnetx.runtime.cudnn.windows import Geometry, Pooling

# What computes a result; a convolution's from an image, its weight, perhaps a bias, and perhaps an addend.
Way = Callable[..., Tensor]
# Timed runs of a way, and calls in each; the least time counts, because what disturbs only makes slower.
RUNS, CALLS = 2, 5
# Of float16's kernels, whose sums differ in their order, as a part of the largest result.
MOST_DIFFERENCE = 0.01
# Products of matrices of this size keep the GPU busy while the calls are handed over: small kernels end sooner.
BUSY_SIZE, BUSY_PRODUCTS = 4096, 6


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


class Ways:
    """Computes convolutions. With `search`, the first of its shape decides by timing which way all such ones go."""

    def __init__(self, *, search: bool) -> None:
        self._search = search
        self._zeros = Zeros()
        self._chosen: dict[tuple[object, ...], tuple[str, Way]] = {}

    def __call__(
        self, geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None = None, added: Tensor | None = None
    ) -> Tensor:
        key = (geometry, x.shape, x.dtype, weight.shape, bias is None, None if added is None else added.shape)
        if key not in self._chosen:
            self._chosen[key] = self._choice(geometry, x, weight, bias, added)
        return self._chosen[key][1](x, weight, bias, added)

    def max_pool(self, has: Pooling, x: Tensor) -> Tensor:
        key = (has, x.shape, x.dtype)
        if key not in self._chosen:
            found: dict[str, Way] = {"PyTorch": has.pooled}
            if self._search and x.is_cuda:
                # PyTorch's own kernel also writes where each maximum was, which takes most of its time.
                found["compiled"] = torch.compile(has.pooled, dynamic=False)
            with environment_restored():
                self._chosen[key] = fastest(found, (x,))
        return self._chosen[key][1](x)

    def chosen(self) -> Counter[str]:
        """How many shapes go which way."""
        return Counter(name for name, _ in self._chosen.values())

    def _choice(
        self, geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None
    ) -> tuple[str, Way]:
        found: dict[str, Way] = {}
        same = added is None or added.shape == geometry.shape(x, weight)
        if can_fuse(x) and same and geometry.relu:
            found["PyTorch, fused"] = partial(_fused, geometry, self._zeros)
        else:
            found["PyTorch"] = partial(_separate, geometry)
        # cuDNN's graphs would round float32 to TF32 in ways of their own.
        if self._search and can_fuse(x) and same and x.dtype == torch.float16:
            if added is None and bias is not None and geometry.is_product(weight):
                found["matrix product"] = partial(_product, geometry)
            if geometry.groups == 1:
                found |= plans.plans(geometry, x, weight, bias, added)
        return fastest(found, (x, weight, bias, added))


def _separate(geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None) -> Tensor:
    y = functional.conv2d(x, weight, bias, *geometry.window)
    y = y if added is None else y + added
    return y.relu_() if geometry.relu else y


def _fused(
    geometry: Geometry, zeros: Zeros, x: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None
) -> Tensor:
    # cuDNN wants an addend. PyTorch's own is the memory of the output, times zero: NaN if there was NaN in it.
    scale = 0.0 if added is None else 1.0
    added = zeros.like(x, geometry.shape(x, weight)) if added is None else added
    return torch.cudnn_convolution_add_relu(x, weight, added, scale, bias, *geometry.window)


def _product(geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None, _: Tensor | None) -> Tensor:
    """Bias and ReLU are part of cuBLAS's product."""
    batch, channels, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)
    matrix = weight.reshape(len(weight), channels).t()
    assert bias is not None
    y = torch._addmm_activation(bias, pixels, matrix) if geometry.relu else torch.addmm(bias, pixels, matrix)
    return y.view(batch, height, width, len(weight)).permute(0, 3, 1, 2)


def can_fuse(x: Tensor) -> bool:
    """Fused kernels compute on tensor cores, which have no float32."""
    return x.is_cuda and (x.dtype == torch.float16 or torch.backends.cudnn.allow_tf32)


def fastest(ways: dict[str, Way], tensors: tuple[Tensor | None, ...]) -> tuple[str, Way]:
    """The way with the least time on these tensors of those that answer like the first one."""
    if len(ways) == 1:
        return next(iter(ways.items()))
    (first, way), *others = ways.items()
    expected = way(*tensors)
    times = {first: seconds(partial(way, *tensors))}
    for name, way in others:
        # No kernel of this way may take this shape, or it may need more memory than there is.
        with suppress(Exception):
            if same_answer(way(*tensors), expected):
                times[name] = seconds(partial(way, *tensors))
    best = min(times, key=lambda name: times[name])
    return best, ways[best]


def same_answer(found: Tensor, expected: Tensor) -> bool:
    """Do they differ by rounding at most?"""
    allowed = MOST_DIFFERENCE * float(expected.abs().max())
    return torch.allclose(found, expected, rtol=0.0, atol=allowed, equal_nan=True)


@contextmanager
def environment_restored() -> Iterator[None]:
    """PyTorch's compiler sets variables for the whole process."""
    before = set(os.environ)
    try:
        yield
    finally:
        for name in set(os.environ) - before:
            os.environ.pop(name, None)


def seconds(call: Callable[[], object]) -> float:
    """The least time of a call on the GPU, in a row of calls that were all waiting when the first began."""
    times: list[float] = []
    busy, result = torch.ones((2, BUSY_SIZE, BUSY_SIZE), dtype=torch.float16, device="cuda").unbind()
    for _ in range(RUNS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        for _ in range(BUSY_PRODUCTS):
            torch.mm(busy, busy, out=result)
        begin.record()
        for _ in range(CALLS):
            call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3 / CALLS)
    return min(times)
