"""The page's part on a scenario of MLPerf: what each case reached, LoadGen's verdict, and the rates that were tried."""

from collections.abc import Sequence

from resnetx.benchmark.loadgen.result import LoadResult
from resnetx.report.bench_rows import BenchRow
from resnetx.report.html.markup import Html, element, join, number, shorten
from resnetx.report.html.results_table import NOTHING
from resnetx.report.html.sections import listed
from resnetx.report.scenario_words import bound_verdict, captions, load_notes, verdict

HEADS = ["model", "case", "figure of merit", "p99 ms", "bound", "LoadGen", "queries", "length", "rates tried", "why"]


def load_section(rows: Sequence[BenchRow]) -> Html:
    lines = [_line(row, row.case.load) for row in rows if row.case.load is not None]
    words = "Traffic of MLPerf's LoadGen, with synthetic images. Queries are samples in offline."
    notes = [element("p", {"class": "warn" if "unofficial" in text else None}, text) for text in captions(rows)]
    return join([*notes, listed(words, HEADS, lines, "Results of the scenario")])


def _line(row: BenchRow, load: LoadResult) -> list[object]:
    figure, p99, bound = load.figure, load.run.percentiles_ms.get("p99"), bound_verdict(load)
    return [
        shorten(row.case.model, 120),
        row.label,
        NOTHING if figure is None else element("strong", None, f"{number(float(figure))} {load.unit}"),
        NOTHING if p99 is None else number(p99),
        NOTHING if bound is None else _mark(bound, bound == "kept", f" {load.latency_bound_ms:g} ms"),
        _mark(verdict(load), load.run.valid),
        number(load.run.queries),
        load.unofficial or f"official: {load.duration_s:g} s",
        _tried(load),
        element("span", {"class": "reason"}, " ".join(load_notes(load))) if load.run.reasons else NOTHING,
    ]


def _mark(word: str, good: bool, more: str = "") -> Html:
    return element("span" if good else "strong", {"class": "good" if good else "bad"}, f"{word}{more}")


def _tried(load: LoadResult) -> Html:
    if not load.probes:
        return NOTHING
    tried = ", ".join(f"{number(float(probe.rate))} {'✓' if probe.kept else '✗'}" for probe in load.probes)
    return element("details", None, element("summary", None, f"{len(load.probes)} runs"), tried)
