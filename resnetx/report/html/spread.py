"""How the samples of a case lie: a box a round and a histogram, on an axis that a few outliers don't stretch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

BINS = 26
# More boxes than this are too narrow to see; neighbouring rounds then share one.
MOST_BOXES = 48
BOX = (0.05, 0.25, 0.5, 0.75, 0.95)
# Samples further from the quartiles than this many times their distance are counted, not drawn.
REACH = 5.0

Box = tuple[float, float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """`low` to `high` is the axis; `below` and `above` count the samples beyond it."""

    count: int
    rounds: int
    low: float
    high: float
    highest: float
    quarter: float
    three_quarters: float
    below: int
    above: int
    boxes: tuple[Box, ...]
    bins: tuple[int, ...]


def measure_spread(rounds: Sequence[Sequence[float]]) -> Spread:
    """`rounds` holds at least one sample, and none that is not finite."""
    samples = sorted(chain.from_iterable(rounds))
    quarter, three_quarters = quantile(samples, 0.25), quantile(samples, 0.75)
    reach = REACH * (three_quarters - quarter)
    low, high = max(samples[0], quarter - reach), min(samples[-1], three_quarters + reach)
    # Identical samples, or nearly so, still get an axis with some height.
    margin = max(0.04 * (high - low), 0.005 * abs(high), 1e-6)
    low, high = low - margin, high + margin
    inside = [sample for sample in samples if low <= sample <= high]
    bins = [0] * BINS
    for sample in inside:
        bins[min(int((sample - low) / (high - low) * BINS), BINS - 1)] += 1
    return Spread(
        count=len(samples),
        rounds=len(rounds),
        low=low,
        high=high,
        highest=samples[-1],
        quarter=quarter,
        three_quarters=three_quarters,
        below=sum(sample < low for sample in samples),
        above=sum(sample > high for sample in samples),
        boxes=tuple(_box(sorted(chain.from_iterable(group))) for group in _groups(rounds)),
        bins=tuple(bins),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Between the two nearest of the ordered samples."""
    place = share * (len(ordered) - 1)
    index = min(int(place), len(ordered) - 2) if len(ordered) > 1 else 0
    if len(ordered) == 1:
        return ordered[0]
    return ordered[index] + (place - index) * (ordered[index + 1] - ordered[index])


def _groups(rounds: Sequence[Sequence[float]]) -> list[Sequence[Sequence[float]]]:
    size = -(-len(rounds) // MOST_BOXES)
    return [rounds[start : start + size] for start in range(0, len(rounds), size)]


def _box(ordered: Sequence[float]) -> Box:
    low, quarter, median, three_quarters, high = (quantile(ordered, share) for share in BOX)
    return low, quarter, median, three_quarters, high
