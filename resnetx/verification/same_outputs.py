"""Whether two graphs compute the same: seeded inputs for any signature, and a comparison of what comes out."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from resnetx.errors import GraphError
from resnetx.runtime.ort.session import TensorInfo

# Rounding in another order (a folded BatchNorm, a sum taken apart) costs some 1e-6 of an output's magnitude in
# float32; a wrong weight or a wrong fold shows from 1e-2 on. Half precision is 8,000 times coarser.
RTOL = 1e-4
RTOL_HALF = 2e-2
# An output that is zero but for rounding has no magnitude to be relative to.
ATOL = 1e-6
# Where a graph leaves a size free that is not the batch: an image's, in most graphs.
FREE_SIZE = 224
MOST_ELEMENTS = 2**28


def outputs_agree(
    before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], *, rtol: float = RTOL
) -> str | None:
    """What differs, in words, or None: floats within `rtol` of the output's largest value, all else exactly."""
    if before.keys() != after.keys():
        return f"the outputs are {sorted(after)} instead of {sorted(before)}"
    for name, expected in before.items():
        problem = _differs(expected, after[name], rtol)
        if problem:
            return f"output {name!r} {problem}"
    return None


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


def _differs(expected: np.ndarray, found: np.ndarray, rtol: float) -> str | None:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return f"is {found.dtype} {found.shape} instead of {expected.dtype} {expected.shape}"
    if expected.dtype.kind != "f":
        wrong = int(np.count_nonzero(expected != found))
        return f"differs in {wrong} of {expected.size} values, which are to be exact" if wrong else None
    first, second = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(first)
    if not np.array_equal(first[~finite], second[~finite], equal_nan=True) or not np.isfinite(second[finite]).all():
        return "has infinities or NaN in other places"
    if not finite.any():
        return None
    tolerance = max(rtol, RTOL_HALF) if expected.dtype.itemsize == 2 else rtol
    limit = ATOL + tolerance * float(np.abs(first[finite]).max())
    error = float(np.abs(first[finite] - second[finite]).max())
    return f"differs by up to {error:.3g}, and {limit:.3g} is the limit" if error > limit else None
