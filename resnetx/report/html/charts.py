"""Charts as inline SVG: throughput against batch, the fraction of the limit, latencies by round, node placement.

They fit the width of a phone. Series differ in shape and text as well as in colour.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from resnetx.base.text import shorten
from resnetx.report.bench_rows import BenchRow
from resnetx.report.html.markup import element, number
from resnetx.report.html.spread import Spread

WIDTH = 340
COLOURS = 6
# One shape per series, around (0, 0).
MARKERS = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "M-4,-4h8v8h-8z",
    "M0,-5L5,4H-5z",
    "M0,-5.5L5,0L0,5.5L-5,0z",
    "M0,5L5,-4H-5z",
    "M-1.5,-5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z",
)
MOST_LABELS = 8
DASHES = (None, "7 3", "2 3", "9 3 2 3")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Maps values to pixels: `low` to `start`, and `high` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


def throughput_chart(name: str, rows: Sequence[BenchRow], styles: Mapping[str, int]) -> Markup:
    """Images per second against batch size, one line per series; batch sizes are equally spaced."""
    points = [(row, rate) for row in rows if (rate := row.summary.images_per_s) is not None]
    batches = sorted({row.case.batch for row, _ in points})
    series = list(dict.fromkeys(row.series for row, _ in points))
    ticks = nice_ticks(max(rate for _, rate in points))
    across = Scale(low=0, high=len(batches) - 1, start=70, end=WIDTH - 30)
    up = Scale(low=0, high=ticks[-1], start=190, end=16)
    parts = _grid(ticks, up, 46, WIDTH - 8)
    every = -(-len(batches) // MOST_LABELS)
    parts += [_text(across.at(i), 206, batch, "middle") for i, batch in enumerate(batches) if i % every == 0]
    parts.append(_text(WIDTH / 2, 222, "batch", "middle", "dim"))
    for place, label in enumerate(series):
        places = [
            (across.at(batches.index(r.case.batch)), up.at(rate), r, rate) for r, rate in points if r.series == label
        ]
        places.sort(key=lambda point: point[0])
        style, y = styles[label], 242 + 19 * place
        best = max((rate for *_, row, rate in places if row.parity_passed is not False), default=None)
        parts.append(_line([point[:2] for point in places], style))
        parts += [
            _marker(left, top, style, f"{_label(row)}: {number(rate)} images/s", wrong=row.parity_passed is False)
            for left, top, row, rate in places
        ]
        parts += [_line([(12, y), (36, y)], style), _marker(24, y, style), _text(44, y + 4, shorten(label, 34))]
        parts.append(_text(WIDTH - 8, y + 4, "✗ wrong" if best is None else f"best {number(best)}", "end", "dim"))
    alt = "; ".join(f"{_label(row)}: {number(rate)} images/s" for row, rate in points)
    return _svg(name, 236 + 19 * len(series), "Images per second against batch", alt, parts)


def limit_chart(name: str, rows: Sequence[BenchRow], styles: Mapping[str, int]) -> Markup:
    """One bar per case: the share of the machine's measured peak in the case's precision."""
    known = [(row, share) for row in rows if (share := row.summary.limit_fraction) is not None]
    parts: list[Markup] = []
    for place, (row, share) in enumerate(known):
        y = 4 + 36 * place
        filled = (WIDTH - 16) * min(max(share, 0), 1)
        parts += [
            _text(8, y + 12, shorten(_label(row), 30) + f", {shorten(row.case.effective_precision, 9)}"),
            _text(WIDTH - 8, y + 12, f"{number(100 * share)} %", "end", "strong"),
            _box("track", 8, y + 18, WIDTH - 16, 10),
            _box(f"bar c{styles[row.series] % COLOURS}", 8, y + 18, filled, 10),
        ]
    alt = "; ".join(f"{_label(r)}, {r.case.effective_precision}: {number(100 * share)} %" for r, share in known)
    return _svg(name, 36 * len(known) + 4, "Fraction of the machine's measured peak", alt, parts)


def latency_chart(name: str, row: BenchRow, spread: Spread) -> Markup:
    """One box per round from left to right, and at the right a histogram of all samples on the same axis."""
    ticks = [tick for tick in nice_ticks(spread.high, low=spread.low) if spread.low <= tick <= spread.high]
    up = Scale(low=spread.low, high=spread.high, start=142, end=12)
    parts = _grid(ticks, up, 50, WIDTH - 8)
    if row.summary.ci95_ms is not None:
        low, high = (min(max(value, spread.low), spread.high) for value in row.summary.ci95_ms)
        parts.append(_box("band", 50, up.at(high), WIDTH - 58, max(up.at(low) - up.at(high), 1.5)))
    parts += _boxes(spread, up)
    parts += _histogram(spread, up)
    parts.append(_text(148, 158, "rounds, first to last" if len(spread.boxes) > 1 else "one round", "middle", "dim"))
    parts.append(_text(WIDTH - 46, 158, "all samples", "middle", "dim"))
    return _svg(name, 164, f"Latency in ms of {row.case.model}, {row.label}", describe(row, spread), parts)


def describe(row: BenchRow, spread: Spread) -> str:
    """The figures of a latency chart, as a sentence."""
    summary = row.summary
    words = [] if summary.median_ms is None else [f"median {number(summary.median_ms)} ms"]
    if summary.ci95_ms is not None:
        words.append(f"95 % interval {summary.ci95_ms[0]:.4g} to {summary.ci95_ms[1]:.4g}")
    words.append(f"half of the samples from {spread.quarter:.4g} to {spread.three_quarters:.4g}")
    samples = f"{spread.count:,} sample{'' if spread.count == 1 else 's'}"
    processes = f" of {row.case.processes} processes" if row.case.processes > 1 else ""
    words.append(f"{samples} in {spread.rounds} round{'' if spread.rounds == 1 else 's'}{processes}")
    if spread.below or spread.above:
        words.append(f"not drawn: {spread.below} below and {spread.above} above, up to {number(spread.highest)} ms")
    text = "; ".join(words)
    return f"{text[0].upper()}{text[1:]}."


def placement_chart(name: str, placement: Sequence[tuple[str, int]]) -> Markup:
    total, x = sum(count for _, count in placement), 0.0
    parts = []
    for place, (_, count) in enumerate(placement):
        width = 120 * count / total if total > 0 else 0
        parts.append(_box(f"bar place{min(place, 2)}", x, 0, width, 12))
        x += width
    alt = ", ".join(f"{count} on {provider}" for provider, count in placement)
    return _svg(name, 12, "Nodes by provider", alt, parts, width=120, kind="chip")


def nice_ticks(high: float, *, low: float = 0.0, about: int = 4) -> list[float]:
    """Round numbers that cover `low` to `high`."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low, low + 1]
    rough = span / about
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


def _boxes(spread: Spread, up: Scale) -> list[Markup]:
    parts = []
    slot = 190 / len(spread.boxes)
    half = min(slot * 0.32, 9)
    for index, box in enumerate(spread.boxes):
        x = round(54 + slot * (index + 0.5), 1)
        low, first, middle, last, high = (up.at(min(max(v, spread.low), spread.high)) for v in box)
        left, width = round(x - half, 1), round(2 * half, 1)
        parts += [
            element("path", {"class": "whisker", "d": f"M{x},{low}V{first}M{x},{last}V{high}"}),
            _box("box", left, last, width, max(first - last, 1)),
            element("path", {"class": "middle", "d": f"M{left},{middle}h{width}"}),
        ]
    return parts


def _histogram(spread: Spread, up: Scale) -> list[Markup]:
    top = max(spread.bins)
    step = (up.start - up.end) / len(spread.bins)
    return [
        _box("bin", WIDTH - 80, up.start - step * (index + 1) + 0.5, 72 * count / top, step - 1)
        for index, count in enumerate(spread.bins)
        if count
    ]


def _svg(
    name: str, height: float, title: str, alt: str, parts: Sequence[Markup], *, width: int = WIDTH, kind: str = "chart"
) -> Markup:
    head = {
        "class": kind,
        "viewBox": f"0 0 {width} {height:g}",
        "role": "img",
        "aria-labelledby": f"{name}-title",
        "aria-describedby": f"{name}-desc",
    }
    title_part = element("title", {"id": f"{name}-title"}, title)
    return element("svg", head, title_part, element("desc", {"id": f"{name}-desc"}, alt), *parts)


def _box(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    places = {"x": x, "y": y, "width": width, "height": height}
    return element("rect", {"class": kind, **{key: round(value, 1) for key, value in places.items()}})


def _grid(ticks: Sequence[float], up: Scale, left: float, right: float) -> list[Markup]:
    lines = [element("path", {"class": "grid", "d": f"M{left:g},{up.at(tick):g}H{right:g}"}) for tick in ticks]
    return [*lines, *(_text(left - 6, up.at(tick) + 4, f"{tick:,.6g}", "end") for tick in ticks)]


def _text(x: float, y: float, words: object, anchor: str | None = None, kind: str | None = None) -> Markup:
    return element("text", {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor, "class": kind}, words)


def _label(row: BenchRow) -> str:
    return f"✗ wrong: {row.label}" if row.parity_passed is False else row.label


def _line(points: Sequence[tuple[float, float]], style: int) -> Markup:
    path = "M" + "L".join(f"{x:g},{y:g}" for x, y in points)
    return element(
        "path", {"class": f"line c{style % COLOURS}", "d": path, "stroke-dasharray": DASHES[style % len(DASHES)]}
    )


def _marker(x: float, y: float, style: int, alt: str | None = None, *, wrong: bool = False) -> Markup:
    shape = {"class": f"marker c{style % COLOURS}{' wrong' if wrong else ''}", "d": MARKERS[style % len(MARKERS)]}
    title = [] if alt is None else [element("title", {}, alt)]
    return element("path", {**shape, "transform": f"translate({x:g} {y:g})"}, *title)
