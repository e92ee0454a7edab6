"""A benchmark's cases with what is said about them: figures, a label, the ratio to torch, and which is best."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from resnetx.benchmark.result import BenchCase, Benchmark
from resnetx.benchmark.summary import Summary, summarize

# Where the same model, provider and batch were run more than once, these tell the rows apart.
DISTINGUISHING = {
    "effective_precision": "{}",
    "threads": "{} threads",
    "concurrency": "{} at once",
    "boundary": "{} arrays",
}


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One case. `series` is its provider and whatever else sets it apart; `ratio` is its throughput over torch's.

    In a scenario of MLPerf, `ratio` and `best` go by the figure of merit.
    """

    index: int
    case: BenchCase
    summary: Summary
    series: str
    ratio: float | None
    best: bool

    @property
    def label(self) -> str:
        return f"{self.series}, batch {self.case.batch}"

    @property
    def parity_passed(self) -> bool | None:
        """None where it was not checked."""
        parity = self.case.parity
        return None if parity is None or "passed" not in parity else bool(parity["passed"])

    @property
    def checks(self) -> list[dict[str, Any]]:
        return list((self.case.parity or {}).get("checks") or [])

    @property
    def rounds(self) -> list[list[float]]:
        """The samples that are times; a file from elsewhere may hold infinities."""
        rounds = self.case.samples_ms if self.case.load is None else [self.case.load.run.samples_ms]
        kept = ([sample for sample in samples if isfinite(sample)] for samples in rounds)
        return [samples for samples in kept if samples]


def bench_rows(benchmark: Benchmark) -> tuple[BenchRow, ...]:
    summaries = [summarize(case, benchmark.limits, percentiles=benchmark.percentiles) for case in benchmark.cases]
    pairs = list(zip(benchmark.cases, summaries, strict=True))
    fields = _distinguishing(benchmark.cases)
    torch = {_setting(case): _score(case, summary) for case, summary in pairs if case.provider == "torch"}
    best = _best(pairs)
    return tuple(
        BenchRow(
            index=index,
            case=case,
            summary=summary,
            series=", ".join(
                [provider_in_words(case), *(DISTINGUISHING[name].format(getattr(case, name)) for name in fields)]
            ),
            ratio=_ratio(_score(case, summary), torch.get(_setting(case))),
            best=index in best,
        )
        for index, (case, summary) in enumerate(pairs)
    )


def provider_in_words(case: BenchCase) -> str:
    """The provider, and where it was allowed to fall back and did, what ran instead."""
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


def _score(case: BenchCase, summary: Summary) -> float | None:
    """What makes one row better than another: a scenario's figure of merit, else throughput."""
    return summary.images_per_s if case.load is None else case.load.score


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def _best(pairs: list[tuple[BenchCase, Summary]]) -> set[int]:
    """The highest score of each model among the rows that are not wrong, where there is a choice."""
    rates: dict[Hashable, list[tuple[float, int]]] = defaultdict(list)
    for index, (case, summary) in enumerate(pairs):
        correct = case.parity is None or case.parity.get("passed", True)
        score = _score(case, summary)
        if case.status == "ok" and correct and score is not None:
            rates[case.model, _scenario(case)].append((score, -index))
    return {-max(entries)[1] for entries in rates.values() if len(entries) > 1}
