"""A benchmark's cases as rows of a report: figures, a label, the ratio to torch, and which is best."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from resnetx.benchmark.result import BenchCase, Benchmark, Summary
from resnetx.runtime.catalog import BY_NAME
from resnetx.verification.parity import Check

# If the same model, provider and batch were run more than once, these distinguish the rows.
DISTINGUISHING = {
    "effective_precision": "{}",
    "threads": "{} threads",
    "concurrency": "{} at once",
    "boundary": "{} arrays",
}


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One case. `settings` distinguishes it from others of its provider; `ratio` is its throughput over torch's.

    In an MLPerf scenario, `ratio` and `best` use the figure of merit.
    """

    index: int
    case: BenchCase
    settings: str
    ratio: float | None
    best: bool

    @property
    def summary(self) -> Summary:
        return self.case.summary

    @property
    def series(self) -> str:
        """Its provider and what else distinguishes it."""
        return f"{provider_in_words(self.case)}{self.settings}"

    @property
    def label(self) -> str:
        return f"{self.series}, batch {self.case.batch}"

    @property
    def parity_passed(self) -> bool | None:
        """None if nothing was checked."""
        parity = self.case.parity
        return parity.passed if parity is not None and parity.checks else None

    @property
    def checks(self) -> tuple[Check, ...]:
        return self.case.parity.checks if self.case.parity is not None else ()

    @property
    def rounds(self) -> list[list[float]]:
        """The finite samples; an untrusted file may contain infinities."""
        rounds = self.case.samples_ms if self.case.load is None else [self.case.load.run.samples_ms]
        kept = ([sample for sample in samples if isfinite(sample)] for samples in rounds)
        return [samples for samples in kept if samples]


def bench_rows(benchmark: Benchmark) -> tuple[BenchRow, ...]:
    fields = _distinguishing(benchmark.cases)
    baseline = {_setting(case): _score(case) for case in benchmark.cases if _is_baseline(case)}
    best = _best(benchmark.cases)
    return tuple(
        BenchRow(
            index=index,
            case=case,
            settings="".join(f", {DISTINGUISHING[name].format(getattr(case, name))}" for name in fields),
            ratio=_ratio(_score(case), baseline.get(_setting(case))),
            best=index in best,
        )
        for index, case in enumerate(benchmark.cases)
    )


def provider_in_words(case: BenchCase) -> str:
    """The provider and, after a fallback, the providers that ran instead."""
    if case.fallback is None:
        return case.provider
    return f"{case.provider}->{'+'.join(name for name, _ in case.placement) or '?'}"


def by_model(rows: Iterable[BenchRow]) -> dict[str, list[BenchRow]]:
    groups: dict[str, list[BenchRow]] = defaultdict(list)
    for row in rows:
        groups[row.case.model].append(row)
    return dict(groups)


def _distinguishing(cases: tuple[BenchCase, ...]) -> list[str]:
    groups: dict[Hashable, list[BenchCase]] = defaultdict(list)
    for case in cases:
        groups[case.model, case.provider, case.batch].append(case)
    return [name for name in DISTINGUISHING if any(len({getattr(c, name) for c in g}) > 1 for g in groups.values())]


def _setting(case: BenchCase) -> Hashable:
    return case.model, case.batch, case.threads, case.concurrency, case.boundary, _scenario(case)


def _scenario(case: BenchCase) -> str | None:
    return None if case.load is None else case.load.scenario


def _is_baseline(case: BenchCase) -> bool:
    row = BY_NAME.get(case.provider)
    return row is not None and row.baseline


def _score(case: BenchCase) -> float | None:
    """The value that rows are ranked by: a scenario's figure of merit, else throughput."""
    return case.summary.images_per_s if case.load is None else case.load.score


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _best(cases: Sequence[BenchCase]) -> set[int]:
    """The row with the highest score of each model, if there are several correct ones."""
    rates: dict[Hashable, list[tuple[float, int]]] = defaultdict(list)
    for index, case in enumerate(cases):
        correct = case.parity is None or case.parity.passed
        score = _score(case)
        if case.status == "ok" and correct and score is not None:
            rates[case.model, _scenario(case)].append((score, -index))
    return {-max(entries)[1] for entries in rates.values() if len(entries) > 1}
