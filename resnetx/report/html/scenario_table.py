"""The runs of an MLPerf scenario: how long each was, and the rates that were tried."""

from collections.abc import Sequence

from markupsafe import Markup

from resnetx.benchmark.loadgen.result import Probe
from resnetx.report.bench_rows import BenchRow
from resnetx.report.html.markup import element, mark, number
from resnetx.report.html.table import Cell, Column, Row, Table, figure, make_table, words

COLUMNS = (
    Column("model", "model", numeric=False),
    Column("case", "case", numeric=False, head=True),
    Column("merit", "figure of merit", numeric=False, main=True),
    Column("queries", "queries", main=True),
    Column("length", "length", numeric=False),
    Column("probes", "rates tried", numeric=False),
)


def scenario_table(rows: Sequence[BenchRow]) -> Table:
    made, several = [], len({row.case.model for row in rows}) > 1
    for row in rows:
        load = row.case.load
        if load is not None:
            merit = None if load.figure is None else mark(f"{number(load.figure)} {load.unit}", "", "strong")
            cells = (
                *([words(row.case.model)] if several else []),
                words(row.label),
                Cell(merit, load.figure, "no rate was found that keeps the bound"),
                figure(load.run.queries),
                words(load.unofficial or f"official: {load.duration_s:g} s"),
                Cell(_tried(load.probes)) if load.probes else Cell(absent="no rate was searched"),
            )
            made.append(Row(cells))
    return make_table(COLUMNS if several else COLUMNS[1:], made)


def _tried(probes: Sequence[Probe]) -> Markup:
    listed = ", ".join(f"{number(probe.rate)} {'✓' if probe.kept else '✗'}" for probe in probes)
    return element("details", {}, element("summary", {}, f"{len(probes)} runs"), mark(listed, "reason"))
