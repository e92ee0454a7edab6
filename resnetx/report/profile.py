"""A profile as tables that fit in 80 columns: the layers that take the most time, and the sums by kind of kernel."""

import math
from collections.abc import Callable, Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resnetx.benchmark.profiling.figures import Total, notes_of, totals_of
from resnetx.benchmark.profiling.layer import LayerFigures
from resnetx.benchmark.profiling.result import Profile
from resnetx.report.inspection import shown
from resnetx.report.profile_words import limits_in_words, number, sum_in_words, title_of

SHORTEST_NAME, LONGEST_CELL = 12, 26
MOST_KINDS = 12
WORDS = ("original", "operator", "kernel")
Column = tuple[str, Callable[[LayerFigures], str]]


def render_profile(profile: Profile, *, top: int, width: int) -> RenderableType:
    """The `top` layers by time, with the rest in one row, and what they do not explain in another."""
    notes = [Text(note, "yellow") for note in notes_of(profile)]
    limits = limits_in_words(profile)
    ending = "MMAC: million multiply-accumulates of a run. Of limit: of the limit that the layer meets first."
    return Group(
        Text(title_of(profile), "bold"),
        Text(sum_in_words(profile)),
        Text(),
        _layers(profile, top=top, width=width),
        Text(),
        _totals(totals_of(profile), _aligned(profile)),
        Text(),
        *notes,
        Text(f"{limits} {ending}" if limits else ending, "dim"),
    )


def _layers(profile: Profile, *, top: int, width: int) -> Table:
    in_column = _aligned(profile)
    figures = sorted(profile.figures, key=lambda each: -each.layer.time_ms)
    first, rest = figures[:top], figures[top:]
    original = any(each.layer.original_name for each in first)
    columns: list[Column] = [
        ("ms", lambda each: in_column(each.layer.time_ms)),
        ("share", lambda each: f"{each.share:.1%}"),
        ("MMAC", lambda each: _or_dash(each.layer.macs and each.layer.macs / 1e6, zero="-")),
        ("GFLOP/s", lambda each: _or_dash(each.gflops, zero="-")),
        ("GB/s", lambda each: _or_dash(each.gb_s)),
        ("of limit", _limit),
    ]
    kernels: Column = ("kernel", lambda each: shown(each.layer.kernel, LONGEST_CELL))
    names: Column = ("original", lambda each: shown(each.layer.original_name or "", LONGEST_CELL))
    left = [names] if original else [("operator", lambda each: shown(each.layer.operator, LONGEST_CELL))]
    sums = [
        *([(f"{len(rest)} other layers", sum(each.layer.time_ms for each in rest))] if rest else []),
        ("outside the layers", profile.outside_ms),
        ("a run", profile.run_ms),
    ]
    blanks = [""] * len(left)
    totals = [[*blanks, in_column(time_ms), f"{time_ms / profile.run_ms:.1%}"] for _, time_ms in sums]

    def room_beside(columns: list[Column]) -> int:
        rows = [*totals, *([cell(each) for _, cell in (*left, *columns)] for each in first)]
        return width - sum(map(_width, zip_longest([title for title, _ in (*left, *columns)], *rows, fillvalue="")))

    room = room_beside(columns)
    if room < _width([title for title, _ in sums]):
        columns = [column for column in columns if column[0] != "MMAC"]  # GFLOP/s and the time say it too
        room = room_beside(columns)
    longest = _width([*(title for title, _ in sums), *(shown(each.layer.name, LONGEST_CELL) for each in first)])
    kernel_width = _width([kernels[0], *(kernels[1](each) for each in first)])
    if room - longest >= kernel_width:
        columns.append(kernels)
        room -= kernel_width
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("layer", no_wrap=True, overflow="crop")
    for title, _ in (*left, *columns):
        table.add_column(title, justify="left" if title in WORDS else "right", no_wrap=True)
    for each in first:
        name = shown(each.layer.name, max(SHORTEST_NAME, room - 1))
        table.add_row(Text(name), *(Text(cell(each)) for _, cell in (*left, *columns)))
    for (title, _), cells in zip(sums, totals, strict=True):
        table.add_row(Text(title, "dim"), *cells)
    return table


def _width(cells: Sequence[str]) -> int:
    """The width of a column, with the space behind it."""
    return max(map(cell_len, cells)) + 1


def _limit(each: LayerFigures) -> str:
    if each.bound is None:
        return "-"
    return f"{'-' if each.peak_share is None else f'{each.peak_share:.0%}'} {each.bound}"


def _or_dash(value: float | None, *, zero: str = "0") -> str:
    return "-" if value is None else number(value) if value else zero


def _aligned(profile: Profile) -> Callable[[float], str]:
    """Milliseconds with as many decimals for all: five figures for a whole run, at most four decimals."""
    decimals = min(max(5 - math.ceil(math.log10(profile.run_ms or 1.0)), 1), 4)
    return lambda time_ms: f"{time_ms:.{decimals}f}"


def _totals(totals: Sequence[Total], in_column: Callable[[float], str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("operator", no_wrap=True)
    table.add_column("kernel", no_wrap=True)
    table.add_column("precision")
    for title in ("layers", "ms", "share"):
        table.add_column(title, justify="right")
    for total in totals[:MOST_KINDS]:
        names = (shown(total.operator, LONGEST_CELL), shown(total.kernel, LONGEST_CELL), shown(total.precision, 9))
        table.add_row(*map(Text, names), str(total.layers), in_column(total.time_ms), f"{total.share:.1%}")
    others = totals[MOST_KINDS:]
    if others:
        time_ms, share = sum(each.time_ms for each in others), sum(each.share for each in others)
        count = str(sum(each.layers for each in others))
        table.add_row(f"{len(others)} other kinds", "", "", count, in_column(time_ms), f"{share:.1%}", style="dim")
    return table
