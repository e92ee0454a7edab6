"""The ratio of the times of two cases with a confidence interval, by resampling processes.

A process is a unit with all its rounds: how much whole processes differ includes how much their rounds do. If a case
ran in one process only, its rounds are the units, and the interval does not include how processes differ.

Two statistics ("readings") of the same rounds are computed. The median is better on a quiet machine; in interleaved
rounds it is compared round by round, so that a common drift cancels. On a shared machine, bursts of other programs
affect many rounds, and now and then a process is slower as a whole; the median mixes disturbed and undisturbed runs.
The fastest tenth of all runs is not affected, and still separates the two cases. The reading with the narrower interval
is used; each has half of the permitted error rate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnetx.benchmark.resampling import MIN_UNITS, Unit, draw_rounds, flat, resampled_quantiles, student_t, units_of

# One false alarm in a hundred comparisons.
FALSE_ALARMS = 0.01
READINGS = {"median": 0.5, "fastest tenth": 0.1}
# Two runs of one model, minutes apart on a quiet machine, differ by this much more than their processes indicate.
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


def contrast_processes(
    old: Sequence[Sequence[np.ndarray]], new: Sequence[Sequence[np.ndarray]], *, paired: bool, rows: int = 1
) -> Contrast | None:
    """The ratio and the interval that holds for all of `rows` comparisons together; None if there are too few processes
    or, where there is only one, too few rounds.

    `old` and `new` hold the rounds of each process. `paired` rounds with the same index ran next to each other, so they
    are resampled together. Otherwise the runs are independent, and the interval is widened for the difference between
    runs and for the autocorrelation of processes or rounds.
    """
    olds, news = units_of(old) if old else [], units_of(new) if new else []
    count = min(len(olds), len(news))
    if count < MIN_UNITS or (paired and list(map(len, olds)) != list(map(len, news))):
        return None
    # Corrected for two readings and all rows; one-sided, because a false alarm is.
    t = student_t(1 - FALSE_ALARMS / len(READINGS) / rows, count - 1)
    readings = [_read(olds, news, name, t, paired=paired) for name in READINGS]
    return min(readings, key=lambda reading: math.log(reading.high) - math.log(reading.low))


def _read(old: Sequence[Unit], new: Sequence[Unit], name: str, t: float, *, paired: bool) -> Contrast:
    share = READINGS[name]
    if paired and name == "median":
        middle, variance = _round_by_round(old, new)
    else:
        before, after = (np.quantile(np.concatenate(flat(units)), share) for units in (old, new))
        middle = math.log(after / before)
        variance = (_variance_together if paired else _variance_apart)(old, new, share)
    reach = min(t * math.sqrt(variance), 30.0)
    return Contrast(ratio=math.exp(middle), low=math.exp(middle - reach), high=math.exp(middle + reach), reading=name)


def _round_by_round(old: Sequence[Unit], new: Sequence[Unit]) -> tuple[float, float]:
    """The mean of the units' log ratios, and its variance, which resampling would only approximate."""
    logs = np.array([_mean_log_ratio(before, after) for before, after in zip(old, new, strict=True)])
    return float(logs.mean()), float(logs.var(ddof=1)) / len(logs)


def _mean_log_ratio(old: Unit, new: Unit) -> float:
    ratios = [np.median(after) / np.median(before) for before, after in zip(old, new, strict=True)]
    return float(np.mean(np.log(ratios)))


def _variance_together(old: Sequence[Unit], new: Sequence[Unit], share: float) -> float:
    draws = draw_rounds(old, resamples=RESAMPLES, within=False)
    before, after = (resampled_quantiles(flat(units), draws, share=share) for units in (old, new))
    return _unbiased(np.log(after / before), len(old))


def _variance_apart(old: Sequence[Unit], new: Sequence[Unit], share: float) -> float:
    total = RUN_TO_RUN**2
    for units in (old, new):
        draws = draw_rounds(units, resamples=RESAMPLES, within=False)
        logs = np.log(resampled_quantiles(flat(units), draws, share=share))
        total += _unbiased(logs, len(units)) * _inflation(units, share)
    return total


def _unbiased(logs: np.ndarray, count: int) -> float:
    """The bootstrap underestimates the variance by the factor (n - 1) / n."""
    return float(np.var(logs)) * count / (count - 1)


def _inflation(units: Sequence[Unit], share: float) -> float:
    """By which factor autocorrelation increases the variance of the mean of the units."""
    levels = np.log([np.quantile(np.concatenate(unit), share) for unit in units])
    levels -= levels.mean()
    power = float(levels @ levels)
    if power == 0.0:
        return 1.0
    # The estimate of the autocorrelation of n units is too low by about 1 / n.
    correlation = float(levels[1:] @ levels[:-1]) / power + 1 / len(units)
    bounded = min(max(correlation, 0.0), MOST_CORRELATED)
    return (1 + bounded) / (1 - bounded)
