"""Short measurements of candidates, each in turn with the baseline, whose process stays open for the whole search."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from resnetx.benchmark.case import RunningCase
from resnetx.benchmark.child_tasks import WORKER
from resnetx.benchmark.messages import RoundDone
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.plan import BenchModel, PlannedCase
from resnetx.errors import RuntimeUnavailableError
from resnetx.tuning.candidates import Candidate
from resnetx.tuning.search import CLEARLY_SLOWER, Trial

# Rounds of the baseline and the candidate in turn.
PAIRS, ROUND_S = 4, 0.3
# Enough to see that a candidate is clearly slower.
FEWEST_PAIRS = 2


def running_case(
    candidate: Candidate, files: Mapping[str, BenchModel], options: BenchOptions, *, warmup: int | None = None
) -> RunningCase:
    """The case of a benchmark that runs the candidate."""
    own = replace(
        options,
        threads=candidate.session_threads,
        precision=candidate.precision,
        concurrency=candidate.streams,
        warmup=options.warmup if warmup is None else warmup,
    )
    plan = PlannedCase(
        model=files[candidate.file], provider=candidate.provider, batch=candidate.batch, options=candidate.options
    )
    return RunningCase(plan=plan, options=own)


class Trials:
    """Measures candidates; a context manager, because it holds the process of the baseline."""

    def __init__(
        self,
        baseline: Candidate,
        files: Mapping[str, BenchModel],
        options: BenchOptions,
        folder: Path,
        worker: Sequence[str] = WORKER,
    ) -> None:
        self._files, self._options, self._folder, self._worker = files, options, folder, worker
        self._count = 0
        self._baseline = baseline
        self._yardstick: RunningCase | None = None

    def __enter__(self) -> "Trials":
        return self

    def __exit__(self, *_: object) -> None:
        if self._yardstick is not None:
            self._yardstick.close()

    def measure(self, candidate: Candidate, best: float) -> Trial:
        """The speed of a candidate relative to the baseline; it ends early if that is clearly below `best`."""
        yardstick = self._opened_baseline()
        case = self._start(candidate)
        ratios: list[float] = []
        samples: list[float] = []
        try:
            while case.alive and len(ratios) < PAIRS:
                before = _round(yardstick)
                if before is None:
                    raise RuntimeUnavailableError(f"The baseline, {yardstick.title}, failed: {yardstick.error}")
                after = _round(case)
                if after is None:
                    break
                samples += after
                ratios.append(_rate(case, after) / _rate(yardstick, before))
                if len(ratios) >= FEWEST_PAIRS and CLEARLY_SLOWER * max(ratios) < best:
                    break
        finally:
            case.close()
        if not case.alive:
            return Trial(candidate=candidate, problem=case.error or "it failed")
        precision = case.opened.effective_precision if case.opened else None
        return Trial(candidate=candidate, speed=median(ratios), median_ms=median(samples), precision=precision)

    def _opened_baseline(self) -> RunningCase:
        """Opened when the first trial needs it: after an interruption, there may be none to measure."""
        if self._yardstick is None:
            self._yardstick = self._start(self._baseline)
            if not self._yardstick.alive:
                reason = f"The baseline, {self._yardstick.title}, does not run: {self._yardstick.error}"
                raise RuntimeUnavailableError(f"{reason}. Nothing can be compared with it; resnetx doctor may help.")
        return self._yardstick

    def _start(self, candidate: Candidate) -> RunningCase:
        case = running_case(candidate, self._files, self._options, warmup=1)
        case.worker, case.folder = self._worker, self._folder / str(self._count)
        case.folder.mkdir()
        self._count += 1
        case.start()
        return case


def _round(case: RunningCase) -> list[float] | None:
    answer = case.ask({"do": "round", "seconds": ROUND_S}, RoundDone)
    return None if answer is None else answer.samples_ms


def _rate(case: RunningCase, samples_ms: Sequence[float]) -> float:
    """Images per millisecond, of all runs at the same time."""
    return case.plan.batch * case.options.concurrency / median(samples_ms)
