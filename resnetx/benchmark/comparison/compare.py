"""Compares two benchmarks row by row: which rows are slower, faster, the same, or cannot be decided."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from resnetx.benchmark.comparison.matching import (
    Key,
    label_case,
    machine_differences,
    match_runs,
    nothing_in_common,
    require_rounds,
    require_same_machine,
)
from resnetx.benchmark.comparison.ratio import Contrast, contrast_processes
from resnetx.benchmark.options import PROCESSES, ROUNDS
from resnetx.benchmark.resampling import MIN_UNITS
from resnetx.benchmark.result import BenchCase, Benchmark, Limits
from resnetx.benchmark.samples import valid_processes, valid_rounds
from resnetx.errors import UsageError
from resnetx.machine.differences import named

# Version 2: where no row is decided, it is not passed; `undecided` is how many are not.
SCHEMA = "resnetx.comparison/2"
Verdict = Literal["faster", "slower", "same", "can't tell"]
# Smaller changes are not called changes: two processes that run the same file differ by up to this much, because of
# their memory layout, which older files with one process for each case do not show.
SMALLEST_CHANGE = 0.015
# A change whose interval is within this counts as no change.
SAME_WITHIN = 0.03
# Above the difference between two runs of the same model, and far enough below 5 % to detect that nearly always.
MAX_SLOWDOWN = 0.02
# Two measurements of the peaks of an undisturbed machine differ by less than this.
PEAK_NOISE = 0.03


@dataclass(frozen=True, kw_only=True)
class ComparedRow:
    """One case in both runs. `ratio` is new time over old time, so above 1 is slower; None if unknown.

    `interleaved` says whether the two ran in interleaved rounds; `processes` is how many each ran in.
    """

    model: str
    provider: str
    batch: int
    threads: int
    concurrency: int
    boundary: str
    interleaved: bool
    old_ms: float | None
    new_ms: float | None
    verdict: Verdict
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    reading: str | None = None
    past_limit: bool = False
    reason: str | None = None
    processes: tuple[int, int] = (1, 1)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """`interleaved` says whether all rows ran in interleaved rounds. `notes` are needed to interpret the rows."""

    old: str
    new: str
    max_slowdown: float
    interleaved: bool
    rows: tuple[ComparedRow, ...]
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether something was decided, and no row is slower than the limit with certainty."""
        return not self.slower and self.undecided < len(self.rows)

    @property
    def slower(self) -> bool:
        """Whether a row is slower than the limit with certainty."""
        return any(row.past_limit for row in self.rows)

    @property
    def undecided(self) -> int:
        """How many rows could not be told."""
        return sum(row.verdict == "can't tell" for row in self.rows)

    def acceptable(self, *, require_decision: bool) -> bool:
        """Whether no row is slower than the limit with certainty and, if that is required, every row is decided."""
        return not self.slower and not (require_decision and self.undecided)

    @property
    def geometric_mean(self) -> float | None:
        """The mean over the ratios of all rows that have one: by how much the new run is slower as a whole."""
        logs = [math.log(row.ratio) for row in self.rows if row.ratio is not None]
        return math.exp(math.fsum(logs) / len(logs)) if logs else None

    def __repr__(self) -> str:
        rows = f"{len(self.rows)} row{'' if len(self.rows) == 1 else 's'}"
        mean = "" if self.geometric_mean is None else f", {self.geometric_mean:.3g} times the old time"
        verdict = "passed" if self.passed else "FAILED" if self.slower else "undecided"
        return f"<Comparison of {rows}: {verdict}{mean}>"

    def to_json(self) -> dict[str, Any]:
        verdict = {"passed": self.passed, "undecided": self.undecided}
        return {"schema": SCHEMA, **verdict, "geometric_mean": self.geometric_mean, **asdict(self)}


def compare(
    old: Benchmark,
    new: Benchmark,
    *,
    names: tuple[str, str] = ("old", "new"),
    max_slowdown: float = MAX_SLOWDOWN,
    any_machine: bool = False,
) -> Comparison:
    """Compare every case that both runs have. Runs from different machines are refused unless `any_machine`."""
    require_rounds(old, new, names)
    if not any_machine:
        require_same_machine(old.machine, new.machine, names)
    olds, news, interleaved, matching = match_runs(old, new)
    shared = [key for key in news if key in olds]
    if not shared:
        raise nothing_in_common(old.cases, new.cases, names, matching)
    apart = any(key not in interleaved for key in shared)
    differences = machine_differences(old.machine, new.machine) if apart else ()
    # For different machines, the difference between the machines is part of the requested ratio.
    shift = _machine_shift(old.limits, new.limits) if apart and not differences else 0.0
    rows = tuple(
        _row(olds[key], news[key], paired=key in interleaved, shift=shift, count=len(shared), limit=max_slowdown)
        for key in shared
    )
    if all(row.old_ms is None or row.new_ms is None for row in rows):
        raise UsageError(f"No case has times in both {names[0]} and {names[1]}: {rows[0].reason}")
    return Comparison(
        old=names[0],
        new=names[1],
        max_slowdown=max_slowdown,
        interleaved=not apart,
        rows=rows,
        only_old=tuple(label_case(case) for key, case in olds.items() if key not in news),
        only_new=tuple(label_case(case) for key, case in news.items() if key not in olds),
        notes=(
            *matching,
            *_notes(differences, shift),
            *_precision_notes(olds, news),
            *_option_notes(olds, news),
            *_process_notes(rows),
        ),
    )


def _row(old: BenchCase, new: BenchCase, *, paired: bool, shift: float, count: int, limit: float) -> ComparedRow:
    row = ComparedRow(
        model=new.model,
        provider=new.provider,
        batch=new.batch,
        threads=new.threads,
        concurrency=new.concurrency,
        boundary=new.boundary,
        interleaved=paired,
        processes=(old.processes, new.processes),
        old_ms=old.summary.median_ms,
        new_ms=new.summary.median_ms,
        verdict="can't tell",
        reason=_obstacle(old, new),
    )
    if row.reason:
        return row
    before, after = valid_processes(old), valid_processes(new)
    aligned = paired and _aligned(old, new)
    contrast = contrast_processes(before, after, paired=aligned, rows=count)
    if contrast is None:
        return replace(row, reason=_too_few(before, after))
    return _judged(row, contrast if paired else _shifted(contrast, shift), limit)


def _aligned(old: BenchCase, new: BenchCase) -> bool:
    """Whether each round of one case has its neighbour in the other, in a process with the same number."""
    same = old.processes == new.processes and old.round_processes == new.round_processes
    return same and len(valid_rounds(old)) == len(valid_rounds(new)) == len(old.samples_ms) == len(new.samples_ms)


def _too_few(old: Sequence[Sequence[np.ndarray]], new: Sequence[Sequence[np.ndarray]]) -> str:
    several = [len(processes) for processes in (old, new) if len(processes) > 1]
    if several and min(several) < MIN_UNITS:
        return f"{min(several)} processes are too few; use at least {MIN_UNITS}, better {PROCESSES}."
    fewest = min(len(processes[0]) for processes in (old, new) if len(processes) == 1)
    return f"{fewest} rounds are too few; use at least {MIN_UNITS}, better {ROUNDS}."


def _judged(row: ComparedRow, contrast: Contrast, limit: float) -> ComparedRow:
    changed = 1 + SMALLEST_CHANGE
    verdict: Verdict = "can't tell"
    if contrast.low > changed:
        verdict = "slower"
    elif contrast.high < 1 / changed:
        verdict = "faster"
    elif contrast.low > 1 / (1 + SAME_WITHIN) and contrast.high < 1 + SAME_WITHIN:
        verdict = "same"
    return replace(
        row,
        verdict=verdict,
        ratio=contrast.ratio,
        interval=(contrast.low, contrast.high),
        reading=contrast.reading,
        past_limit=contrast.low > max(1 + limit, changed),
    )


def _obstacle(old: BenchCase, new: BenchCase) -> str | None:
    for name, case in (("old", old), ("new", new)):
        if case.status in ("failed", "timed out"):
            return f"It {case.status} in the {name} run{': ' + case.error if case.error else '.'}"
        if not valid_rounds(case):
            return f"The {name} run has no samples of this case."
    return None


def _machine_shift(old: Limits | None, new: Limits | None) -> float:
    """The log of the ratio of the machine's peaks: above 0 if the machine itself was slower in the new run."""
    before, after = (None if limits is None else limits.fp32_gflops for limits in (old, new))
    shift = math.log(before / after) if before and after else 0.0
    return shift if abs(shift) > PEAK_NOISE else 0.0


def _shifted(contrast: Contrast, shift: float) -> Contrast:
    """Extend the interval to include the ratio corrected for the change of the machine's peaks."""
    corrected = math.exp(-shift)
    return replace(contrast, low=contrast.low * min(1.0, corrected), high=contrast.high * max(1.0, corrected))


def _notes(differences: Sequence[str], shift: float) -> Iterable[str]:
    if differences:
        yield f"The runs come from different machines ({'; '.join(differences)})."
    if shift:
        word = "slower" if shift > 0 else "faster"
        yield f"The machine itself was {math.expm1(abs(shift)):.0%} {word} in the new run; the intervals are widened."


def _process_notes(rows: Sequence[ComparedRow]) -> Iterable[str]:
    """A process has a speed of its own, which rounds of the same process do not show."""
    timed = [row for row in rows if row.interval]
    single = [sum(row.processes[side] == 1 for row in timed) for side in (0, 1)]
    which = " and ".join(side for side, count in zip(("the old run", "the new run"), single, strict=True) if count)
    if which:
        some = "" if max(single) == len(timed) else ", for some rows"
        yield (
            f"One process per case in {which}{some}: the intervals do not include how processes differ, and are "
            "narrower than the truth. bench now starts several."
        )


def _option_notes(olds: Mapping[Key, BenchCase], news: Mapping[Key, BenchCase]) -> Iterable[str]:
    for key, new in news.items():
        before = olds[key].provider_options if key in olds else new.provider_options
        if before != new.provider_options:
            yield f"{label_case(new)}: {_given(before)} in the old run, {_given(new.provider_options)} in the new."


def _given(options: Mapping[str, str]) -> str:
    return named(", ".join(f"{name}={value}" for name, value in options.items())) or "no options"


def _precision_notes(olds: Mapping[Key, BenchCase], news: Mapping[Key, BenchCase]) -> Iterable[str]:
    """A faster run in a lower precision is often intended, so it is compared, with a note."""
    for key, new in news.items():
        before = olds[key].effective_precision if key in olds else new.effective_precision
        if before != new.effective_precision:
            yield f"{label_case(new)}: computed in {before} in the old run, in {new.effective_precision} in the new."
