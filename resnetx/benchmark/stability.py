"""Warnings about unstable samples: rounds or processes that differ, a drift from first to last, disturbed runs."""

import math
from collections.abc import Sequence

import numpy as np

from resnetx.benchmark.process_spread import process_spread
from resnetx.benchmark.resampling import MIN_UNITS
from resnetx.benchmark.result import BenchCase
from resnetx.benchmark.samples import valid_processes, valid_rounds

# A quiet machine stays below these.
MAX_SPREAD = 0.05
MAX_DRIFT = 0.03
MAX_PROCESS_SPREAD = 0.01
OUTLIER = 2.0
MAX_OUTLIERS = 0.02
# A trend that occurs by chance once in a hundred runs.
TREND_Z = 2.58


def stability_warnings(case: BenchCase) -> tuple[str, ...]:
    """A message for each sign that the samples of this case are unstable."""
    rounds, processes = valid_rounds(case), valid_processes(case)
    if len(rounds) < MIN_UNITS:
        return (f"Only {len(rounds)} rounds: a confidence interval needs at least {MIN_UNITS}.",) if rounds else ()
    medians = np.array([np.median(samples) for samples in rounds])
    found = (_processes(processes), _spread(medians), _drift(medians), _outliers(np.concatenate(rounds)))
    return tuple(warning for warning in found if warning)


def _processes(processes: Sequence[Sequence[np.ndarray]]) -> str | None:
    if 1 < len(processes) < MIN_UNITS:
        return f"Only {len(processes)} processes: a confidence interval needs at least {MIN_UNITS}, or one."
    spread = process_spread(processes)
    if spread is None or not spread.dominates or spread.between <= MAX_PROCESS_SPREAD:
        return None
    return (
        f"Processes differ by {spread.between:.1%}, rounds within one by {spread.within:.1%}: for a narrower interval, "
        "use more --processes; more rounds or a longer --duration do not help."
    )


def _spread(medians: np.ndarray) -> str | None:
    low, middle, high = np.quantile(medians, [0.25, 0.5, 0.75])
    spread = float((high - low) / middle)
    if spread <= MAX_SPREAD:
        return None
    return f"Rounds differ: the middle half of their medians spans {spread:.0%}."


def _drift(medians: np.ndarray) -> str | None:
    """The Theil-Sen slope over the rounds, if Kendall's test finds a trend; a single slow round is not a trend."""
    count = len(medians)
    first, second = np.triu_indices(count, k=1)
    steps = np.log(medians[second] / medians[first])
    score = float(np.sign(steps).sum())
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    drift = math.expm1(float(np.median(steps / (second - first))) * (count - 1))
    if abs(score) - 1 < TREND_Z * deviation or abs(drift) <= MAX_DRIFT:
        return None
    return f"Samples drift: the last round is {abs(drift):.0%} {'slower' if drift > 0 else 'faster'} than the first."


def _outliers(samples: np.ndarray) -> str | None:
    share = float(np.mean(samples > OUTLIER * np.median(samples)))
    if share <= MAX_OUTLIERS:
        return None
    return f"{share:.0%} of the runs took more than twice the median: something else used the machine."
