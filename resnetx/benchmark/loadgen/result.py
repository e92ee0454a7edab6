"""The result of an MLPerf scenario, and the search for the highest rate that a server can sustain."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from resnetx.base.validation import Flag, Large, Number
from resnetx.base.vocabulary import Scenario

# The latency percentile that MLPerf reports.
MERIT_PERCENTILE = {"single-stream": "p90", "multi-stream": "p99"}
SAMPLES_PER_QUERY = {"multi-stream": 8}
# The minimum length of an official MLPerf run, from mlperf.conf and LoadGen's early-stopping estimates.
OFFICIAL_S = 600.0
OFFICIAL_QUERIES = {"single-stream": 64, "multi-stream": 662, "server": 459}
OFFICIAL_OFFLINE_SAMPLES = 24_576
DEFAULT_S = 10.0
DEFAULT_BOUND_MS = 15.0
# The search stops at this relative difference: runs are not steady enough to separate closer rates.
TOLERANCE = 0.05
MOST_SAMPLES = 20_000


@dataclass(frozen=True, kw_only=True)
class LoadRun:
    """One LoadGen run: its figures and its verdict. `samples_ms` are latencies of queries, thinned if there are many.

    In offline, `queries` is the number of samples, because all samples are one query, and there are no latencies.
    `rate` is the number of queries scheduled per second, `bound_kept` whether their p99 was within the bound; both are
    set for server only.
    """

    valid: Flag
    queries: Large
    samples_per_s: Number | None
    percentiles_ms: dict[str, Number]
    reasons: list[str] = field(default_factory=list)
    rate: Number | None = None
    bound_kept: Flag | None = None
    samples_ms: list[Number] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A rate that was tried during the search."""

    rate: Number
    kept: Flag
    p99_ms: Number | None


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """The final run, and the probes of the search. `searched` is true if the rate was not specified."""

    scenario: Scenario
    duration_s: Number
    run: LoadRun
    latency_bound_ms: Number | None = None
    searched: Flag = False
    probes: list[Probe] = field(default_factory=list)
    unofficial: str | None = None

    @property
    def kept(self) -> bool:
        """Whether the latency bound was kept; only server has one."""
        return self.scenario != "server" or sustained(self.run)

    @property
    def figure(self) -> float | None:
        """The scenario's figure of merit; None for a server whose search found no rate."""
        if self.scenario == "offline":
            return self.run.samples_per_s
        if self.scenario == "server":
            return None if self.searched and not self.kept else self.run.rate
        return self.run.percentiles_ms.get(MERIT_PERCENTILE[self.scenario])

    @property
    def unit(self) -> str:
        if self.scenario in ("offline", "server"):
            return "samples/s" if self.scenario == "offline" else "queries/s"
        return f"{MERIT_PERCENTILE[self.scenario]} ms"

    @property
    def score(self) -> float | None:
        """The figure of merit, inverted if lower is better; None for a server beyond its bound."""
        if not self.figure or not self.kept:
            return None
        return self.figure if self.scenario in ("offline", "server") else 1 / self.figure


def least_queries(scenario: Scenario, seconds: float) -> int:
    """The minimum number of queries for this duration: the official one, reduced in proportion for a shorter run."""
    official = OFFICIAL_QUERIES.get(scenario, OFFICIAL_OFFLINE_SAMPLES)
    return max(1, math.ceil(official * min(1.0, seconds / OFFICIAL_S)))


def unofficial(scenario: Scenario, seconds: float, run: LoadRun) -> str | None:
    """How the run falls short of MLPerf's minimum length, or None."""
    lacks = [f"{seconds:g} s of {OFFICIAL_S:g} s"] if seconds < OFFICIAL_S else []
    official, what = OFFICIAL_QUERIES.get(scenario, OFFICIAL_OFFLINE_SAMPLES), "queries"
    if scenario == "offline":
        what = "samples"
    if run.queries < official:
        lacks.append(f"{run.queries:,} of {official:,} {what}")
    return f"unofficial: {', '.join(lacks)}" if lacks else None


def sustained(run: LoadRun) -> bool:
    """Whether a server sustained the rate. With enough queries, LoadGen's confidence test of p99 must pass as well."""
    return run.valid or (bool(run.bound_kept) and run.queries < OFFICIAL_QUERIES["server"])


def highest_rate(
    sustains: Callable[[float], bool], *, start: float, lowest: float, highest: float, tolerance: float = TOLERANCE
) -> float | None:
    """The highest sustained rate, to a factor of 1 + `tolerance`; None if not even the lowest one is sustained.

    The last call confirms the returned rate in a separate run, because the search may have stopped at a lucky one. If
    it fails, the rate is reduced in growing steps.
    """

    def retried(rate: float) -> bool:
        # A single stall of a shared machine can fail a short run, so a rate must fail twice.
        return sustains(rate) or sustains(rate)

    rate = _bisected(retried, *_bracket(retried, min(max(start, lowest), highest), lowest, highest), tolerance)
    step = tolerance
    while rate is not None and not sustains(rate):
        rate, step = (None if rate <= lowest else max(lowest, rate / (1 + step))), 2 * step
    return rate


def _bracket(
    sustains: Callable[[float], bool], start: float, lowest: float, highest: float
) -> tuple[float | None, float | None]:
    """A sustained rate and one that is not; None for one that was not found."""
    if not sustains(start):
        bad = start
        while bad > lowest:
            below = max(bad / 2, lowest)
            if sustains(below):
                return below, bad
            bad = below
        return None, bad
    rate = start
    while rate < highest:
        above = min(2 * rate, highest)
        if not sustains(above):
            return rate, above
        rate = above
    return rate, None


def _bisected(
    sustains: Callable[[float], bool], good: float | None, bad: float | None, tolerance: float
) -> float | None:
    while good is not None and bad is not None and bad > good * (1 + tolerance):
        middle = math.sqrt(good * bad)
        good, bad = (middle, bad) if sustains(middle) else (good, middle)
    return good


def thinned(samples: list[float], most: int = MOST_SAMPLES) -> list[float]:
    """Every k-th sample if there are too many, so that they still cover the whole run."""
    return samples[:: max(1, math.ceil(len(samples) / most))]
