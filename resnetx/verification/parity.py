"""The error of an output against the reference, in multiples of PyTorch's own error in that precision.

Errors are relative to each sample's own magnitude, so that a large sample does not hide a small wrong one, and the
worst sample decides.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from resnetx.base.precisions import EPSILON
from resnetx.base.validation import Flag
from resnetx.verification.metrics import Metrics, measure, rms, rms_per_row

# Correct runtimes add in another order than torch. benchmarks/parity_noise.py prints the effect: the largest of ONNX
# Runtime's 252 logit errors was 1.8 times torch's own, and the smallest fault in the tests' corpus is at 37 times.
MAX_MULTIPLE = 8.0
# The minimum noise, in roundings of the output, for networks so small that torch makes almost no error.
FLOOR_ROUNDINGS = 2.0
# INT8's noise is that of PyTorch with weights and activations rounded to 256 steps. Its ranges are exact, so a
# calibrated file has about four times the error; the SQNR must reach a minimum in any case.
INT8_MAX_MULTIPLE = 6.0
INT8_MIN_SQNR_DB = 15.0


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """The user's limit instead of the noise floor: |error| <= atol + rtol * |truth|."""

    atol: float = 0.0
    rtol: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Check:
    """One output on one batch. `multiple` is None if the noise is unknown."""

    output: str
    batch: int
    passed: Flag
    multiple: float | None = None
    allowed: float | None = None
    metrics: Metrics | None = None
    reason: str | None = None


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

    def to_json(self) -> dict[str, Any]:
        return {"passed": self.passed, **json_safe(asdict(self))}


def noise_level(truth: Sequence[np.ndarray], noisy: Sequence[np.ndarray], *, precision: str) -> float:
    """PyTorch's own relative error over all samples of an output, at least a few roundings."""
    levels = np.concatenate(
        [relative_errors(answer, exact) for exact, answer in zip(truth, noisy, strict=True)] or [np.zeros(1)]
    )
    return max(rms(levels), FLOOR_ROUNDINGS * EPSILON[precision])


def relative_errors(actual: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The RMS error of each sample over the RMS of its truth; an all-zero sample uses the RMS of all."""
    scale = rms_per_row(truth)
    scale = np.where(scale > 0, scale, rms(truth) or 1.0)
    error: np.ndarray = rms_per_row(actual.astype(np.float64) - truth) / scale
    return error


def judge_floats(
    output: str,
    *,
    truth: np.ndarray,
    actual: np.ndarray,
    noise: float | None,
    precision: str = "fp32",
    tolerance: Tolerance | None = None,
) -> Check:
    """Compare `actual` with `truth` (float64); `noise` is PyTorch's own error, if it is known."""
    batch = len(truth) if truth.ndim else 1
    if actual.shape != truth.shape:
        return _refused(output, batch, f"it has the shape {actual.shape}, not {truth.shape}")
    if not np.isfinite(actual).all():
        count = int((~np.isfinite(actual)).sum())
        return _refused(output, batch, f"{count} of its {actual.size} values are NaN or infinite")
    if not truth.ndim:
        truth, actual = truth[None], actual[None]
    multiple = None if noise is None else float(relative_errors(actual, truth).max()) / noise
    allowed = INT8_MAX_MULTIPLE if precision == "int8" else MAX_MULTIPLE
    # No single error can be larger than the error of the whole row.
    row_error = None if noise is None else allowed * noise * np.sqrt(truth.size / len(truth)) * rms_per_row(truth)
    metrics = measure(actual, truth, allowed_error=row_error)
    reason = _failure(truth, actual, metrics, multiple, allowed, precision, tolerance)
    return Check(
        output=output,
        batch=batch,
        passed=reason is None,
        multiple=multiple,
        allowed=None if multiple is None or tolerance else allowed,
        metrics=metrics,
        reason=reason,
    )


def _failure(
    truth: np.ndarray,
    actual: np.ndarray,
    metrics: Metrics,
    multiple: float | None,
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
    if multiple is not None and not multiple <= allowed:
        return f"its error is {multiple:.3g} times PyTorch's own {precision} error, and {allowed:g} are allowed"
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
        return _refused(output, batch, f"{wrong} of its {indices.size} classes are not among PyTorch's {k} best")
    return Check(output=output, batch=batch, passed=True)


def judge_exact(output: str, *, truth: np.ndarray, actual: np.ndarray) -> Check:
    """Integers and booleans must be equal."""
    batch = len(truth) if truth.ndim else 1
    if actual.shape != truth.shape:
        return _refused(output, batch, f"it has the shape {actual.shape}, not {truth.shape}")
    different = int((actual != truth).sum())
    if different:
        return _refused(output, batch, f"{different} of {truth.size} elements differ")
    return Check(output=output, batch=batch, passed=True)


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
