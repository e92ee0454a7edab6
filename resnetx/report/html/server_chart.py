"""The p99 latency of a server over the rate of queries, at every rate that was tried, with the bound as a line."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from resnetx.base.text import shorten
from resnetx.report.bench_rows import BenchRow
from resnetx.report.html.drawing import (
    WIDTH,
    Scale,
    columns_grid,
    line,
    log_ticks,
    marker,
    nice_ticks,
    path,
    rows_grid,
    svg,
    text,
)
from resnetx.report.html.markup import number

LEFT, RIGHT, TOP, BOTTOM = 46, WIDTH - 14, 24, 190


class Tried(NamedTuple):
    """A run at a rate."""

    rate: float
    p99_ms: float
    kept: bool


def tried_rates(row: BenchRow) -> list[Tried]:
    """The search and the final run, by their rates."""
    load = row.case.load
    if load is None or load.scenario != "server":
        return []
    final = load.run
    runs = [(probe.rate, probe.p99_ms, probe.kept) for probe in load.probes]
    runs.append((final.rate or 0.0, final.percentiles_ms.get("p99"), load.kept))
    return sorted({Tried(rate, p99_ms, kept) for rate, p99_ms, kept in runs if rate > 0 and p99_ms})


def server_chart(name: str, rows: Sequence[BenchRow], styles: Mapping[str, int]) -> Markup | None:
    """A line for each series; None if no rate was tried beside another."""
    known = [(row, found) for row in rows if (found := tried_rates(row))]
    points = [each for _, found in known for each in found]
    if len({each.rate for each in points}) < 2:
        return None
    bounds = sorted({row.case.load.latency_bound_ms or 0.0 for row, _ in known if row.case.load} - {0.0})
    up_ticks = log_ticks(*_reach([*(each.p99_ms for each in points), *bounds]))
    across_ticks = nice_ticks(max(each.rate for each in points))
    across = Scale(low=0, high=across_ticks[-1], start=LEFT, end=RIGHT)
    up = Scale(low=up_ticks[0], high=up_ticks[-1], start=BOTTOM, end=TOP, log=True)
    parts = [*rows_grid(up_ticks, up, LEFT, RIGHT), *columns_grid(across_ticks, across, BOTTOM, BOTTOM + 4)]
    parts += [text(8, 12, "p99 in ms", None, "dim"), text(WIDTH / 2, BOTTOM + 34, "queries/s", "middle", "dim")]
    for bound in bounds:
        y = up.at(bound)
        parts += [path("limit", f"M{LEFT},{y:g}H{RIGHT}"), text(RIGHT, y - 4, f"bound {bound:g} ms", "end", "bad")]
    for place, (row, found) in enumerate(known):
        style, y = styles[row.series], BOTTOM + 56 + 19 * place
        # The worst of the runs at a rate: a line shows no rate twice.
        ends = [max(group, key=lambda each: each.p99_ms) for _, group in groupby(found, lambda each: each.rate)]
        parts.append(line([(across.at(each.rate), up.at(each.p99_ms)) for each in ends], style))
        parts += [
            marker(across.at(each.rate), up.at(each.p99_ms), style, _in_words(row, each), wrong=not each.kept)
            for each in found
        ]
        parts += [line([(12, y), (36, y)], style), marker(24, y, style), text(44, y + 4, shorten(row.label, 30))]
        figure = row.case.load.figure if row.case.load and row.case.load.kept else None
        reached = "no rate" if figure is None else f"{number(figure)} queries/s"
        parts.append(text(WIDTH - 8, y + 4, reached, "end", "dim"))
    alt = "; ".join(_in_words(row, each) for row, found in known for each in found)
    return svg(name, BOTTOM + 50 + 19 * len(known), "p99 latency over the rate of queries", alt, parts)


def _reach(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _in_words(row: BenchRow, each: Tried) -> str:
    return (
        f"{row.label}: {number(each.rate)} queries/s, p99 {number(each.p99_ms)} ms{'' if each.kept else ', too late'}"
    )
