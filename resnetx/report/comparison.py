"""Two benchmarks side by side, as a table for people."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resnetx.measure.comparison import ComparedRow, Comparison

STYLES = {"faster": "green", "slower": "yellow", "same": "", "can't tell": "dim"}
MAX_NAMES = 8


def render_comparison(comparison: Comparison) -> RenderableType:
    """A table a model, what could not be compared, and the verdict."""
    together = "in turns" if comparison.interleaved else "one after the other"
    head = Text.assemble((_safe(comparison.old), "bold"), " -> ", (_safe(comparison.new), "bold"), f"  run {together}")
    parts: list[RenderableType] = [head]
    for model in dict.fromkeys(row.model for row in comparison.rows):
        rows = [row for row in comparison.rows if row.model == model]
        parts += [Text(), Text(_safe(model), "bold"), _table(rows), *_reasons(rows)]
    parts += [Text(), *_remarks(comparison), _verdict(comparison)]
    return Group(*parts)


def _table(rows: list[ComparedRow]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("provider", overflow="fold")
    for name in ("batch", "old ms", "new ms", "time", "interval"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in rows:
        table.add_row(
            _provider(row),
            str(row.batch),
            _time(row.old_ms),
            _time(row.new_ms),
            _change(row.ratio),
            "" if row.interval is None else f"{_change(row.interval[0])} to {_change(row.interval[1])}",
            _mark(row),
        )
    return table


def _provider(row: ComparedRow) -> Text:
    text = Text(_safe(row.provider))
    if row.concurrency != 1:
        text.append(f" x{row.concurrency}", "dim")
    if row.boundary != "host":
        text.append(f" {row.boundary}", "dim")
    return text.append(f" {row.threads} thr", "dim")


def _mark(row: ComparedRow) -> Text:
    return Text("SLOWER", "bold red") if row.past_limit else Text(row.verdict, STYLES[row.verdict])


def _reasons(rows: list[ComparedRow]) -> Iterable[Text]:
    for row in rows:
        if row.reason:
            yield Text(f"{_safe(row.provider)}, batch {row.batch}: {_safe(row.reason)}", "yellow")


def _remarks(comparison: Comparison) -> Iterable[Text]:
    for side, names in (("old", comparison.only_old), ("new", comparison.only_new)):
        for name in names[:MAX_NAMES]:
            yield Text(f"only in the {side} run: {_safe(name)}", "dim")
        if len(names) > MAX_NAMES:
            yield Text(f"only in the {side} run: {len(names) - MAX_NAMES} more", "dim")
    for note in comparison.notes:
        yield Text(_safe(note), "yellow")
    if any(row.reading not in (None, "median") for row in comparison.rows):
        yield Text("The machine was busy: some changes are read from the fastest tenth of the runs.", "dim")
    if any(row.verdict == "can't tell" and row.interval for row in comparison.rows):
        yield Text(_advice(comparison), "dim")


def _advice(comparison: Comparison) -> str:
    if comparison.interleaved:
        return "What can't be told needs a longer --duration with more --rounds, or a quieter machine."
    return "What can't be told may be, where both take turns: bench NEW --against OLD; or with a longer --duration."


def _verdict(comparison: Comparison) -> Text:
    limit = f"{comparison.max_slowdown * 100:.3g}"
    slow = sum(row.past_limit for row in comparison.rows)
    if slow:
        rows = "1 row is" if slow == 1 else f"{slow} rows are"
        return Text(f"SLOWER: {rows} more than {limit} % slower, beyond doubt", "bold red")
    return Text(f"PASSED: no row is more than {limit} % slower beyond doubt", "bold green")


def _time(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value < 100 else f"{value:.1f}"


def _change(ratio: float | None) -> str:
    """`+4.9 %`, and a factor where a percentage would not be read."""
    if ratio is None:
        return ""
    if ratio >= 10:
        return f"x{ratio:.3g}" if ratio < 1e6 else "beyond"
    return f"{(ratio - 1) * 100:+.1f} %"


def _safe(text: str) -> str:
    """Names come from files: control characters must not reach the terminal."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))
