"""By how much the processes of a case differ, beyond what the variation of their rounds explains."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnetx.benchmark.resampling import MIN_UNITS

# The share of the variance of the result that is due to processes is 1 - 1 / this; if processes did not differ, this
# ratio would occur by chance once in a hundred runs of 10 processes with 2 rounds.
DOMINATES = 5.0


@dataclass(frozen=True, kw_only=True)
class ProcessSpread:
    """Standard deviations of the logarithm of a round's median, i.e. relative ones: between processes, and of rounds
    within one process (None if each process ran one round; then `between` includes it).
    """

    between: float
    within: float | None
    dominates: bool


def process_spread(processes: Sequence[Sequence[np.ndarray]]) -> ProcessSpread | None:
    """A one-way analysis of variance; None if there are too few processes."""
    if len(processes) < MIN_UNITS:
        return None
    usual = np.median(processes[0][0])
    levels = [np.log([np.median(samples) / usual for samples in process]) for process in processes]
    sizes = np.array([group.size for group in levels], dtype=float)
    rounds = float(sizes.sum())
    means = np.array([group.mean() for group in levels])
    if rounds == len(levels):
        return ProcessSpread(between=float(means.std(ddof=1)), within=None, dominates=False)
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in levels) / (rounds - len(levels))
    overall = float(sizes @ means) / rounds
    among = float(sizes @ (means - overall) ** 2) / (len(levels) - 1)
    # The number of rounds of a process, if it is the same for all.
    each = (rounds - float(sizes @ sizes) / rounds) / (len(levels) - 1)
    between = math.sqrt(max(among - within, 0.0) / each)
    return ProcessSpread(between=between, within=math.sqrt(within), dominates=among > DOMINATES * within)
