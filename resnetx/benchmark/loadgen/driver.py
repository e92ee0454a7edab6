"""Runs each case under the traffic of its scenario; searches for the highest rate that a server can sustain."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from resnetx.benchmark.case import RunningCase
from resnetx.benchmark.loadgen.options import MOST_QUERIES
from resnetx.benchmark.loadgen.result import (
    DEFAULT_BOUND_MS,
    LoadResult,
    LoadRun,
    Probe,
    highest_rate,
    least_queries,
    sustained,
    unofficial,
)
from resnetx.benchmark.messages import LoadDone, LoadReady
from resnetx.benchmark.options import BenchOptions

T = TypeVar("T")
# The rate estimated from full batches may be far above the rate that the case can sustain within the bound.
LOWEST_SHARE = 1 / 128


class _CaseEndedError(Exception):
    """The case failed; its `error` is the reason."""


def run_loads(cases: Sequence[RunningCase], options: BenchOptions, step: Callable[[str], None]) -> None:
    """Run one case after another: LoadGen schedules its queries itself, so cases cannot be interleaved."""
    alive = [case for case in cases if case.alive]
    for number, case in enumerate(alive, 1):
        try:
            _Driver(case, options, step, f"case {number} of {len(alive)}, {case.title}").drive()
            case.loaded = True
        except _CaseEndedError:
            continue


class _Driver:
    """The runs of one case. After each run, `case.load` is the best result so far, in case of an interrupt."""

    def __init__(self, case: RunningCase, options: BenchOptions, step: Callable[[str], None], title: str) -> None:
        assert options.duration_s is not None
        self._case, self._step, self._title = case, step, title
        self._options = options
        self._seconds = options.duration_s
        self._probes: list[Probe] = []
        self._last: LoadRun | None = None
        self._energy: Mapping[str, float] = {}

    def drive(self) -> None:
        ready = self._ask({"do": "prepare", "seconds": self._seconds}, LoadReady, more_s=self._seconds)
        if self._options.scenario != "server":
            self._keep(self._run(None))
        elif self._options.target_qps is not None:
            self._keep(self._run(self._options.target_qps))
        else:
            self._search(ready.samples_per_s)

    def _search(self, guess: float) -> None:
        def probe(rate: float) -> bool:
            run = self._run(rate)
            self._probes.append(Probe(rate=rate, kept=sustained(run), p99_ms=run.percentiles_ms.get("p99")))
            best = self._case.load
            better = best is None or not best.kept or (sustained(run) and rate >= (best.run.rate or 0))
            self._keep(run if better or best is None else best.run)
            return sustained(run)

        lowest = max(guess * LOWEST_SHARE, least_queries("server", self._seconds) / self._seconds)
        highest_rate(probe, start=guess / 2, lowest=lowest, highest=max(lowest, MOST_QUERIES / self._seconds))
        # The last run confirmed the rate, or showed that there is none.
        assert self._last is not None
        self._keep(self._last)

    def _keep(self, run: LoadRun) -> None:
        if run is self._last:
            self._case.energies = [self._energy]
        options = self._options
        self._case.load = LoadResult(
            scenario=options.scenario,
            duration_s=self._seconds,
            run=run,
            latency_bound_ms=options.latency_bound_ms,
            searched=options.scenario == "server" and options.target_qps is None,
            probes=list(self._probes),
            unofficial=unofficial(options.scenario, self._seconds, run),
        )

    def _run(self, rate: float | None) -> LoadRun:
        scenario, at = self._options.scenario, "" if rate is None else f" at {rate:.4g} queries/s"
        number = f", run {len(self._probes) + 1}" if self._options.target_qps is None and rate is not None else ""
        self._step(f"{scenario}{at} for {self._seconds:g} s{number}: {self._title}")
        # A run lasts as long as requested, and late queries may take as long again.
        bound_ms = self._options.latency_bound_ms or DEFAULT_BOUND_MS
        request = {"do": "load", "seconds": self._seconds, "rate": rate, "bound_ms": bound_ms}
        answer = self._ask(request, LoadDone, more_s=3 * self._seconds)
        self._case.took(answer.usage)
        # Energy is reported for the final run only, not for the search.
        self._energy = self._case.energies.pop()
        self._last = answer.run
        return self._last

    def _ask(self, request: Mapping[str, Any], kind: type[T], *, more_s: float) -> T:
        answer = self._case.ask(request, kind, more_s=more_s)
        if answer is None:
            raise _CaseEndedError
        return answer
