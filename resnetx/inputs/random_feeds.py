"""Random inputs for any signature, reproducible from a seed."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from resnetx.base.text import readable
from resnetx.errors import GraphError, UsageError
from resnetx.runtime.runner import TensorInfo

# Floats, truth values, integers.
KINDS = "fbiu"
# For free dimensions other than the batch: in most graphs, the size of an image.
FREE_SIZE = 224
MOST_ELEMENTS = 2**28
# By so much do networks for images shrink their input.
LARGEST_STEP = 32
# What numpy's arrays have.
MOST_DIMENSIONS = 64


def random_feeds(
    inputs: Sequence[TensorInfo], *, batch: int, seed: int, free_size: int = FREE_SIZE
) -> dict[str, np.ndarray]:
    """Inputs of the right types and shapes, reproducible from `seed`.

    A free first dimension is the batch; any other has `free_size`, and equal names have equal sizes.
    """
    shapes = input_shapes(inputs, batch=batch, free_size=free_size)
    generator = np.random.default_rng(seed)
    return {info.name: random_values(shapes[info.name], info.dtype, generator) for info in inputs}


def input_shapes(
    inputs: Sequence[TensorInfo], *, batch: int, free_size: int = FREE_SIZE, sizes: Mapping[str, int] | None = None
) -> dict[str, tuple[int, ...]]:
    """The shape of each input with all free dimensions chosen; `sizes` are those of some, by name."""
    if batch < 1 or free_size < 1:
        raise UsageError(f"A batch of {batch} cannot be run: choose 1 or more.")
    sizes = dict(sizes or {})
    for info in inputs:
        if info.shape and isinstance(info.shape[0], str):
            sizes[info.shape[0]] = batch
    shapes = {}
    for info in inputs:
        shape = tuple(sizes.get(dim, free_size) if isinstance(dim, str) else dim for dim in info.shape)
        if math.prod(shape) > MOST_ELEMENTS or len(shape) > MOST_DIMENSIONS:
            raise GraphError(
                f"The input {readable(info.name)!r} has the shape {readable(str(shape))}, which is too large for "
                "random values."
            )
        if min(shape, default=1) < 0 or info.dtype.kind not in KINDS:
            raise GraphError(
                f"The input {readable(info.name)!r} ({info.dtype}, {list(shape)}) cannot be fed with random values."
            )
        shapes[info.name] = shape
    return shapes


def other_sizes(sizes: Mapping[str, int]) -> list[dict[str, int]]:
    """Other sizes that a network which takes these may take, each by another amount larger; the likeliest first.

    Networks that halve their input need multiples of a power of two, others of the side of a patch.
    """
    numbered = list(enumerate(sizes.items(), 1))
    near = {name: size + place * math.gcd(size, LARGEST_STEP) for place, (name, size) in numbered}
    return [near, {name: size + place * size for place, (name, size) in numbered}]


def has_free_sizes(inputs: Sequence[TensorInfo]) -> bool:
    return any(isinstance(dim, str) for info in inputs for dim in info.shape)


def random_values(shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator) -> np.ndarray:
    """Values that most graphs accept: floats in [-2, 2], small integers, the whole range of 8-bit ones."""
    if dtype.kind == "f":
        values: np.ndarray = _waves(shape, generator) + generator.uniform(-1, 1, shape)
    elif dtype.kind == "b":
        values = generator.integers(0, 2, shape)
    elif dtype.itemsize == 1:  # pixels and quantized values use the whole range
        limits = np.iinfo(dtype)
        values = generator.integers(limits.min, limits.max, shape, endpoint=True)
    else:  # wider integers are indices and lengths: small ones are in range more often
        values = generator.integers(0, 3, shape)
    return np.asarray(values).astype(dtype)  # numpy draws a number, not an array, for no dimensions


def _waves(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Smooth content in [-1, 1], as in images: noise alone averages out in a network, which hides differences."""
    phase: np.ndarray = generator.uniform(0, 2 * np.pi, (*shape[:-2], *(1 for _ in shape[-2:])))
    for axis in range(max(0, len(shape) - 2), len(shape)):
        ramp = np.linspace(0, 2 * np.pi * generator.uniform(0.5, 2), shape[axis])
        phase = phase + ramp.reshape([-1 if index == axis else 1 for index in range(len(shape))])
    waves: np.ndarray = np.cos(phase)
    return waves
