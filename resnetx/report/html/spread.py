"""The distribution of the samples of a case: one box per round and a histogram, without far outliers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 26
# More boxes than this are too narrow to see; neighbouring rounds then share one.
MOST_BOXES = 48
BOX = (0.05, 0.25, 0.5, 0.75, 0.95)
# Samples more than this many interquartile ranges from the quartiles are counted, not drawn.
REACH = 5.0


@dataclass(frozen=True, kw_only=True)
class Spread:
    """`low` to `high` is the axis; `below` and `above` count the samples beyond it. A box holds the shares of `BOX`."""

    count: int
    median: float
    rounds: int
    low: float
    high: float
    highest: float
    quarter: float
    three_quarters: float
    below: int
    above: int
    boxes: list[list[float]]
    bins: list[int]

    def percent(self, value: float) -> float:
        """By how much a value is above the median."""
        return 100 * (value / self.median - 1) if self.median else 0.0


def measure_spread(rounds: Sequence[Sequence[float]], *, axis: tuple[float, float] | None = None) -> Spread:
    """`rounds` must contain at least one sample, and finite samples only. By default, the axis is that of these."""
    samples = np.concatenate(rounds)
    lowest, quarter, median, three_quarters, highest = np.quantile(samples, (0, 0.25, 0.5, 0.75, 1)).tolist()
    if axis is None:
        reach = REACH * (three_quarters - quarter)
        low, high = max(lowest, quarter - reach), min(highest, three_quarters + reach)
        # Identical samples, or nearly so, still get an axis with some height.
        margin = max(0.04 * (high - low), 0.005 * abs(high), 1e-6)
        axis = low - margin, high + margin
    low, high = axis
    size = -(-len(rounds) // MOST_BOXES)
    groups = [np.concatenate(rounds[start : start + size]) for start in range(0, len(rounds), size)]
    return Spread(
        count=len(samples),
        median=median,
        rounds=len(rounds),
        low=low,
        high=high,
        highest=highest,
        quarter=quarter,
        three_quarters=three_quarters,
        below=int(np.sum(samples < low)),
        above=int(np.sum(samples > high)),
        boxes=[np.quantile(group, BOX).tolist() for group in groups],
        bins=np.histogram(samples, BINS, (low, high))[0].tolist(),
    )
