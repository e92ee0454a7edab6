"""A search as text: what was tried, the finalists beside each other, and the winner."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resnetx.base.text import printable
from resnetx.report.tuning_words import FinalistRow, finalist_rows, trial_rows, winner_in_words
from resnetx.tuning.result import Tuning

SHOWN_TRIALS = 12
LEGEND = (
    "thr: threads of all streams together; str: streams, which run at the same time; top-1, dB: agreement and signal "
    "to error beside the file as it is on cpu"
)
NOTHING = Text("-", "dim")


def render_tuning(result: Tuning) -> RenderableType:
    rows = finalist_rows(result)
    parts: list[RenderableType] = [_trials(result), Text()]
    if rows:
        parts += [_finalists(rows), Text(LEGEND, "dim"), Text()]
    unfit = [
        Text(printable(f"{row.finalist.candidate.title}: {row.finalist.unfit}"), "yellow")
        for row in rows
        if row.finalist.unfit
    ]
    notes = [Text(printable(note), "yellow") for note in result.notes]
    words = Text(printable(winner_in_words(result)), "bold green" if result.best else "bold red")
    parts += [*unfit, *notes, words]
    if result.best is not None:
        parts.append(Text(printable(f"It is in {result.folder}; resnetx bench {result.folder} runs it.")))
    return Group(*parts)


def _trials(result: Tuning) -> Table:
    ranked = trial_rows(result)
    more = f", of which {SHOWN_TRIALS} are shown" if len(ranked) > SHOWN_TRIALS else ""
    table = _table(
        f"{len(ranked)} candidates, each measured in turn with the file as it is on cpu{more}",
        *(("file", False), ("provider", False), ("prec", False), ("thr", True), ("str", True), ("batch", True)),
        *(("speed", True), ("ms", True), ("", False)),
    )
    for trial, outcome in ranked[:SHOWN_TRIALS]:
        each = trial.candidate
        table.add_row(
            *(printable(each.file), each.provider, printable(trial.precision or each.precision)),
            *(str(each.threads), str(each.streams), str(each.batch)),
            NOTHING if trial.speed is None else f"{trial.speed:.2f}x",
            NOTHING if trial.median_ms is None else f"{trial.median_ms:.4g}",
            Text(printable(outcome), "red" if trial.speed is None else "dim"),
        )
    return table


def _finalists(rows: list[FinalistRow]) -> RenderableType:
    """Two tables, because one does not fit into a terminal: how fast each is, and how far it agrees."""
    speed = _table(
        "Finalists, in one interleaved run; * is the winner, = as fast within the intervals",
        *(("", False), ("file", False), ("provider", False), ("prec", False), ("thr", True), ("str", True)),
        *(("batch", True), ("median\nms", True), ("95 % ci\nof median", True), ("img/s\nmedian", True)),
        ("img/s\nmean", True),
    )
    agreement = _table(
        None,
        *(("", False), ("file", False), ("provider", False), ("prec", False), ("thr", True), ("str", True)),
        *(("batch", True), ("top-1", True), ("dB", True), ("parity", False)),
    )
    for row in rows:
        each, summary, agreed = row.finalist.candidate, row.case.summary, row.finalist.agreement
        interval = summary.ci95_ms
        passed = row.case.parity is not None and row.case.parity.passed
        style = "bold" if row.mark == "*" else ""
        label = (
            *(row.mark, printable(each.file), each.provider, printable(row.case.effective_precision)),
            *(str(each.threads), str(each.streams), str(each.batch)),
        )
        speed.add_row(
            *label,
            NOTHING if summary.median_ms is None else f"{summary.median_ms:.4g}",
            NOTHING if interval is None else f"{interval[0]:.4g}..{interval[1]:.4g}",
            *(NOTHING if rate is None else f"{rate:.4g}" for rate in (summary.images_per_s, summary.mean_images_per_s)),
            style=style,
        )
        agreement.add_row(
            *label,
            NOTHING if agreed is None else f"{agreed.top1:.0%}",
            NOTHING if agreed is None or agreed.sqnr_db is None else f"{agreed.sqnr_db:.0f}",
            Text("ok", "green") if passed else Text("FAILED", "bold red"),
            style=style,
        )
    return Group(speed, Text(), agreement)


def _table(title: str | None, *columns: tuple[str, bool]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", title=title, title_justify="left")
    for name, numeric in columns:
        table.add_column(name, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    return table
