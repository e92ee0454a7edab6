"""Error metrics between a provider's outputs and the reference; each detects errors that the others miss."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """One output on one batch. `top1` and `top5` are None if the output is not a row of class scores."""

    max_abs: float
    rms: float
    sqnr_db: float
    cosine: float
    ulp_p99: float
    top1: float | None
    top5: float | None
    flips: int
    unexplained_flips: int


def measure(actual: np.ndarray, truth: np.ndarray, *, allowed_error: np.ndarray | None = None) -> Metrics:
    """Compare `actual` with `truth` (float64). A top-1 flip is explained if the true margin is at most twice the
    allowed error of its row or, if that is not specified, twice the largest error in it."""
    error = np.abs(actual.astype(np.float64) - truth)
    scores = truth.ndim == 2 and truth.shape[1] > 1
    top1 = top5 = None
    flips = unexplained = 0
    if scores:
        best, rows = truth.argmax(axis=1), np.arange(len(truth))
        flipped = np.atleast_1d(actual.argmax(axis=1) != best)
        margin = truth[rows, best] - truth[rows, actual.argmax(axis=1)]
        allowed = error.max(axis=1) if allowed_error is None else allowed_error
        flips, unexplained = int(flipped.sum()), int((flipped & (margin > 2 * allowed)).sum())
        top1 = 1.0 - flips / len(truth)
        top5 = _top_agreement(actual, truth, 5)
    return Metrics(
        max_abs=float(error.max(initial=0.0)),
        rms=rms(error),
        sqnr_db=sqnr_db(truth, error),
        cosine=_cosine(actual.astype(np.float64), truth),
        ulp_p99=float(np.percentile(_ulps(actual, truth), 99)) if truth.size else 0.0,
        top1=top1,
        top5=top5,
        flips=flips,
        unexplained_flips=unexplained,
    )


def rms(values: np.ndarray) -> float:
    """Scaled before squaring, because errors of 1e-200 and of 1e200 both occur in broken files."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0 or not np.isfinite(largest):
        return largest
    return largest * float(np.sqrt(np.mean(np.square(values / largest, dtype=np.float64))))


def rms_per_row(values: np.ndarray) -> np.ndarray:
    """The RMS of each sample, over all dimensions after the first."""
    return np.array([rms(row) for row in values.reshape(len(values), -1)])


def sqnr_db(truth: np.ndarray, error: np.ndarray) -> float:
    """Signal over noise; infinite if there is no error."""
    noise = rms(error)
    signal = rms(truth)
    if noise == 0.0:
        return float("inf")
    return 20 * float(np.log10(signal / noise)) if signal else float("-inf")


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    if norms == 0.0:
        return 1.0 if not a.any() and not b.any() else 0.0
    return float(np.vdot(a, b) / norms)


def _ulps(actual: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Errors in float32 units in the last place of `truth`, because every provider returns float32."""
    single = np.abs(truth).astype(np.float32)
    spacing: np.ndarray = np.spacing(np.maximum(single, np.finfo(np.float32).tiny)).astype(np.float64)
    ulps: np.ndarray = np.abs(actual.astype(np.float64) - truth) / spacing
    return ulps


def _top_agreement(actual: np.ndarray, truth: np.ndarray, k: int) -> float:
    """The mean share of the top k classes of `truth` that are among the top k of `actual`."""
    k = min(k, truth.shape[1])
    ours = np.argpartition(-actual, k - 1, axis=1)[:, :k]
    theirs = np.argpartition(-truth, k - 1, axis=1)[:, :k]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]))
