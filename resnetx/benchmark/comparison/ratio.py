"""The ratio of the times of two cases with a confidence interval, by resampling rounds.

Two statistics ("readings") of the same rounds are computed. The median is better on a quiet machine; in interleaved
rounds it is compared round by round, so that a common drift cancels. On a shared machine, bursts of other programs
affect many rounds, and the median mixes disturbed and undisturbed runs; the fastest tenth of all runs is not affected,
and still separates the two cases. The reading with the narrower interval is used; each has half of the permitted error
rate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnetx.benchmark.summary import MIN_ROUNDS, draw_rounds, resampled_quantiles, student_t

# One false alarm in a hundred comparisons.
FALSE_ALARMS = 0.01
READINGS = {"median": 0.5, "fastest tenth": 0.1}
# Two runs of one model, minutes apart on a quiet machine, differ by this much more than their rounds indicate.
RUN_TO_RUN = 0.005
MOST_CORRELATED = 0.9
# Enough for a variance; the tails come from Student's t.
RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """`ratio` is new time over old time, so above 1 is slower; `reading` is the statistic that was used."""

    ratio: float
    low: float
    high: float
    reading: str


def contrast_rounds(
    old: Sequence[np.ndarray], new: Sequence[np.ndarray], *, paired: bool, rows: int = 1
) -> Contrast | None:
    """The ratio and the interval that holds for all of `rows` comparisons together; None if there are too few rounds.

    `paired` rounds with the same index ran next to each other, so they are resampled together. Otherwise the runs are
    independent, and the interval is widened for the difference between runs and for the autocorrelation of rounds.
    """
    count = min(len(old), len(new))
    if count < MIN_ROUNDS or (paired and len(old) != len(new)):
        return None
    # Corrected for two readings and all rows; one-sided, because a false alarm is.
    t = student_t(1 - FALSE_ALARMS / len(READINGS) / rows, count - 1)
    readings = [_read(old, new, name, t, paired=paired) for name in READINGS]
    return min(readings, key=lambda reading: math.log(reading.high) - math.log(reading.low))


def _read(old: Sequence[np.ndarray], new: Sequence[np.ndarray], name: str, t: float, *, paired: bool) -> Contrast:
    share = READINGS[name]
    if paired and name == "median":
        middle, variance = _round_by_round(old, new)
    else:
        middle = math.log(np.quantile(np.concatenate(new), share) / np.quantile(np.concatenate(old), share))
        variance = (_variance_together if paired else _variance_apart)(old, new, share)
    reach = min(t * math.sqrt(variance), 30.0)
    return Contrast(ratio=math.exp(middle), low=math.exp(middle - reach), high=math.exp(middle + reach), reading=name)


def _round_by_round(old: Sequence[np.ndarray], new: Sequence[np.ndarray]) -> tuple[float, float]:
    """The mean of the rounds' log ratios, and its variance, which resampling would only approximate."""
    pairs = zip(old, new, strict=True)
    logs = np.array([math.log(np.median(after) / np.median(before)) for before, after in pairs])
    return float(logs.mean()), float(logs.var(ddof=1)) / len(logs)


def _variance_together(old: Sequence[np.ndarray], new: Sequence[np.ndarray], share: float) -> float:
    draws = draw_rounds(len(old), resamples=RESAMPLES)
    logs = np.log(resampled_quantiles(new, draws, share=share) / resampled_quantiles(old, draws, share=share))
    return _unbiased(logs, len(old))


def _variance_apart(old: Sequence[np.ndarray], new: Sequence[np.ndarray], share: float) -> float:
    total = RUN_TO_RUN**2
    for rounds in (old, new):
        logs = np.log(resampled_quantiles(rounds, draw_rounds(len(rounds), resamples=RESAMPLES), share=share))
        total += _unbiased(logs, len(rounds)) * _inflation(rounds, share)
    return total


def _unbiased(logs: np.ndarray, count: int) -> float:
    """The bootstrap underestimates the variance by the factor (n - 1) / n."""
    return float(np.var(logs)) * count / (count - 1)


def _inflation(rounds: Sequence[np.ndarray], share: float) -> float:
    """By which factor autocorrelation increases the variance of the mean of the rounds."""
    levels = np.log([np.quantile(samples, share) for samples in rounds])
    levels -= levels.mean()
    power = float(levels @ levels)
    if power == 0.0:
        return 1.0
    # The estimate of the autocorrelation of n rounds is too low by about 1 / n.
    correlation = float(levels[1:] @ levels[:-1]) / power + 1 / len(rounds)
    bounded = min(max(correlation, 0.0), MOST_CORRELATED)
    return (1 + bounded) / (1 - bounded)
