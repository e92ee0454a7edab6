"""How far an output is from the truth, in multiples of the error that PyTorch itself makes in that precision."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# Honest runtimes add in another order than torch does; their errors stay within a small multiple of torch's own.
MAX_MULTIPLE = 8.0
# A network so small that torch makes hardly an error is held to a few roundings of its output instead.
FLOOR_ROUNDINGS = 2.0
EPSILON = {"fp32": float(np.finfo(np.float32).eps), "fp16": float(np.finfo(np.float16).eps)}


@dataclass(frozen=True, kw_only=True)
class OutputParity:
    """One output, all batches: errors against float64 PyTorch, beside the error of PyTorch in this precision.

    `multiple` is None where there is no noise to measure by: integers agree or they don't.
    """

    output: str
    passed: bool
    max_abs_error: float
    rms_error: float
    noise_rms: float
    multiple: float | None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The verdict on a file. It passes if each output does."""

    precision: str
    batches: tuple[int, ...]
    max_multiple: float
    outputs: tuple[OutputParity, ...]

    @property
    def passed(self) -> bool:
        return all(output.passed for output in self.outputs)

    def to_json(self) -> dict[str, Any]:
        return {"passed": self.passed, **_rounded(asdict(self))}


def judge_floats(
    name: str, *, truth: np.ndarray, noisy: np.ndarray, actual: np.ndarray, precision: str = "fp32"
) -> OutputParity:
    """Hold `actual` against `truth` (float64), with `noisy` (torch in this precision) as the measure of error."""
    if actual.shape != truth.shape:
        return _refused(name, f"it has the shape {actual.shape}, not {truth.shape}")
    if not np.isfinite(actual).all():
        return _refused(name, "it holds NaN or infinity")
    error = np.abs(actual.astype(np.float64) - truth)
    noise = np.abs(noisy.astype(np.float64) - truth)
    floor = FLOOR_ROUNDINGS * EPSILON[precision] * _rms(truth)
    noise_rms = max(_rms(noise), floor, float(np.finfo(np.float64).tiny))
    multiple = _rms(error) / noise_rms
    passed = multiple <= MAX_MULTIPLE
    return OutputParity(
        output=name,
        passed=passed,
        max_abs_error=float(error.max(initial=0.0)),
        rms_error=_rms(error),
        noise_rms=noise_rms,
        multiple=multiple,
        reason=None if passed else f"its error is {multiple:.3g} times PyTorch's own, and {MAX_MULTIPLE:g} are allowed",
    )


def judge_top_k(name: str, *, truth: np.ndarray, indices: np.ndarray, k: int, tolerance: float) -> OutputParity:
    """Hold the k best classes against the true probabilities: a tie may be broken either way, nothing else may."""
    if indices.shape != (len(truth), k):
        return _refused(name, f"it has the shape {indices.shape}, not {(len(truth), k)}")
    if indices.min() < 0 or indices.max() >= truth.shape[1] or any(len(set(row)) != k for row in indices.tolist()):
        return _refused(name, "it names classes that don't exist, or one class twice")
    best = -np.sort(-truth, axis=1)[:, :k]
    error = np.abs(np.take_along_axis(truth, indices, axis=1) - best)
    passed = bool((error <= tolerance).all())
    return OutputParity(
        output=name,
        passed=passed,
        max_abs_error=float(error.max()),
        rms_error=_rms(error),
        noise_rms=tolerance,
        multiple=None,
        reason=None if passed else "it names other classes than PyTorch does",
    )


def judge_exact(name: str, *, truth: np.ndarray, actual: np.ndarray) -> OutputParity:
    """Integers and booleans agree or they don't."""
    if actual.shape != truth.shape:
        return _refused(name, f"it has the shape {actual.shape}, not {truth.shape}")
    different = int((actual != truth).sum())
    if different:
        return _refused(name, f"{different} of {truth.size} elements differ")
    return OutputParity(output=name, passed=True, max_abs_error=0.0, rms_error=0.0, noise_rms=0.0, multiple=None)


def _refused(name: str, reason: str) -> OutputParity:
    infinite = float("inf")
    return OutputParity(
        output=name,
        passed=False,
        max_abs_error=infinite,
        rms_error=infinite,
        noise_rms=0.0,
        multiple=None,
        reason=reason,
    )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0


def _rounded(value: Any) -> Any:
    """Three digits: the last ones differ between machines, and files are to be the same."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{value:.3g}") if isinstance(value, float) and np.isfinite(value) else value
