"""Confidence intervals by resampling: processes are drawn first, then rounds within each.

Samples within a round are correlated, because the machine hardly changes in that time; rounds within a process are
correlated, because a process has a memory layout of its own. Therefore processes are resampled, not samples: intervals
from single samples or rounds would be several times too narrow. Where all rounds ran in one process, only rounds can
be drawn, and the interval does not include how processes differ.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

# Fewer processes, or rounds of a single process, are not enough to estimate how they differ.
MIN_UNITS = 5
RESAMPLES = 4000
CANDIDATES = 512

# The samples of a round; the rounds that are drawn together.
Round = np.ndarray
Unit = Sequence[Round]


def units_of(processes: Sequence[Sequence[Round]]) -> list[Unit]:
    """What is drawn first: the processes; if there is only one, its rounds."""
    return [[samples] for samples in processes[0]] if len(processes) == 1 else list(processes)


def median_interval(processes: Sequence[Sequence[Round]], *, confidence: float = 0.95) -> tuple[float, float] | None:
    """The confidence interval of the median over all samples.

    The percentile bootstrap is too narrow for few units, so its levels are widened to match Student's t.
    """
    units = units_of(processes)
    if len(units) < MIN_UNITS:
        return None
    rounds = flat(units)
    medians = resampled_quantiles(rounds, draw_rounds(units, within=True))
    tail = expanded_tail(len(units), confidence)
    low, high = np.quantile(medians, [tail, 1 - tail])
    middle = float(np.median(np.concatenate(rounds)))
    return min(float(low), middle), max(float(high), middle)


def mean_interval(processes: Sequence[Sequence[Round]], *, confidence: float = 0.95) -> tuple[float, float] | None:
    """The confidence interval of the mean over all samples; of long runs too rare to be seen it knows nothing."""
    units = units_of(processes)
    if len(units) < MIN_UNITS:
        return None
    rounds = flat(units)
    totals, counts = (np.array([measure(samples) for samples in rounds], dtype=float) for measure in (np.sum, np.size))
    draws = draw_rounds(units, within=False)
    tail = expanded_tail(len(units), confidence)
    low, high = np.quantile((draws @ totals) / (draws @ counts), [tail, 1 - tail])
    middle = float(totals.sum() / counts.sum())
    return min(float(low), middle), max(float(high), middle)


def expanded_tail(count: int, confidence: float) -> float:
    """The share to cut off at each side of a percentile bootstrap over `count` units to match Student's t."""
    t = student_t((1 + confidence) / 2, count - 1)
    return NormalDist().cdf(-math.sqrt(count / (count - 1)) * t)


def student_t(level: float, freedom: int) -> float:
    """The `level` quantile of Student's t, by bisection of its distribution function."""
    low, high = 0.0, 2.0
    while _t_distribution(high, freedom) < level:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_distribution(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def _t_distribution(t: float, freedom: int) -> float:
    """The finite series for integer degrees of freedom: Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = cosine if freedom % 2 else 1.0
    total = term if freedom > 1 else 0.0
    for step in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= (step - 1) / step * cosine**2
        total += term
    inside = 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total
    return (1 + inside) / 2


def flat(units: Sequence[Unit]) -> list[Round]:
    return [samples for unit in units for samples in unit]


def draw_rounds(units: Sequence[Unit], *, resamples: int = RESAMPLES, within: bool) -> np.ndarray:
    """How often each round of `units` is drawn in each resample; the seed is fixed for reproducible figures.

    Units are drawn with all their rounds; `within` then also draws rounds from each. That counts the variation of
    rounds twice, because the units' own figures vary with it: right for the cautious interval of a median, whose
    percentiles are otherwise too narrow, but too wide where only the variance of the draws is used.
    """
    return _drawn(tuple(map(len, units)), resamples, within)


# A comparison draws the same numbers for each of its rows.
@lru_cache(maxsize=4)
def _drawn(sizes: tuple[int, ...], resamples: int, within: bool) -> np.ndarray:
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=resamples)
    columns = []
    for times, size in zip(drawn.T, sizes, strict=True):
        if within and size > 1:
            columns.append(rng.multinomial(times * size, np.full(size, 1 / size)))
        else:
            columns.append(np.repeat(times[:, None], size, axis=1))
    draws = np.concatenate(columns, axis=1).astype(np.float64)
    draws.setflags(write=False)
    return draws


def resampled_quantiles(rounds: Sequence[Round], draws: np.ndarray, *, share: float = 0.5) -> np.ndarray:
    """The quantile over all samples of each resample; it is between the lowest and the highest of a single round."""
    ordered = [np.sort(samples) for samples in rounds]
    candidates = _candidates(ordered, share)
    counts = [np.searchsorted(samples, candidates, side="right") for samples in ordered]
    below = np.array(counts, dtype=float).T
    wanted = share * (draws @ np.array([samples.size for samples in rounds], dtype=float)) - 1e-9
    # By bisection for all resamples at once. The highest candidate is at least every round's quantile, so each resample
    # reaches its share there.
    low, high = np.zeros(len(draws), dtype=int), np.full(len(draws), candidates.size - 1)
    while (low < high).any():
        middle = (low + high) // 2
        reached = np.einsum("ij,ij->i", draws, below[middle]) >= wanted
        low, high = np.where(reached, low, middle + 1), np.where(reached, middle, high)
    return np.asarray(candidates[low])


def _candidates(ordered: Sequence[Round], share: float) -> np.ndarray:
    # Not interpolated, because the pooled quantile may be outside the range of interpolated ones.
    quantiles = [samples[max(math.ceil(share * samples.size - 1e-9) - 1, 0)] for samples in ordered]
    pooled = np.sort(np.concatenate(ordered))
    inside: np.ndarray = pooled[(pooled >= min(quantiles)) & (pooled <= max(quantiles))]
    if inside.size <= CANDIDATES:
        return inside
    return np.asarray(inside[np.linspace(0, inside.size - 1, CANDIDATES).astype(int)])
