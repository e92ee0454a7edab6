"""A comparison as Markdown, for the description of a pull request."""

from collections.abc import Iterable

from resnetx.base.text import message
from resnetx.benchmark.comparison.compare import ComparedRow, Comparison
from resnetx.report.comparison import (
    change_in_words,
    interval_in_words,
    mean_in_words,
    time_in_words,
    turns_in_words,
    verdict_in_words,
)

HEADS = ("model", "provider", "batch", "old ms", "new ms", "time", "interval", "verdict")
# What Markdown or HTML would take for markup.
MARKUP = frozenset("\\`*_[]<>|~#&$:@!")


def render_markdown(comparison: Comparison) -> str:
    """A heading with the verdict, a table, and what a reader must know."""
    lines = [
        f"### {escaped(verdict_in_words(comparison))}",
        "",
        f"{code(comparison.old)} → {code(comparison.new)}, {turns_in_words(comparison)}.",
        "",
        _line(HEADS),
        _line(["---", "---", *["---:"] * 5, "---"]),
        *(_line(_cells(row)) for row in comparison.rows),
        *_remarks(comparison),
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Names come from files: as text, whatever they hold."""
    return "".join(f"&#{ord(character)};" if character in MARKUP else character for character in message(text))


def code(text: str) -> str:
    """As code, in which nothing is taken for a person or an issue either."""
    return f"<code>{escaped(text)}</code>"


def _cells(row: ComparedRow) -> list[str]:
    settings = [f"{row.threads} threads"]
    settings += [f"{row.concurrency} callers"] * (row.concurrency != 1) + [row.boundary] * (row.boundary != "host")
    return [
        code(row.model),
        f"{code(row.provider)}, {escaped(', '.join(settings))}",
        str(row.batch),
        time_in_words(row.old_ms),
        time_in_words(row.new_ms),
        change_in_words(row.ratio),
        interval_in_words(row),
        "**SLOWER**" if row.past_limit else row.verdict,
    ]


def _remarks(comparison: Comparison) -> Iterable[str]:
    mean = mean_in_words(comparison)
    if mean:
        yield from ("", f"{mean[0].upper()}{mean[1:]}.")
    reasons = [f"{row.provider}, batch {row.batch}: {row.reason}" for row in comparison.rows if row.reason]
    only = [f"only in the old run: {name}" for name in comparison.only_old]
    only += [f"only in the new run: {name}" for name in comparison.only_new]
    remarks = [*reasons, *only, *comparison.notes]
    if remarks:
        yield from ("", *(f"- {escaped(remark)}" for remark in remarks))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
