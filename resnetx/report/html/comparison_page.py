"""A comparison of two benchmarks as a page: the verdict, a forest plot of the ratios, and each row."""

from collections.abc import Mapping
from typing import Any

from resnetx.benchmark.comparison.compare import ComparedRow, Comparison
from resnetx.report.comparison import (
    advice_on,
    change_in_words,
    interval_in_words,
    mean_in_words,
    turns_in_words,
    verdict_in_words,
)
from resnetx.report.html.forest import forest_charts, label_compared
from resnetx.report.html.markup import mark, stacked
from resnetx.report.html.table import Cell, Column, Row, figure, make_table, words
from resnetx.report.html.templates import render

COLUMNS = (
    Column("model", "model", numeric=False),
    Column("provider", "provider", numeric=False, head=True),
    Column("batch", "batch", head=True),
    Column("old", "old ms", main=True),
    Column("new", "new ms", main=True),
    Column("time", "change of time", main=True),
    Column("verdict", "verdict", numeric=False, main=True),
    Column("run", "run", numeric=False),
)
KINDS = {"faster": "good", "slower": "warn", "can't tell": "dim"}


def render_comparison_page(comparison: Comparison) -> str:
    """The same comparison gives the same page, byte for byte."""
    return render("comparison.html.jinja", **comparison_parts(comparison))


def comparison_parts(comparison: Comparison) -> Mapping[str, Any]:
    """What the page of a comparison shows, and that of a benchmark with an earlier one."""
    models = dict.fromkeys(row.model for row in comparison.rows)
    charts = [
        (model, chart)
        for place, model in enumerate(models)
        for chart in forest_charts(f"ratios-{place}", [r for r in comparison.rows if r.model == model], comparison)
    ]
    notes = [f"only in the {side} run: {name}" for side, name in _missing(comparison)]
    unsure = any(row.verdict == "can't tell" and row.interval for row in comparison.rows)
    mixed = len({row.interleaved for row in comparison.rows}) > 1
    mean = mean_in_words(comparison)
    return {
        "good": False if any(row.past_limit for row in comparison.rows) else True if comparison.passed else None,
        "old": comparison.old,
        "new": comparison.new,
        "verdict": verdict_in_words(comparison),
        "mean": f"{mean[0].upper()}{mean[1:]}." if mean else None,
        "turns": turns_in_words(comparison),
        "limit": f"{100 * comparison.max_slowdown:.3g} %",
        "charts": charts,
        "table": make_table(
            COLUMNS if len(models) > 1 else COLUMNS[1:],
            [_row(row, several=len(models) > 1, mixed=mixed) for row in comparison.rows],
        ),
        "notes": [*comparison.notes, *([advice_on(comparison)] if unsure else []), *notes],
    }


def _row(row: ComparedRow, *, several: bool, mixed: bool) -> Row:
    """The model if there are several, and whether the row was interleaved if that differs."""
    why = "see the reason below the row" if row.reason else "too few rounds"
    change = None
    if row.ratio is not None:
        change = stacked(mark(change_in_words(row.ratio), "", "strong"), interval_in_words(row) or None)
    verdict = mark("✗ SLOWER", "bad", "strong") if row.past_limit else mark(row.verdict, KINDS.get(row.verdict, ""))
    cells = (
        *([words(row.model)] if several else []),
        words(label_compared(row, batch=False)),
        figure(row.batch, shown=str(row.batch)),
        figure(row.old_ms, "no samples in the old run"),
        figure(row.new_ms, "no samples in the new run"),
        Cell(change, row.ratio, why),
        Cell(verdict, row.verdict),
        words("interleaved" if row.interleaved else "one after the other") if mixed else Cell(),
    )
    return Row(cells, row.reason, "failed" if row.past_limit else "")


def _missing(comparison: Comparison) -> list[tuple[str, str]]:
    return [("old", name) for name in comparison.only_old] + [("new", name) for name in comparison.only_new]
