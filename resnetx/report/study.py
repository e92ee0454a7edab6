"""A study as text that fits in 80 columns: the claim, the table, the verdict, and how to repeat it."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resnetx.report.html.markup import number
from resnetx.study.result import Study, Value


def render_study(study: Study) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in study.columns:
        table.add_column(column.title, justify="right" if column.numeric else "left", overflow="fold")
    for row in study.rows:
        table.add_row(*map(in_words, row))
    return Group(
        Text(study.title, "bold"),
        Text(f"Claim: {study.claim}"),
        Text(),
        table,
        Text(),
        *(Text(note, "dim") for note in study.notes),
        Text(study.verdict, "bold green" if study.held else "bold yellow"),
        Text(),
        *(Text(f"{name}: {value}", "dim") for name, value in study.settings.items()),
        Text(f"seed {study.seed}; the same numbers again: {study.command}", "dim"),
    )


def in_words(value: Value) -> str:
    """A cell: three digits of a number that is not whole, and a dash for nothing."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else number(value)
