"""The latencies of a case by round, in percent of its median, on an axis that all cases share."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from markupsafe import Markup

from resnetx.report.bench_rows import BenchRow
from resnetx.report.html.drawing import WIDTH, Scale, box, nice_ticks, path, svg, text
from resnetx.report.html.markup import number, precisely
from resnetx.report.html.spread import Spread, measure_spread

# Times the reach of the usual case, to which the axis goes at most. What is beyond is counted, not drawn: one disturbed
# case would leave no height for the others. In any case, it stays within these percents.
MOST_UNLIKE = 3.0
LOWEST, HIGHEST = -40.0, 80.0
# Fewer samples have no distribution.
FEWEST = 3
TOP, BOTTOM = 12, 142


class RoundsChart(NamedTuple):
    row: BenchRow
    chart: Markup
    words: str


def round_charts(rows: Sequence[BenchRow]) -> list[RoundsChart]:
    """A chart for each case that was timed; a server's latencies say something only beside the rate."""
    timed = [row for row in rows if row.case.load is None or row.case.load.scenario != "server"]
    known = [(row, measure_spread(row.rounds)) for row in timed if row.rounds]
    known = [(row, spread) for row, spread in known if spread.count >= FEWEST and spread.median > 0]
    reach = _common_axis([spread for _, spread in known])
    charts = []
    for row, spread in known:
        low, high = (spread.median * (1 + percent / 100) for percent in reach)
        drawn = measure_spread(row.rounds, axis=(low, high))
        charts.append(RoundsChart(row, _chart(row, drawn, reach), describe(row, drawn)))
    return charts


def _common_axis(spreads: Sequence[Spread]) -> tuple[float, float]:
    """In percent of each case's median, with room for the boxes of all."""
    lows = [min(spread.percent(values[0]) for values in spread.boxes) for spread in spreads] or [0.0]
    highs = [max(spread.percent(values[-1]) for values in spread.boxes) for spread in spreads] or [0.0]
    low = max(min(lows), MOST_UNLIKE * median(lows), LOWEST)
    high = min(max(highs), MOST_UNLIKE * median(highs), HIGHEST)
    margin = max(0.1 * (high - low), 0.5)
    return low - margin, high + margin


def describe(row: BenchRow, spread: Spread) -> str:
    """The figures of a chart, as a sentence."""
    summary = row.summary
    words = [] if summary.median_ms is None else [f"median {number(summary.median_ms)} ms"]
    if summary.ci95_ms is not None:
        words.append(f"95 % interval {precisely(summary.ci95_ms[0])} to {precisely(summary.ci95_ms[1])}")
    words.append(f"half of the samples from {precisely(spread.quarter)} to {precisely(spread.three_quarters)}")
    samples = f"{spread.count:,} sample{'' if spread.count == 1 else 's'}"
    processes = f" of {row.case.processes} processes" if row.case.processes > 1 else ""
    words.append(f"{samples} in {spread.rounds} round{'' if spread.rounds == 1 else 's'}{processes}")
    if spread.below or spread.above:
        words.append(f"not drawn: {spread.below} below and {spread.above} above, up to {number(spread.highest)} ms")
    joined = "; ".join(words)
    return f"{joined[0].upper()}{joined[1:]}."


def _chart(row: BenchRow, spread: Spread, reach: tuple[float, float]) -> Markup:
    """One box per round from left to right, and at the right a histogram of all samples."""
    ticks = [tick for tick in nice_ticks(reach[1], low=reach[0]) if reach[0] <= tick <= reach[1]]
    up = Scale(low=spread.low, high=spread.high, start=BOTTOM, end=TOP)
    places = [(tick, up.at(spread.median * (1 + tick / 100))) for tick in ticks]
    parts = [path("grid", f"M50,{place:g}H{WIDTH - 8}") for _, place in places]
    parts += [text(44, place + 4, f"{tick:+g} %" if tick else "0", "end") for tick, place in places]
    if row.summary.ci95_ms is not None:
        low, high = map(up.inside, row.summary.ci95_ms)
        parts.append(box("band", 50, high, WIDTH - 58, max(low - high, 1.5)))
    parts += [*_boxes(spread, up), *_histogram(spread, up)]
    parts.append(text(148, 158, "rounds, first to last" if len(spread.boxes) > 1 else "one round", "middle", "dim"))
    parts.append(text(WIDTH - 46, 158, "all samples", "middle", "dim"))
    title = f"Latency by round of {row.case.model}, {row.label}"
    return svg(f"latency-{row.index}", 164, title, describe(row, spread), parts)


def _boxes(spread: Spread, up: Scale) -> list[Markup]:
    parts = []
    slot = 190 / len(spread.boxes)
    half = min(slot * 0.32, 9)
    for index, values in enumerate(spread.boxes):
        x = round(54 + slot * (index + 0.5), 1)
        low, first, middle, last, high = map(up.inside, values)
        left, width = round(x - half, 1), round(2 * half, 1)
        parts += [
            path("whisker", f"M{x},{low}V{first}M{x},{last}V{high}"),
            box("box", left, last, width, max(first - last, 1)),
            path("middle", f"M{left},{middle}h{width}"),
        ]
    return parts


def _histogram(spread: Spread, up: Scale) -> list[Markup]:
    top = max(*spread.bins, 1)
    step = (up.start - up.end) / len(spread.bins)
    return [
        box("bin", WIDTH - 80, up.start - step * (index + 1) + 0.5, 72 * count / top, step - 1)
        for index, count in enumerate(spread.bins)
        if count
    ]
