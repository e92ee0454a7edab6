"""A comparison of two benchmarks as tables."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resnetx.base.text import one_line
from resnetx.benchmark.comparison.compare import ComparedRow, Comparison

STYLES = {"faster": "green", "slower": "yellow", "same": "", "can't tell": "dim"}
MAX_NAMES = 8


def render_comparison(comparison: Comparison) -> RenderableType:
    """A table per model, what could not be compared, and the verdict."""
    names = (one_line(comparison.old), "bold"), " -> ", (one_line(comparison.new), "bold")
    parts: list[RenderableType] = [Text.assemble(*names, f"  {turns_in_words(comparison)}")]
    for model in dict.fromkeys(row.model for row in comparison.rows):
        rows = [row for row in comparison.rows if row.model == model]
        parts += [Text(), Text(one_line(model), "bold"), _table(rows), *_reasons(rows)]
    style = "bold green" if comparison.passed else "bold red" if comparison.slower else "bold yellow"
    mean = mean_in_words(comparison)
    parts += [Text(), *([Text(mean)] if mean else []), *_remarks(comparison)]
    parts.append(Text(verdict_in_words(comparison), style))
    return Group(*parts)


def turns_in_words(comparison: Comparison) -> str:
    if comparison.interleaved:
        return "run in interleaved rounds"
    some = any(row.interleaved for row in comparison.rows)
    return "some rows run in interleaved rounds" if some else "run one after the other"


def mean_in_words(comparison: Comparison) -> str:
    """Nothing for a single row, whose ratio is shown."""
    mean, count = comparison.geometric_mean, sum(row.ratio is not None for row in comparison.rows)
    return f"geometric mean of {count} ratios: {change_in_words(mean)}" if mean is not None and count > 1 else ""


def verdict_in_words(comparison: Comparison) -> str:
    limit = f"{comparison.max_slowdown * 100:.3g}"
    slow = sum(row.past_limit for row in comparison.rows)
    undecided = f"UNDECIDED: {comparison.undecided} of {len(comparison.rows)}" if comparison.undecided else ""
    if slow:
        rows = "1 row is" if slow == 1 else f"{slow} rows are"
        words = f"SLOWER: {rows} more than {limit} % slower, with certainty"
    elif comparison.passed:
        words = f"PASSED: no row is certain to be more than {limit} % slower"
    else:
        return f"{undecided}; no row can be told"
    return f"{words}; {undecided}" if undecided else words


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
            time_in_words(row.old_ms),
            time_in_words(row.new_ms),
            change_in_words(row.ratio),
            interval_in_words(row),
            _mark(row),
        )
    return table


def _provider(row: ComparedRow) -> Text:
    text = Text(one_line(row.provider))
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
            yield Text(f"{one_line(row.provider)}, batch {row.batch}: {one_line(row.reason)}", "yellow")


def _remarks(comparison: Comparison) -> Iterable[Text]:
    for side, names in (("old", comparison.only_old), ("new", comparison.only_new)):
        for name in names[:MAX_NAMES]:
            yield Text(f"only in the {side} run: {one_line(name)}", "dim")
        if len(names) > MAX_NAMES:
            yield Text(f"only in the {side} run: {len(names) - MAX_NAMES} more", "dim")
    for note in comparison.notes:
        yield Text(one_line(note), "yellow")
    if any(row.reading not in (None, "median") for row in comparison.rows):
        yield Text("The machine was busy: some changes are read from the fastest tenth of the runs.", "dim")
    if any(row.verdict == "can't tell" and row.interval for row in comparison.rows):
        yield Text(advice_on(comparison), "dim")


def advice_on(comparison: Comparison) -> str:
    if comparison.interleaved:
        return "To tell these apart, run with a longer --duration and more --rounds, or on a quieter machine."
    return "To tell these apart, run both interleaved (bench NEW --against OLD), or with a longer --duration."


def time_in_words(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}" if value >= 100 else f"{value:.3f}" if value >= 1 else f"{value:.4f}"


def change_in_words(ratio: float | None) -> str:
    """`+4.9 %`, or a factor if the percentage is very large."""
    if ratio is None:
        return ""
    if ratio >= 10:
        return f"x{ratio:.3g}" if ratio < 1e6 else "beyond"
    return f"{(ratio - 1) * 100:+.1f} %"


def interval_in_words(row: ComparedRow) -> str:
    low, high = row.interval or (None, None)
    return "" if row.interval is None else f"{change_in_words(low)} to {change_in_words(high)}"
