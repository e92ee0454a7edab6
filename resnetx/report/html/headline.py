"""What a reader of a benchmark takes away first: what is wrong, the fastest correct row of each model, and remarks."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from resnetx.report.bench_rows import BenchRow, by_model

# A number that stands alone, not one in a name.
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?!\w)")


class Verdict(NamedTuple):
    """`good` is None if nothing is known to be wrong, but not all is verified."""

    good: bool | None
    words: str


class Remark(NamedTuple):
    """What is said, and the rows that it is said of."""

    words: str
    labels: tuple[str, ...]


def verdict_on(rows: Sequence[BenchRow]) -> Verdict:
    """The number of cases, and of those with each problem."""
    wrong = [
        (sum(row.case.status != "ok" for row in rows), "not finished"),
        (sum(row.parity_passed is False for row in rows), "with wrong outputs"),
        (sum(row.case.load is not None and not row.case.load.kept for row in rows), "beyond the latency bound"),
    ]
    unverified = sum(row.case.status == "ok" and row.parity_passed is None for row in rows)
    count = f"{len(rows)} case{'' if len(rows) == 1 else 's'}"
    problems = [f"{number} {words}" for number, words in (*wrong, (unverified, "not verified")) if number]
    if not rows:
        return Verdict(None, "There are no cases.")
    if problems:
        return Verdict(None if not any(number for number, _ in wrong) else False, f"{count}, {', '.join(problems)}.")
    return Verdict(
        True, f"{count}, finished and verified." if len(rows) == 1 else f"{count}, all finished and verified."
    )


def leaders(rows: Sequence[BenchRow]) -> dict[str, BenchRow | None]:
    """For each model its best row, or its only correct one; None if no row is correct."""
    found: dict[str, BenchRow | None] = {}
    for model, group in by_model(rows).items():
        correct = [row for row in group if row.case.status == "ok" and (row.case.parity is None or row.parity_passed)]
        timed = [row for row in correct if (row.case.load.score if row.case.load else row.summary.images_per_s)]
        found[model] = next((row for row in group if row.best), timed[0] if timed else None)
    return found


def grouped(remarks: Iterable[tuple[str, str]]) -> list[Remark]:
    """Remarks, each with the label of its row: those that differ in numbers only are one, with the range of each."""
    kinds: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for label, words in remarks:
        kinds.setdefault(tuple(NUMBER.split(words)), []).append((label, words))
    found = [
        Remark(_merged(kind, [NUMBER.findall(words) for _, words in group]), tuple(label for label, _ in group))
        for kind, group in kinds.items()
    ]
    return sorted(found, key=lambda remark: -len(remark.labels))


def _merged(texts: Sequence[str], numbers: Sequence[Sequence[str]]) -> str:
    parts = [texts[0]]
    for column, rest in zip(zip(*numbers, strict=True), texts[1:], strict=True):
        ordered = sorted(set(column), key=lambda number: float(number.replace(",", "")))
        parts += [ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}", rest]
    return "".join(parts)
