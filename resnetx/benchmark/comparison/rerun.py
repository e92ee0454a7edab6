"""Compares a new run with an earlier one, whose cases run again in interleaved rounds if their model files still exist.

A machine drifts from day to day by more than a relevant slowdown, but interleaved cases drift together. If the
identical model file no longer exists, the stored samples are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnetx.base.vocabulary import AUTO
from resnetx.benchmark.case import RunningCase
from resnetx.benchmark.child_tasks import WORKER, best_provider_here
from resnetx.benchmark.comparison.compare import MAX_SLOWDOWN, Comparison, compare
from resnetx.benchmark.comparison.matching import match_cases, nothing_in_common, require_same_machine
from resnetx.benchmark.options import BenchOptions, resolved
from resnetx.benchmark.plan import BenchModel, PlannedCase, look_into, plan_cases
from resnetx.benchmark.result import AgainstRun, BenchCase, Benchmark
from resnetx.benchmark.run import bench_steps, planned, run_cases
from resnetx.benchmark.samples import valid_rounds
from resnetx.benchmark.watch import Watch
from resnetx.errors import ResnetxError, UsageError
from resnetx.machine.facts import read_machine
from resnetx.machine.threads import default_threads

THIS_RUN = "this run"


@dataclass(frozen=True, kw_only=True)
class Against:
    """The earlier run, the file that it was read from, and the options of the comparison."""

    path: Path
    base: Benchmark
    max_slowdown: float = MAX_SLOWDOWN
    any_machine: bool = False

    @property
    def names(self) -> tuple[str, str]:
        return str(self.path), THIS_RUN


@dataclass(frozen=True, kw_only=True)
class _Again:
    """A case of the base, as it ran before and as it runs again now, next to the new case at `place`."""

    place: int
    before: BenchCase
    now: RunningCase


def run_against(
    models: Sequence[Path],
    options: BenchOptions,
    against: Against,
    *,
    watch: Watch | None = None,
    worker: Sequence[str] = WORKER,
) -> Benchmark:
    """Like `run_benchmark`; the cases of the base that ran again are the result's `base_cases`."""
    if options.traffic:
        raise UsageError(
            f"--against compares interleaved rounds, and the scenario {options.scenario} has no rounds. Leave "
            "--scenario or --against out."
        )
    watch, options = watch or Watch(), resolved(options)
    steps = bench_steps(watch, options)
    steps.begin("reading the models")
    if not against.any_machine:
        require_same_machine(against.base.machine, read_machine().to_json(), against.names)
    cases = planned(_without_auto(plan_cases(models, options), options), options)
    again, reasons = _plan_again(against, cases)
    # Each runs next to the case that it is compared with: the closer in time, the more equal are the conditions.
    lineup = [each for place, case in enumerate(cases) for each in (case, *(a.now for a in again if a.place == place))]
    result = run_cases(lineup, options, watch=watch, steps=steps, worker=worker)
    return _separated(result, against, cases, again, lineup, reasons)


def judge(new: Benchmark, against: Against) -> Comparison | None:
    """Like `resnetx compare`, with notes on rows that did not run again; None if no common case has samples now."""
    limit, any_machine = against.max_slowdown, against.any_machine
    try:
        result = compare(against.base, new, names=against.names, max_slowdown=limit, any_machine=any_machine)
    except UsageError:  # all else was checked before the run: no common case has samples
        return None
    return replace(result, notes=(*(new.against.notes if new.against else ()), *result.notes))


def _without_auto(plans: Sequence[PlannedCase], options: BenchOptions) -> list[PlannedCase]:
    """Replace `auto`, because the matching rows of the base must be known before anything runs."""
    threads = options.threads or default_threads()
    precisions = {plan.model.precision for plan in plans if plan.provider == AUTO}
    best = {precision: best_provider_here(precision=precision, threads=threads) for precision in sorted(precisions)}
    return [replace(plan, provider=best[plan.model.precision]) if plan.provider == AUTO else plan for plan in plans]


def _plan_again(against: Against, cases: Sequence[RunningCase]) -> tuple[list[_Again], tuple[str, ...]]:
    """The cases of the base that run again, and the reasons why others do not."""
    new = [case.result() for case in cases]
    olds, news, matching = match_cases(against.base.cases, new)
    shared = [(place, olds[key]) for place, key in enumerate(news) if key in olds]
    if not shared:
        raise nothing_in_common(against.base.cases, new, against.names, matching)
    timed = [(place, before) for place, before in shared if valid_rounds(before)]
    if not timed:
        raise UsageError(
            f"{against.path} has no samples of the cases that it has in common with this run, so there is nothing to "
            "compare with; give a run in which they did not fail."
        )
    search = _Search(against.path, [case.plan.model for case in cases])
    again, reasons = [], []
    for place, before in timed:
        found = search.find(before)
        if isinstance(found, str):
            reasons.append(f"{found}: its stored samples are compared, which is less exact.")
            continue
        if found.sha256 == cases[place].plan.model.sha256:
            reasons.append(
                f"{before.model} is the same file that {against.path} timed: differences are due to options or noise."
            )
        plan = PlannedCase(
            model=found, provider=before.provider, batch=before.batch, options=dict(before.provider_options)
        )
        options = replace(cases[place].options, verify=False)
        now = RunningCase(plan=plan, options=options, name=f"base {Path(before.model).name}")
        again.append(_Again(place=place, before=before, now=now))
    return again, tuple(dict.fromkeys(reasons))


class _Search:
    """Finds the models of a base; reads each file once."""

    def __init__(self, base: Path, known: Sequence[BenchModel]) -> None:
        self._base = base
        self._seen: dict[Path, BenchModel | str] = {model.path: model for model in known}

    def find(self, case: BenchCase) -> BenchModel | str:
        """The model with the SHA-256 that the case timed, or why there is none."""
        if case.model_sha256 is None:
            return f"{self._base} does not contain the SHA-256 of {case.model}"
        places = dict.fromkeys((Path(case.model), self._base.parent / Path(case.model).name))
        looked = [self._look(path) for path in places]
        same = [model for model in looked if isinstance(model, BenchModel) and model.sha256 == case.model_sha256]
        if same:
            return same[0]
        if any(isinstance(model, BenchModel) for model in looked):
            return f"{case.model} has been overwritten since {self._base} timed it"
        return f"{case.model} cannot be read any more ({looked[0]})"

    def _look(self, path: Path) -> BenchModel | str:
        if path not in self._seen:
            try:
                self._seen[path] = look_into(path)
            except (ResnetxError, OSError, ValueError) as error:  # the path comes from an untrusted file
                self._seen[path] = str(error)
        return self._seen[path]


def _separated(
    result: Benchmark,
    against: Against,
    cases: Sequence[RunningCase],
    again: Sequence[_Again],
    lineup: Sequence[RunningCase],
    reasons: tuple[str, ...],
) -> Benchmark:
    """The run of the new cases, with the cases of the base as its `base_cases`, except those that failed now."""
    by_case = {id(case): row for case, row in zip(lineup, result.cases, strict=True)}
    kept = []
    for each in again:
        row = replace(by_case[id(each.now)], model=each.before.model)
        if row.status in ("ok", "interrupted") and valid_rounds(row):
            kept.append(row)
        else:
            why = f"{row.name} {row.status} when it ran again{f' ({row.error})' if row.error else ''}"
            reasons = (*reasons, f"{why}: its stored samples are compared, which is less exact.")
    return replace(
        result,
        cases=tuple(by_case[id(case)] for case in cases),
        base_cases=tuple(kept),
        against=AgainstRun(file=str(against.path), notes=reasons),
        interleaved_with=against.base.created if kept else None,
    )
