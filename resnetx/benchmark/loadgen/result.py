"""What a system did under the traffic of one of MLPerf's scenarios, and the search for the highest rate it bears."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from resnetx.base.validation import Flag, Large, Number
from resnetx.base.vocabulary import Scenario

# What MLPerf compares: a percentile of latency, or a rate.
MERIT_PERCENTILE = {"single-stream": "p90", "multi-stream": "p99", "server": "p99"}
SAMPLES_PER_QUERY = {"multi-stream": 8}
# mlperf.conf and the early-stopping estimates of LoadGen: what a run must at least be, to be one of MLPerf's.
OFFICIAL_S = 600.0
OFFICIAL_QUERIES = {"single-stream": 64, "multi-stream": 662, "server": 459}
OFFICIAL_OFFLINE_SAMPLES = 24_576
DEFAULT_S = 10.0
DEFAULT_BOUND_MS = 15.0
# Rates closer together than this are one: no run is steady enough to tell them apart.
TOLERANCE = 0.05
MOST_SAMPLES = 20_000


@dataclass(frozen=True, kw_only=True)
class LoadRun:
    """One run of LoadGen: its figures and its verdict. `samples_ms` are latencies of queries, thinned if many.

    `queries` are samples in offline, where all are one query, and latencies mean nothing. `rate` is how many queries
    a second were scheduled, `bound_kept` whether their p99 stayed within the bound: both of server alone.
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
    """A rate that the search tried."""

    rate: Number
    kept: Flag
    p99_ms: Number | None


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """The run that counts, and the ones that led to it. `searched` is true where the rate was not given."""

    scenario: Scenario
    duration_s: Number
    run: LoadRun
    latency_bound_ms: Number | None = None
    searched: Flag = False
    probes: list[Probe] = field(default_factory=list)
    unofficial: str | None = None

    @property
    def kept(self) -> bool:
        """Whether the bound holds; there is none but in server."""
        return self.scenario != "server" or bears(self.run)

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
        """The figure of merit so that more is better; None for a server beyond its bound."""
        if not self.figure or not self.kept:
            return None
        return self.figure if self.scenario in ("offline", "server") else 1 / self.figure


def least_queries(scenario: Scenario, seconds: float) -> int:
    """LoadGen's minimum for a run of so many seconds: the official one, and its share for a shorter run."""
    official = OFFICIAL_QUERIES.get(scenario, OFFICIAL_OFFLINE_SAMPLES)
    return max(1, math.ceil(official * min(1.0, seconds / OFFICIAL_S)))


def unofficial(scenario: Scenario, seconds: float, run: LoadRun) -> str | None:
    """What the run lacks to be as long as MLPerf asks, or None."""
    lacks = [f"{seconds:g} s of {OFFICIAL_S:g} s"] if seconds < OFFICIAL_S else []
    official, what = OFFICIAL_QUERIES.get(scenario, OFFICIAL_OFFLINE_SAMPLES), "queries"
    if scenario == "offline":
        what = "samples"
    if run.queries < official:
        lacks.append(f"{run.queries:,} of {official:,} {what}")
    return f"unofficial: {', '.join(lacks)}" if lacks else None


def bears(run: LoadRun) -> bool:
    """Whether a server kept up. LoadGen asks for more confidence than p99 alone, where there are queries enough."""
    return run.valid or (bool(run.bound_kept) and run.queries < OFFICIAL_QUERIES["server"])


def highest_rate(
    bears: Callable[[float], bool], *, start: float, lowest: float, highest: float, tolerance: float = TOLERANCE
) -> float | None:
    """The highest rate that is borne, to a factor of 1 + `tolerance`; None where not even the lowest is.

    The last question asked is about the rate returned: what it answered is a run of its own, and not the lucky one
    that the search stopped at. A rate that fails it gives way to one below, in steps that grow.
    """

    def borne(rate: float) -> bool:
        # A single stall of a shared machine fails a short run: a rate is given up when it failed twice.
        return bears(rate) or bears(rate)

    rate = _bisected(borne, *_bracket(borne, min(max(start, lowest), highest), lowest, highest), tolerance)
    step = tolerance
    while rate is not None and not bears(rate):
        rate, step = (None if rate <= lowest else max(lowest, rate / (1 + step))), 2 * step
    return rate


def _bracket(
    bears: Callable[[float], bool], start: float, lowest: float, highest: float
) -> tuple[float | None, float | None]:
    """A rate that is borne and one that is not; None for one that there is not."""
    if not bears(start):
        bad = start
        while bad > lowest:
            below = max(bad / 2, lowest)
            if bears(below):
                return below, bad
            bad = below
        return None, bad
    rate = start
    while rate < highest:
        above = min(2 * rate, highest)
        if not bears(above):
            return rate, above
        rate = above
    return rate, None


def _bisected(bears: Callable[[float], bool], good: float | None, bad: float | None, tolerance: float) -> float | None:
    while good is not None and bad is not None and bad > good * (1 + tolerance):
        middle = math.sqrt(good * bad)
        good, bad = (middle, bad) if bears(middle) else (good, middle)
    return good


def thinned(samples: list[float], most: int = MOST_SAMPLES) -> list[float]:
    """Every k-th of too many, so that the run's beginning and end both stay."""
    return samples[:: max(1, math.ceil(len(samples) / most))]
