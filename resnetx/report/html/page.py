"""A benchmark as one self-contained HTML page: it makes no requests, and no text of a result runs as code."""

from collections.abc import Sequence
from typing import Any

from resnetx.benchmark.comparison.compare import Comparison
from resnetx.benchmark.result import Benchmark
from resnetx.report.bench_rows import BenchRow, bench_rows, by_model
from resnetx.report.html.charts import highest_rates, limit_charts, placement_chart, throughput_charts
from resnetx.report.html.comparison_page import comparison_parts
from resnetx.report.html.headline import grouped, leaders, verdict_on
from resnetx.report.html.machine_facts import machine_facts, machine_in_words
from resnetx.report.html.parity_table import agreement_in_words, parity_table
from resnetx.report.html.results_table import costs_table, placed_nodes, rate_interval, results_table
from resnetx.report.html.rounds import round_charts
from resnetx.report.html.scenario_table import scenario_table
from resnetx.report.html.server_chart import server_chart
from resnetx.report.html.templates import render
from resnetx.report.kernel_words import kernels_in_words
from resnetx.report.process_words import processes_in_words
from resnetx.report.rerun_command import bench_command
from resnetx.report.scenario_words import captions, load_notes

# Charts of more rows than this wait until they are asked for.
MOST_OPEN = 12


def render_html(benchmark: Benchmark, comparison: Comparison | None = None) -> str:
    rows = bench_rows(benchmark)
    return render(
        "page.html.jinja",
        functions=(bench_command, placement_chart, rate_interval),
        benchmark=benchmark,
        rows=rows,
        subject=_subject(rows),
        where=machine_in_words(benchmark.machine),
        verdict=verdict_on(rows),
        leaders=leaders(rows),
        remarks=grouped(_remarks(rows)),
        results=results_table(rows),
        costs=costs_table(rows),
        processes=[f"{words[0].upper()}{words[1:]}." for words in processes_in_words(rows)],
        captions=captions(rows),
        loads=[row for row in rows if row.case.load is not None],
        load_runs=scenario_table(rows),
        compared=None if comparison is None else comparison_parts(comparison),
        parity=parity_table(rows),
        agreement=agreement_in_words(rows),
        strays=[row for row in rows if row.case.placement and placed_nodes(row)[0] != placed_nodes(row)[1]],
        placed=[row for row in rows if row.case.placement],
        kernels=kernels_in_words(rows),
        machine=machine_facts(benchmark),
        most_open=MOST_OPEN,
        **_charts(rows),
    )


def _charts(rows: Sequence[BenchRow]) -> dict[str, Any]:
    """The charts by model, where there is more than one figure to draw."""
    styles = {series: index for index, series in enumerate(dict.fromkeys(row.series for row in rows))}
    timed = by_model(row for row in rows if row.summary.images_per_s is not None and row.case.load is None)
    limited = by_model(row for row in rows if row.summary.limit_fraction is not None)
    tops, same_axis = highest_rates(timed)
    rates = [
        (model, chart)
        for place, (model, group) in enumerate(timed.items())
        for chart in throughput_charts(f"throughput-{place}", group, styles, tops[model])
    ]
    shares = [
        (model, chart)
        for place, (model, group) in enumerate(limited.items())
        for chart in limit_charts(f"limit-{place}", group, styles)
    ]
    served = [
        (model, chart)
        for place, (model, group) in enumerate(by_model(rows).items())
        if (chart := server_chart(f"server-{place}", group, styles)) is not None
    ]
    return {"rates": rates, "same_axis": same_axis, "shares": shares, "served": served, "rounds": round_charts(rows)}


def _subject(rows: Sequence[BenchRow]) -> str:
    models = list(by_model(rows))
    return models[0] if len(models) == 1 else f"{len(models)} models" if models else "Nothing"


def _remarks(rows: Sequence[BenchRow]) -> list[tuple[str, str]]:
    """Each warning with the label of its row."""
    several = len(by_model(rows)) > 1
    return [
        (f"{row.case.model}, {row.label}" if several else row.label, warning)
        for row in rows
        for warning in (*row.case.warnings, *(load_notes(row.case.load) if row.case.load else ()))
    ]
