"""The charts that compare rows: throughput with its interval, the share of the limit, and where nodes are placed.

Series differ in shape and text as well as in colour.
"""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from resnetx.base.text import shorten
from resnetx.report.bench_rows import BenchRow
from resnetx.report.html.drawing import (
    COLOURS,
    WIDTH,
    Scale,
    box,
    columns_grid,
    in_parts,
    interval,
    line,
    marker,
    nice_ticks,
    rows_grid,
    svg,
    text,
)
from resnetx.report.html.markup import number, precisely
from resnetx.report.html.results_table import rate_interval

# More bars are continued in another figure, beside the first where there is room.
MOST_BARS = 14
BAR = 38
# Models share an axis of throughput unless one would lie below this part of it.
MOST_UNLIKE = 4


def throughput_charts(name: str, rows: Sequence[BenchRow], styles: Mapping[str, int], highest: float) -> list[Markup]:
    """Against batch if a series has several batch sizes, else bars to compare rows; none for a single figure."""
    points = [(row, rate) for row in rows if (rate := row.summary.images_per_s) is not None]
    batches = [
        {row.case.batch for row, _ in points if row.series == series} for series in {r.series for r, _ in points}
    ]
    if any(len(own) > 1 for own in batches):
        return [_against_batch(name, points, styles, highest)]
    return _rate_bars(name, points, styles, highest) if len(points) > 1 else []


def highest_rates(groups: Mapping[str, Sequence[BenchRow]]) -> tuple[dict[str, float], bool]:
    """The end of each model's axis of throughput, and whether it is the same for all of them.

    It is, unless a model would be drawn in the lowest part of it only.
    """
    tops = {
        model: max((high[1] if (high := rate_interval(row)) else row.summary.images_per_s or 0.0) for row in rows)
        for model, rows in groups.items()
    }
    top = max(tops.values(), default=0.0)
    same = all(own >= top / MOST_UNLIKE for own in tops.values())
    return (dict.fromkeys(tops, top) if same else tops), same


def _against_batch(
    name: str, points: Sequence[tuple[BenchRow, float]], styles: Mapping[str, int], highest: float
) -> Markup:
    """One line per series, with the interval at each point; the axis of batch sizes is logarithmic, and to scale."""
    batches = sorted({row.case.batch for row, _ in points})
    series = list(dict.fromkeys(row.series for row, _ in points))
    ticks = nice_ticks(highest)
    across = Scale(low=batches[0], high=batches[-1], start=70, end=WIDTH - 30, log=True)
    up = Scale(low=0, high=ticks[-1], start=190, end=16)
    parts = [*rows_grid(ticks, up, 46, WIDTH - 8), *_batch_labels(batches, across)]
    parts.append(text(WIDTH / 2, 222, "batch", "middle", "dim"))
    for place, label in enumerate(series):
        own = sorted(((row, rate) for row, rate in points if row.series == label), key=lambda each: each[0].case.batch)
        style, y = styles[label], 242 + 19 * place
        best = max((rate for row, rate in own if row.parity_passed is not False), default=None)
        spots = [(across.at(row.case.batch), up.at(rate)) for row, rate in own]
        parts.append(line(spots, style))
        for (left, top), (row, rate) in zip(spots, own, strict=True):
            found = rate_interval(row)
            parts += [interval(f"reach c{style % COLOURS}", up, *found, left, upright=True)] if found else []
            parts.append(marker(left, top, style, _in_words(row, rate), wrong=row.parity_passed is False))
        parts += [line([(12, y), (36, y)], style), marker(24, y, style), text(44, y + 4, shorten(label, 34))]
        parts.append(text(WIDTH - 8, y + 4, "✗ wrong" if best is None else f"best {number(best)}", "end", "dim"))
    alt = "; ".join(_in_words(row, rate) for row, rate in points)
    return svg(name, 236 + 19 * len(series), "Images per second against batch", alt, parts)


def _batch_labels(batches: Sequence[int], across: Scale) -> list[Markup]:
    """Those that have room, the largest in any case."""
    parts, last = [], WIDTH + 50.0
    for batch in reversed(batches):
        place = across.at(batch)
        if last - place >= 8 + 7 * len(str(batch)):
            parts.append(text(place, 206, batch, "middle"))
            last = place
    return parts


def _rate_bars(
    name: str, points: Sequence[tuple[BenchRow, float]], styles: Mapping[str, int], highest: float
) -> list[Markup]:
    """Bars from zero with the interval at their ends."""
    ticks = nice_ticks(highest)
    across = Scale(low=0, high=ticks[-1], start=8, end=WIDTH - 24)
    charts = []
    for part, group in enumerate(in_parts(points, MOST_BARS)):
        bottom = BAR * len(group) + 2
        parts = columns_grid(ticks, across, 2, bottom)
        for place, (row, rate) in enumerate(group):
            parts += _bar(row, BAR * place, across.at(rate) - across.start, f"{number(rate)} images/s", styles)
            found = rate_interval(row)
            parts += [interval("reach", across, *found, BAR * place + 26)] if found else []
        alt = "; ".join(_in_words(row, rate) for row, rate in group)
        charts.append(svg(f"{name}-{part}", bottom + 24, "Images per second", alt, parts))
    return charts


def limit_charts(name: str, rows: Sequence[BenchRow], styles: Mapping[str, int]) -> list[Markup]:
    """One bar per case, of the machine's measured peak in the case's precision; none for a single figure."""
    known = [(row, share) for row in rows if (share := row.summary.limit_fraction) is not None]
    across = Scale(low=0, high=100, start=8, end=WIDTH - 24)
    charts = []
    for part, group in enumerate(in_parts(known, MOST_BARS)) if len(known) > 1 else ():
        bottom = BAR * len(group) + 2
        parts = columns_grid([0, 25, 50, 75, 100], across, 2, bottom)
        for place, (row, share) in enumerate(group):
            label = f"{number(100 * share)} % of {row.case.effective_precision}"
            parts += _bar(row, BAR * place, across.inside(100 * share) - across.start, label, styles)
        alt = "; ".join(f"{_label(row)}, {row.case.effective_precision}: {number(100 * x)} %" for row, x in group)
        charts.append(svg(f"{name}-{part}", bottom + 24, "Percent of the machine's measured peak", alt, parts))
    return charts


def _bar(row: BenchRow, top: float, length: float, figure: str, styles: Mapping[str, int]) -> list[Markup]:
    """A line with the label and the figure above a bar."""
    wrong = " wrong" if row.parity_passed is False else ""
    return [
        text(8, top + 14, shorten(_label(row), 46 - len(figure))),
        text(WIDTH - 8, top + 14, figure, "end", "strong"),
        box(f"bar c{styles[row.series] % COLOURS}{wrong}", 8, top + 20, max(length, 1), 12),
    ]


def placement_chart(name: str, placement: Sequence[tuple[str, int]]) -> Markup:
    total, x = sum(count for _, count in placement), 0.0
    parts = []
    for place, (_, count) in enumerate(placement):
        width = 120 * count / total if total > 0 else 0
        parts.append(box(f"bar place{min(place, 2)}", x, 0, width, 12))
        x += width
    alt = ", ".join(f"{count} on {provider}" for provider, count in placement)
    return svg(name, 12, "Nodes by provider", alt, parts, width=120, kind="chip")


def _in_words(row: BenchRow, rate: float) -> str:
    found = rate_interval(row)
    reach = "" if found is None else f" ({precisely(found[0])} to {precisely(found[1])})"
    return f"{_label(row)}: {number(rate)} images/s{reach}"


def _label(row: BenchRow) -> str:
    return f"✗ wrong: {row.label}" if row.parity_passed is False else row.label
