"""Whether two graphs compute the same outputs."""

from collections.abc import Mapping

import numpy as np

# Rounding in another order (a folded BatchNorm, a split sum) changes about 1e-6 of an output's magnitude in float32;
# a wrong weight or a wrong fold changes 1e-2 or more. Half precision is 8,000 times coarser.
RTOL = 1e-4
RTOL_HALF = 2e-2
# For outputs that are zero except for rounding, which have no magnitude.
ATOL = 1e-6


def outputs_agree(
    before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], *, rtol: float = RTOL
) -> str | None:
    """What differs, as text, or None: floats within `rtol` of the output's largest value, other types exactly."""
    if before.keys() != after.keys():
        return f"the outputs are {sorted(after)} instead of {sorted(before)}"
    for name, expected in before.items():
        problem = _differs(expected, after[name], rtol)
        if problem:
            return f"output {name!r} {problem}"
    return None


def _differs(expected: np.ndarray, found: np.ndarray, rtol: float) -> str | None:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return f"is {found.dtype} {found.shape} instead of {expected.dtype} {expected.shape}"
    if expected.dtype.kind != "f":
        wrong = int(np.count_nonzero(expected != found))
        return f"differs in {wrong} of {expected.size} values, which must be exact" if wrong else None
    first, second = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(first)
    if not np.array_equal(first[~finite], second[~finite], equal_nan=True) or not np.isfinite(second[finite]).all():
        return "has infinities or NaN in other places"
    if not finite.any():
        return None
    tolerance = max(rtol, RTOL_HALF) if expected.dtype.itemsize == 2 else rtol
    limit = ATOL + tolerance * float(np.abs(first[finite]).max())
    error = float(np.abs(first[finite] - second[finite]).max())
    return f"differs by up to {error:.3g}; the limit is {limit:.3g}" if error > limit else None
