"""Runs a benchmark: several processes per case, interleaved rounds, and verification of what was timed."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from resnetx.base.private_folder import private_folder
from resnetx.base.progress import Steps
from resnetx.base.text import grouped
from resnetx.base.worker_process import ChildError
from resnetx.benchmark.case import RunningCase
from resnetx.benchmark.child_tasks import WORKER, computed_truths, measured_limits
from resnetx.benchmark.loadgen.driver import run_loads
from resnetx.benchmark.messages import Verified
from resnetx.benchmark.options import BenchOptions, resolved
from resnetx.benchmark.plan import PlannedCase, plan_cases
from resnetx.benchmark.result import BenchCase, Benchmark, Limits, Verdict, best_of
from resnetx.benchmark.stability import stability_warnings
from resnetx.benchmark.summary import summarized
from resnetx.benchmark.watch import Watch
from resnetx.benchmark.waves import run_waves, start, where
from resnetx.errors import RuntimeUnavailableError
from resnetx.machine.facts import read_machine
from resnetx.machine.threads import default_threads
from resnetx.runtime.catalog import BY_NAME

LIMITS = "measuring the limits of the machine"


def run_benchmark(
    models: Sequence[Path],
    options: BenchOptions,
    *,
    watch: Watch | None = None,
    worker: Sequence[str] = WORKER,
) -> Benchmark:
    """Every model with every combination of provider and batch size in the options."""
    watch, options = watch or Watch(), resolved(options)
    steps = bench_steps(watch, options)
    steps.begin("reading the models")
    return run_cases(planned(plan_cases(models, options), options), options, watch=watch, steps=steps, worker=worker)


def bench_steps(watch: Watch, options: BenchOptions) -> Steps:
    """The steps of a benchmark, of which the first, in which the models are read, is the caller's of `run_cases`."""
    return Steps(watch.progress, 5 + options.verify)


def planned(plans: Sequence[PlannedCase], options: BenchOptions) -> list[RunningCase]:
    return [RunningCase(plan=plan, options=plan.settings or options) for plan in plans]


def run_cases(
    cases: Sequence[RunningCase],
    options: BenchOptions,
    *,
    watch: Watch | None = None,
    steps: Steps | None = None,
    worker: Sequence[str] = WORKER,
) -> Benchmark:
    """Run the cases, each in several processes, in interleaved rounds.

    A failed case keeps its error; Ctrl-C returns the results so far.
    """
    watch = watch or Watch()
    steps = steps or Steps(watch.progress)
    peaks = Peaks(options.threads or default_threads())
    machine = read_machine().to_json()
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with ExitStack() as stack:
        folder = stack.enter_context(private_folder("bench"))
        with _interruptible(cases):
            for case in cases:
                stack.callback(case.close)
            _open_all(cases, options, folder, worker, steps)
            _require_one_open(cases)
            gpu = any(case.on_gpu for case in cases)
            steps.begin(LIMITS)
            peaks.measure(gpu=gpu)
            truths = _truths(cases, folder, steps) if options.verify else {}
            verify = partial(_verify_all, cases, options, truths, steps)
            steps.begin("timing")
            if options.traffic:
                run_loads(cases, options, steps.detail)
                verify()
            else:
                halfway = partial(_measure_between, peaks, steps, gpu=gpu)
                run_waves(cases, options, steps, watch.cases, verify=verify, halfway=halfway)
            steps.begin(f"{LIMITS} again")
            peaks.measure(gpu=gpu)
    return summarized(
        Benchmark(
            created=created,
            machine=machine,
            limits=peaks.limits,
            cases=tuple(_with_stability(case.result()) for case in cases),
            settings=options,
            limits_problem=peaks.problem,
        )
    )


class Peaks:
    """The machine's peaks: the best of several measurements, each of which may have been disturbed.

    `problem` is why none succeeded.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self.limits: Limits | None = None
        self.problem: str | None = None

    def measure(self, *, gpu: bool) -> None:
        try:
            found = measured_limits(self._threads, gpu=gpu)
        except ChildError as error:
            self.problem = None if self.limits else str(error)
            return
        self.problem = None
        self.limits = best_of(self.limits, found) if self.limits and found else self.limits or found


def _measure_between(peaks: Peaks, steps: Steps, *, gpu: bool) -> None:
    steps.detail(LIMITS)
    peaks.measure(gpu=gpu)


def _with_stability(case: BenchCase) -> BenchCase:
    return replace(case, warnings=[*case.warnings, *stability_warnings(case)])


def passed(benchmark: Benchmark) -> bool:
    return benchmark.passed


def interrupted(benchmark: Benchmark) -> bool:
    return any(case.status == "interrupted" for case in benchmark.cases)


@contextmanager
def _interruptible(cases: Sequence[RunningCase]) -> Iterator[None]:
    """On Ctrl-C, mark the unfinished cases as interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        for case in cases:
            if case.status == "ok" and not case.finished:
                case.status = "interrupted"


def _open_all(
    cases: Sequence[RunningCase], options: BenchOptions, folder: Path, worker: Sequence[str], steps: Steps
) -> None:
    """Open the first process of each case, one after another: simultaneous cold starts would be slower."""
    steps.begin("opening the models")
    for number, case in enumerate(cases):
        row = BY_NAME.get(case.plan.provider)
        if row and row.needs_card and not case.plan.model.has_reference:
            case.fail(
                f"{case.plan.provider} runs the network that a model card describes, and {case.plan.model.path.name} "
                "has none that resnetx can rebuild; leave this provider out for this model",
                "failed",
                deliberate=True,
            )
            continue
        case.worker, case.folder = worker, folder / str(number)
        case.folder.mkdir()
        slow = "; building its engine may take minutes" if row and row.builds_for_minutes else ""
        start(case, where(cases, case, 1, options), steps, slow)


def _require_one_open(cases: Sequence[RunningCase]) -> None:
    """Raise an error if every case was refused before it ran, because there is no result to show."""
    if all(case.deliberate for case in cases):
        reasons = grouped((case.title, str(case.error)) for case in cases)
        words = (f"{', '.join(titles)}: {reason}" for reason, titles in reasons.items())
        raise RuntimeUnavailableError(f"No case could run. {' '.join(words)}")


def _truths(cases: Sequence[RunningCase], folder: Path, steps: Steps) -> dict[int, Path | str]:
    """For each open case the golden file to verify against, or why there is none."""
    steps.begin("computing the references")
    alive = [number for number, case in enumerate(cases) if case.alive and case.options.verify]
    truths: dict[int, Path | str] = {}
    for model in dict.fromkeys(cases[number].plan.model.path for number in alive):
        numbers = [number for number in alive if cases[number].plan.model.path == model]
        steps.detail(model.name)
        own = folder / f"truth{numbers[0]}"
        own.mkdir()
        golden = computed_truths(
            cases[numbers[0]].plan.model,
            sorted({cases[number].plan.batch for number in numbers}),
            sorted({opened.effective_precision for number in numbers if (opened := cases[number].opened)}),
            own,
            cases[numbers[0]].options,
        )
        truths |= {
            number: golden if isinstance(golden, str) else golden[cases[number].plan.batch] for number in numbers
        }
    return truths


def _verify_all(
    cases: Sequence[RunningCase], options: BenchOptions, truths: Mapping[int, Path | str], steps: Steps
) -> None:
    for number, truth in truths.items():
        case = cases[number]
        if not case.alive or case.verified:
            continue
        if isinstance(truth, str):
            case.judged(Verdict(reason=truth))
            continue
        steps.detail(f"{where(cases, case, case.process, options)}: verifying")
        answer = case.ask({"do": "verify", "golden": str(truth)}, Verified)
        if answer is not None:
            case.judged(answer.verdict)
