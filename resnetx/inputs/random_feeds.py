"""Random inputs for any signature, the same ones from the same seed."""

import math
from collections.abc import Sequence

import numpy as np

from resnetx.errors import GraphError
from resnetx.runtime.runner import TensorInfo

# Where a graph leaves a size free that is not the batch: an image's, in most graphs.
FREE_SIZE = 224
MOST_ELEMENTS = 2**28


def random_feeds(
    inputs: Sequence[TensorInfo], *, batch: int, seed: int, free_size: int = FREE_SIZE
) -> dict[str, np.ndarray]:
    """Inputs of the right types and shapes, the same ones from the same seed.

    A free first dimension is the batch; any other has `free_size`, and the same name is the same size everywhere.
    """
    sizes: dict[str, int] = {}
    for info in inputs:
        if info.shape and isinstance(info.shape[0], str):
            sizes[info.shape[0]] = batch
    generator = np.random.default_rng(seed)
    feeds = {}
    for info in inputs:
        shape = tuple(sizes.get(dim, free_size) if isinstance(dim, str) else dim for dim in info.shape)
        if math.prod(shape) > MOST_ELEMENTS:
            raise GraphError(f"The input {info.name!r} has the shape {shape}: too large to make up values for it.")
        feeds[info.name] = _values(shape, info.dtype, generator)
    return feeds


def has_free_sizes(inputs: Sequence[TensorInfo]) -> bool:
    return any(isinstance(dim, str) for info in inputs for dim in info.shape)


def _values(shape: tuple[int, ...], dtype: np.dtype, generator: np.random.Generator) -> np.ndarray:
    if dtype.kind == "f":
        noise = generator.uniform(-1, 1, shape)
        return (_waves(shape, generator) + noise).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype.itemsize == 1:  # pixels and quantized values use the whole range
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)
    # Wider integers are indices and lengths: small ones are in range more often.
    return generator.integers(0, 3, shape).astype(dtype)


def _waves(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Smooth content in [-1, 1], as images have it: noise alone averages out in a network, and agrees too easily."""
    phase: np.ndarray = generator.uniform(0, 2 * np.pi, (*shape[:-2], *(1 for _ in shape[-2:])))
    for axis in range(max(0, len(shape) - 2), len(shape)):
        ramp = np.linspace(0, 2 * np.pi * generator.uniform(0.5, 2), shape[axis])
        phase = phase + ramp.reshape([-1 if index == axis else 1 for index in range(len(shape))])
    waves: np.ndarray = np.cos(phase)
    return waves
