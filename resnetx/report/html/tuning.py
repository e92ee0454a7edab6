"""A search as one self-contained HTML page: the winner, the Pareto front, and everything that was tried."""

from collections.abc import Sequence

from markupsafe import Markup

from resnetx.base.text import shorten
from resnetx.report.html.drawing import WIDTH, Scale, columns_grid, marker, nice_ticks, path, rows_grid, svg, text
from resnetx.report.html.machine_facts import machine_facts, machine_in_words
from resnetx.report.html.markup import judged, mark, number, precisely, stacked
from resnetx.report.html.table import Cell, Column, Row, Table, figure, make_table, words
from resnetx.report.html.templates import render
from resnetx.report.tuning_words import FinalistRow, finalist_rows, trial_rows, winner_in_words
from resnetx.tuning.result import Tuning, p95_ms

LEFT, RIGHT, TOP, BOTTOM = 56, WIDTH - 14, 26, 250
CANDIDATE = (
    Column("file", "file", numeric=False),
    Column("provider", "provider", numeric=False, head=True),
    Column("precision", "precision", numeric=False, main=True),
    Column("threads", "threads"),
    Column("streams", "streams"),
    Column("batch", "batch"),
)
FINALISTS = (
    *CANDIDATE,
    Column("throughput", "images/s", main=True),
    Column("median", "median ms", main=True),
    Column("p95", "p95 ms"),
    Column("top1", "top-1 as the source %"),
    Column("sqnr", "signal to error dB"),
    Column("verdict", "verdict", numeric=False, main=True),
)
TRIALS = (
    *CANDIDATE,
    Column("speed", "speed", main=True),
    Column("median", "median ms", main=True),
    Column("outcome", "outcome", numeric=False),
)
# The height of an entry in the chart's legend: three lines.
ENTRY = 48
UNTIMED = "it was not timed, see its row"
UNCOMPARED = "it was not compared with the source"


def render_tuning_page(result: Tuning) -> str:
    """The same result gives the same page, byte for byte."""
    rows = finalist_rows(result)
    return render(
        "tuning.html.jinja",
        script=False,
        result=result,
        where=machine_in_words(result.benchmark.machine),
        finalists=make_table(FINALISTS, [_finalist(row) for row in rows]),
        trials=_trials(result),
        verdict=winner_in_words(result),
        chart=pareto_chart(rows),
        machine=machine_facts(result.benchmark),
    )


def pareto_chart(rows: list[FinalistRow]) -> Markup | None:
    """Throughput over latency; finalists that no other beats are joined by a line. None for a single one."""
    known = [
        (row, row.case.summary.median_ms, row.case.summary.images_per_s)
        for row in rows
        if row.case.summary.median_ms is not None and row.case.summary.images_per_s is not None
    ]
    if len(known) < 2:
        return None
    across_ticks, up_ticks = nice_ticks(max(ms for _, ms, _ in known)), nice_ticks(max(rate for *_, rate in known))
    across = Scale(low=0, high=across_ticks[-1], start=LEFT, end=RIGHT)
    up = Scale(low=0, high=up_ticks[-1], start=BOTTOM, end=TOP)
    parts = [*rows_grid(up_ticks, up, LEFT, RIGHT), *columns_grid(across_ticks, across, BOTTOM, BOTTOM + 4)]
    parts.append(text(WIDTH / 2, BOTTOM + 36, "latency in ms", "middle", "dim"))
    parts.append(text(8, TOP - 12, "images/s", None, "dim"))
    front = sorted((ms, rate) for row, ms, rate in known if row.optimal)
    if len(front) > 1:
        parts.append(path("line c5", "M" + "L".join(f"{across.at(ms):g},{up.at(rate):g}" for ms, rate in front)))
    for place, (row, ms, rate) in enumerate(known):
        y, wrong, agreement = BOTTOM + 58 + ENTRY * place, bool(row.finalist.unfit), row.finalist.agreement
        same = "" if agreement is None else f", top-1 {agreement.top1:.1%}"
        name, _, settings = row.finalist.candidate.title.partition(", ")
        parts += [
            marker(across.at(ms), up.at(rate), place, row.finalist.candidate.title, wrong=wrong),
            marker(14, y - 4, place, wrong=wrong),
            text(28, y, shorten(f"{name}{' ★' if row.mark == '*' else ''}", 46)),
            text(28, y + 14, shorten(settings, 46), None, "dim"),
            text(28, y + 28, f"{number(ms)} ms, {number(rate)} images/s{same}", None, "dim"),
        ]
    alt = "; ".join(
        f"{row.finalist.candidate.title}: {number(ms)} ms, {number(rate)} images/s" for row, ms, rate in known
    )
    return svg("pareto", BOTTOM + 44 + ENTRY * len(known), "Throughput over latency", alt, parts)


def _finalist(row: FinalistRow) -> Row:
    each, summary, agreement = row.finalist.candidate, row.case.summary, row.finalist.agreement
    between = None if summary.ci95_ms is None else " to ".join(map(precisely, summary.ci95_ms))
    tags = [mark({"*": "★ winner", "=": "as fast"}[row.mark], "tag good")] if row.mark else []
    right = row.case.parity is not None and row.case.parity.passed
    verdict = judged(right, "✓ correct" if right else "✗ WRONG") if row.case.parity else mark("not verified", "warn")
    cells = (
        Cell(Markup(" ").join([mark(each.file), *tags]), each.file),
        *_settings(each.provider, row.case.effective_precision, each.threads, each.streams, each.batch),
        figure(summary.images_per_s, UNTIMED),
        figure(
            summary.median_ms,
            UNTIMED,
            shown=None if summary.median_ms is None else stacked(number(summary.median_ms), between),
        ),
        figure(p95_ms(row.case), UNTIMED),
        figure(None if agreement is None else 100 * agreement.top1, UNCOMPARED),
        figure(
            None if agreement is None else agreement.sqnr_db,
            UNCOMPARED if agreement is None else "its outputs are exactly those of the source",
        ),
        Cell(verdict, "correct" if right else "wrong"),
    )
    return Row(cells, row.finalist.unfit, "failed" if row.finalist.unfit else "best" if row.mark == "*" else "")


def _trials(result: Tuning) -> Table:
    rows = []
    for trial, outcome in trial_rows(result):
        each, failed = trial.candidate, trial.speed is None
        cells = (
            words(each.file),
            *_settings(each.provider, trial.precision or each.precision, each.threads, each.streams, each.batch),
            figure(trial.speed, UNTIMED, shown=None if trial.speed is None else f"{trial.speed:.2f}"),
            figure(trial.median_ms, UNTIMED),
            words("failed" if failed else outcome, shown=mark("✗ failed", "bad") if failed else None),
        )
        rows.append(Row(cells, outcome if failed else None, "failed" if failed else ""))
    return make_table(TRIALS, rows)


def _settings(provider: str, precision: str, threads: int, streams: int, batch: int) -> Sequence[Cell]:
    numbers = [figure(value, shown=str(value)) for value in (threads, streams, batch)]
    return [words(provider), words(precision), *numbers]
