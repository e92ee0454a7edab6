"""Every case under the traffic of its scenario, asked for run by run; a server's highest rate is searched for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resnetx.benchmark.case import RunningCase
from resnetx.benchmark.loadgen.options import LATENCY, MOST_QUERIES
from resnetx.benchmark.loadgen.result import (
    LoadOptions,
    LoadResult,
    LoadRun,
    Probe,
    bears,
    highest_rate,
    least_queries,
    run_from_json,
    unofficial,
)
from resnetx.benchmark.plan import BenchOptions

# A guess of what a case bears from full batches may be far above what it bears within the bound.
LOWEST_SHARE = 1 / 128


class _CaseEndedError(Exception):
    """The case failed; it says why itself."""


def run_loads(cases: Sequence[RunningCase], options: BenchOptions, step: Callable[[str], None]) -> None:
    """One case after another: traffic has a clock of its own, and cannot take turns."""
    alive = [case for case in cases if case.alive]
    for number, case in enumerate(alive, 1):
        try:
            _Driver(case, options, step, f"case {number} of {len(alive)}, {case.title}").drive()
            case.loaded = True
        except _CaseEndedError:
            continue


def load_settings(load: LoadOptions | None) -> dict[str, Any]:
    """For the result, by the names of the options."""
    if load is None:
        return {"scenario": LATENCY}
    server = {"target_qps": load.target_qps, "latency_bound_ms": load.latency_bound_ms}
    return {"scenario": load.scenario, "rounds": None, **(server if load.scenario == "server" else {})}


class _Driver:
    """The runs of one case; `case.load` is the best there is after each of them, for whoever interrupts."""

    def __init__(self, case: RunningCase, options: BenchOptions, step: Callable[[str], None], title: str) -> None:
        assert options.load is not None
        self._case, self._step, self._title = case, step, title
        self._load: LoadOptions = options.load
        self._seconds = options.duration_s
        self._probes: list[Probe] = []
        self._last: LoadRun | None = None
        self._energy: dict[str, float] = {}

    def drive(self) -> None:
        ready = self._ask({"do": "prepare", "seconds": self._seconds}, more_s=self._seconds)
        if self._load.scenario != "server":
            self._keep(self._run(None))
        elif self._load.target_qps is not None:
            self._keep(self._run(self._load.target_qps))
        else:
            self._search(float(ready["samples_per_s"]))

    def _search(self, guess: float) -> None:
        def probe(rate: float) -> bool:
            run = self._run(rate)
            self._probes.append(Probe(rate=rate, kept=bears(run), p99_ms=run.percentiles_ms.get("p99")))
            best = self._case.load
            better = best is None or not best.kept or (bears(run) and rate >= (best.run.rate or 0))
            self._keep(run if better or best is None else best.run)
            return bears(run)

        lowest = max(guess * LOWEST_SHARE, least_queries("server", self._seconds) / self._seconds)
        highest_rate(probe, start=guess / 2, lowest=lowest, highest=max(lowest, MOST_QUERIES / self._seconds))
        # The last run is the one that confirmed the rate, or that showed that there is none.
        assert self._last is not None
        self._keep(self._last)

    def _keep(self, run: LoadRun) -> None:
        if run is self._last:
            self._case.energies = [self._energy]
        server = self._load.scenario == "server"
        self._case.load = LoadResult(
            scenario=self._load.scenario,
            duration_s=self._seconds,
            run=run,
            latency_bound_ms=self._load.latency_bound_ms if server else None,
            searched=server and self._load.target_qps is None,
            probes=list(self._probes),
            unofficial=unofficial(self._load.scenario, self._seconds, run),
        )

    def _run(self, rate: float | None) -> LoadRun:
        scenario, at = self._load.scenario, "" if rate is None else f" at {rate:.4g} queries/s"
        number = f", run {len(self._probes) + 1}" if self._load.target_qps is None and rate is not None else ""
        self._step(f"{scenario}{at} for {self._seconds:g} s{number}: {self._title}")
        # A run lasts as long as asked, and what is late in it may take as long again.
        request = {"do": "load", "seconds": self._seconds, "rate": rate, "bound_ms": self._load.latency_bound_ms}
        answer = self._ask(request, more_s=3 * self._seconds)
        self._case.took(answer)
        # Energy is told for the run that counts, and not for those that led to it.
        self._energy = self._case.energies.pop()
        self._last = run_from_json(answer["run"])
        return self._last

    def _ask(self, request: Mapping[str, Any], *, more_s: float) -> dict[str, Any]:
        answer = self._case.ask(request, more_s=more_s)
        if answer is None:
            raise _CaseEndedError
        return answer
