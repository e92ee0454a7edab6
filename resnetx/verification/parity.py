"""The error of an output against the reference, in multiples of PyTorch's own error in that precision.

Errors are relative to each sample's own magnitude, so that a large sample does not hide a small wrong one, and the
worst sample decides.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from resnetx.base.validation import Flag
from resnetx.verification.metrics import Metrics, measure, rms_per_row
from resnetx.verification.noise import Noise

# How far each element of an output moves if parameters and inputs are off by a few roundings.
Sway = Callable[[], np.ndarray]

# Correct runtimes add in another order than torch. benchmarks/parity_noise.py prints the effect: the largest of ONNX
# Runtime's 252 logit errors was 1.8 times torch's own, and the smallest fault in the tests' corpus is at 37 times.
MAX_MULTIPLE = 8.0
# Of 60 normal errors the largest is 2.9 times their RMS, of 8,000 4.2 times. An element may be above the bound of
# samples by that factor, divided by this number; honest elements stay below half of it.
ELEMENT_SPREAD = 1.7
# INT8's noise is that of PyTorch with weights and the inputs of layers rounded to 256 steps. Its ranges are exact, so a
# calibrated file has about four times the error; one that also rounds what is added, with weights of 7 bits, seven; and
# one whose ranges are cut off, by entropy or at a percentile, calibrated on other images, up to 17 (a ResNet-50 with
# weights of 8 bits). Faults of single layers are found where layers and steps are compared, and the file as a whole by
# its SQNR beside that of its own simulation; the SQNR must reach a minimum in any case.
INT8_MAX_MULTIPLE = 24.0
INT8_MIN_SQNR_DB = 15.0


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """The user's limit instead of the noise floor: |error| <= atol + rtol * |truth|."""

    atol: float = 0.0
    rtol: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Check:
    """One output on one batch. `multiple` is None if the noise is unknown.

    `explained` elements differ by more than the noise because of a tie that a rounding decides.
    """

    output: str
    batch: int
    passed: Flag
    multiple: float | None = None
    allowed: float | None = None
    metrics: Metrics | None = None
    reason: str | None = None
    explained: int = 0


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The verdict on a file. It passes if all checks pass and there is at least one."""

    precision: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def batches(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(check.batch for check in self.checks))

    def worst(self, output: str) -> Check:
        """The check of an output that failed, or came closest to failing."""
        checks = [check for check in self.checks if check.output == output]
        return max(checks, key=lambda check: (not check.passed, check.multiple or 0.0))

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(check.output for check in self.checks))

    @property
    def largest(self) -> Check | None:
        """The check with the largest multiple of the noise, if any is known."""
        known = [check for check in self.checks if check.multiple is not None]
        return max(known, key=lambda check: check.multiple or 0.0, default=None)

    @property
    def first_failed(self) -> Check | None:
        return next((check for check in self.checks if not check.passed), None)

    def to_json(self) -> dict[str, Any]:
        return {"passed": self.passed, **json_safe(asdict(self))}


def judge_floats(
    output: str,
    *,
    truth: np.ndarray,
    actual: np.ndarray,
    noise: Noise | None,
    precision: str = "fp32",
    tolerance: Tolerance | None = None,
    sway: Sway | None = None,
) -> Check:
    """Compare `actual` with `truth` (float64); `noise` is PyTorch's own error, if it is known.

    `sway` says how far each element moves if parameters and inputs are off by a few roundings: an element that is near
    a tie of a rounding, a comparison or a selection may move as far. It is asked only if a check would fail.
    """
    batch = len(truth) if truth.ndim else 1
    if actual.shape != truth.shape:
        return _refused(output, batch, f"it has the shape {actual.shape}, not {truth.shape}")
    wrong = _wrong_infinities(actual, truth, truth if noise is None else noise.like)
    if wrong:
        return _refused(output, batch, f"{wrong} of its {actual.size} values are NaN or infinite in other places")
    # Where one side is infinite or NaN, so is PyTorch's float32, and there is nothing more to compare.
    finite = np.isfinite(actual) & np.isfinite(truth)
    rows, exact = (np.where(finite, side, 0.0) for side in (actual, truth))
    if not truth.ndim:
        rows, exact = rows[None], exact[None]
    error = np.abs(rows - exact)
    allowed = INT8_MAX_MULTIPLE if precision == "int8" else MAX_MULTIPLE
    explained = 0
    if noise is not None and tolerance is None and sway is not None and _Errors(error, noise, allowed).worst > allowed:
        moved = 2 * sway().reshape(error.shape)
        near_a_tie = (moved > allowed * noise.elements) & (error <= moved + allowed * noise.elements)
        explained = int(near_a_tie.sum())
        error, rows = np.where(near_a_tie, 0.0, error), np.where(near_a_tie, exact, rows)
    found = None if noise is None else _Errors(error, noise, allowed)
    # No single error can be larger than the error of the whole row.
    row_error = None if noise is None else allowed * noise.samples * np.sqrt(max(1, exact.size // len(exact)))
    metrics = measure(rows, exact, allowed_error=row_error)
    reason = _failure(exact, rows, metrics, found, allowed, precision, tolerance)
    return Check(
        output=output,
        batch=batch,
        passed=reason is None,
        multiple=None if found is None else found.worst,
        allowed=None if found is None or tolerance else allowed,
        metrics=metrics,
        reason=reason,
        explained=explained,
    )


class _Errors:
    """The errors of a batch in multiples of the noise: of each sample, and of the single element that is farthest off.

    Of many elements, one is farther off than most by chance: the bound for single elements grows with their number.
    """

    def __init__(self, error: np.ndarray, noise: Noise, allowed: float) -> None:
        samples = rms_per_row(error) / noise.samples
        elements = error / noise.elements
        self.spread = element_spread(error.size)
        self.sample = float(samples.max(initial=0.0))
        self.element = float(elements.max(initial=0.0))
        self.place = tuple(int(i) for i in np.unravel_index(int(elements.argmax()), error.shape)) if error.size else ()
        self.allowed_element = allowed * self.spread
        self.worst = max(self.sample, self.element / self.spread)


def element_spread(count: int) -> float:
    """How much farther than a sample the farthest of so many elements may be off."""
    return max(1.0, float(np.sqrt(2 * np.log(max(2, count)))) / ELEMENT_SPREAD)


def _wrong_infinities(actual: np.ndarray, truth: np.ndarray, like: np.ndarray) -> int:
    """The values that are infinite or NaN where PyTorch's are not, or are not where PyTorch's are in any precision."""
    with np.errstate(invalid="ignore"):
        same = (np.isnan(actual) & (np.isnan(truth) | np.isnan(like))) | (actual == truth) | (actual == like)
        both_finite = np.isfinite(actual) & (np.isfinite(truth) | np.isfinite(like))
    return int((~(same | both_finite)).sum())


def _failure(
    truth: np.ndarray,
    actual: np.ndarray,
    metrics: Metrics,
    found: _Errors | None,
    allowed: float,
    precision: str,
    tolerance: Tolerance | None,
) -> str | None:
    if tolerance is not None:
        beyond = np.abs(actual.astype(np.float64) - truth) > tolerance.atol + tolerance.rtol * np.abs(truth)
        words = (
            f"{int(beyond.sum())} of {truth.size} values are beyond atol {tolerance.atol:g}, rtol {tolerance.rtol:g}"
        )
        return words if beyond.any() else None
    if found is not None and not found.sample <= allowed:
        return (
            f"its error is {found.sample:.3g} times the reference's own {precision} error, and {allowed:g} are allowed"
        )
    if found is not None and not found.element <= found.allowed_element:
        return (
            f"the error of its element {list(found.place)} is {found.element:.3g} times the reference's own "
            f"{precision} error, and {found.allowed_element:.3g} are allowed"
        )
    if precision == "int8" and metrics.sqnr_db < INT8_MIN_SQNR_DB:
        return f"its SQNR is {metrics.sqnr_db:.1f} dB, and {INT8_MIN_SQNR_DB:g} dB are required"
    if metrics.unexplained_flips:
        return f"{metrics.unexplained_flips} of {len(truth)} best classes changed by more than the allowed error"
    return None


def judge_top_k(output: str, *, truth: np.ndarray, indices: np.ndarray, k: int, tolerance: float) -> Check:
    """Compare the k best classes with the true probabilities: only ties may be swapped."""
    batch = len(truth)
    if indices.shape != (batch, k):
        return _refused(output, batch, f"it has the shape {indices.shape}, not {(batch, k)}")
    if indices.min() < 0 or indices.max() >= truth.shape[1] or any(len(set(row)) != k for row in indices.tolist()):
        return _refused(output, batch, "it contains classes that don't exist, or one class twice")
    best = -np.sort(-truth, axis=1)[:, :k]
    wrong = int((np.abs(np.take_along_axis(truth, indices, axis=1) - best) > tolerance).sum())
    if wrong:
        return _refused(output, batch, f"{wrong} of its {indices.size} classes are not among the reference's {k} best")
    return Check(output=output, batch=batch, passed=True)


def judge_exact(
    output: str, *, truth: np.ndarray, actual: np.ndarray, like: np.ndarray | None = None, sway: Sway | None = None
) -> Check:
    """Integers and booleans must be equal, except near a tie: there they may be off by as much as `sway` says.

    Where PyTorch's own answer in the precision, `like`, is another, that precision decides nothing; of a list of
    indices, as of the best classes, this holds for the whole list.
    """
    batch = len(truth) if truth.ndim else 1
    if actual.shape != truth.shape:
        return _refused(output, batch, f"it has the shape {actual.shape}, not {truth.shape}")
    different = actual != truth
    near_a_tie = np.zeros(truth.shape, bool)
    if different.any() and like is not None and like.shape == truth.shape:
        near_a_tie = like != truth
        if truth.ndim == 2:
            near_a_tie |= near_a_tie.any(axis=1, keepdims=True)
    if different.any() and sway is not None:
        near_a_tie |= np.abs(actual.astype(np.float64) - truth) <= sway()
    explained = int((different & near_a_tie).sum())
    different &= ~near_a_tie
    if different.any():
        return _refused(output, batch, f"{int(different.sum())} of {truth.size} elements differ")
    return Check(output=output, batch=batch, passed=True, explained=explained)


def _refused(output: str, batch: int, reason: str) -> Check:
    return Check(output=output, batch=batch, passed=False, reason=reason)


def json_safe(value: Any, *, digits: int = 3) -> Any:
    """Three digits, because the last ones differ between machines; infinities as text, because JSON has none."""
    if isinstance(value, dict):
        return {key: json_safe(item, digits=digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item, digits=digits) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if np.isfinite(value) else str(value)
    return value
