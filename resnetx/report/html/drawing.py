"""The parts of a chart as inline SVG: scales with their ticks, texts, lines and marks, and the described frame."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup

from resnetx.report.html.markup import element

# The width of a phone, so that a text of 12 px is drawn as such.
WIDTH = 340
# As wide as a digit of the charts' text is at most.
DIGIT = 8
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
DASHES = (None, "7 3", "2 3", "9 3 2 3")


T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Maps values to pixels: `low` to `start`, and `high` to `end`; `log` by their logarithms."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, value = map(math.log10, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def inside(self, value: float) -> float:
        """The place of a value, or the edge that it lies beyond."""
        return self.at(min(max(value, self.low), self.high))


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


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten that cover `low` to `high`, with 2 and 5 between them if they are few."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    every = -(-(last - first) // 6)
    powers = [10.0**power for power in range(first, last + every, every)]
    if last - first > 2:
        return powers
    ticks = [factor * power for power in powers for factor in (1, 2, 5)]
    start = max((tick for tick in ticks if tick <= low * 1.000001), default=ticks[0])
    end = min((tick for tick in ticks if tick >= high * 0.999999), default=ticks[-1])
    found = [tick for tick in ticks if start <= tick <= end]
    return found if len(found) > 1 else [start / 10, start, 10 * start]


def svg(
    name: str,
    height: float,
    title: str,
    alt: str,
    parts: Iterable[Markup],
    *,
    width: float = WIDTH,
    kind: str = "chart",
) -> Markup:
    """The frame of a chart; `alt` are its figures in words, for those who do not see it."""
    head = {
        "class": kind,
        "viewBox": f"0 0 {width:g} {height:g}",
        "role": "img",
        "aria-labelledby": f"{name}-title",
        "aria-describedby": f"{name}-desc",
    }
    title_part = element("title", {"id": f"{name}-title"}, title)
    return element("svg", head, title_part, element("desc", {"id": f"{name}-desc"}, alt), *parts)


def box(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    places = {"x": x, "y": y, "width": width, "height": height}
    return element("rect", {"class": kind, **{key: round(value, 1) for key, value in places.items()}})


def text(x: float, y: float, words: object, anchor: str | None = None, kind: str | None = None) -> Markup:
    return element("text", {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor, "class": kind}, words)


def path(kind: str, d: str) -> Markup:
    return element("path", {"class": kind, "d": d})


def line(points: Sequence[tuple[float, float]], style: int) -> Markup:
    joined = "M" + "L".join(f"{x:g},{y:g}" for x, y in points)
    dashes = DASHES[style % len(DASHES)]
    return element("path", {"class": f"line c{style % COLOURS}", "d": joined, "stroke-dasharray": dashes})


def marker(x: float, y: float, style: int, alt: str | None = None, *, wrong: bool = False) -> Markup:
    shape = {"class": f"marker c{style % COLOURS}{' wrong' if wrong else ''}", "d": MARKERS[style % len(MARKERS)]}
    title = [] if alt is None else [element("title", {}, alt)]
    return element("path", {**shape, "transform": f"translate({x:g} {y:g})"}, *title)


def interval(kind: str, scale: Scale, low: float, high: float, at: float, *, upright: bool = False) -> Markup:
    """A line from `low` to `high` with caps; without a cap where it goes on beyond the scale."""
    start, end = scale.inside(low), scale.inside(high)
    caps = [place for value, place in ((low, start), (high, end)) if scale.low <= value <= scale.high]
    if upright:
        return path(kind, f"M{at:g},{start:g}V{end:g}" + "".join(f"M{at - 3:g},{cap:g}h6" for cap in caps))
    return path(kind, f"M{start:g},{at:g}H{end:g}" + "".join(f"M{cap:g},{at - 3:g}v6" for cap in caps))


def rows_grid(ticks: Sequence[float], up: Scale, left: float, right: float) -> list[Markup]:
    """Level lines with their values at the left."""
    lines = [path("grid", f"M{left:g},{up.at(tick):g}H{right:g}") for tick in ticks]
    return [*lines, *(text(left - 6, up.at(tick) + 4, tick_label(tick), "end") for tick in ticks)]


def columns_grid(ticks: Sequence[float], across: Scale, top: float, bottom: float) -> list[Markup]:
    """Upright lines with their values below."""
    lines = [path("grid", f"M{across.at(tick):g},{top:g}V{bottom:g}") for tick in ticks]
    labels = [(across.at(tick), tick_label(tick)) for tick in ticks]
    # A long label at the right edge is moved in, where it would be cut off.
    places = [min(at, WIDTH - DIGIT / 2 * len(label)) for at, label in labels]
    return [*lines, *(text(x, bottom + 16, label, "middle") for x, (_, label) in zip(places, labels, strict=True))]


def tick_label(value: float) -> str:
    return (
        f"{value:,.6g}"
        if not value or 1e-4 <= abs(value) < 1e6
        else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    )


def in_parts(items: Sequence[T], most: int) -> list[Sequence[T]]:
    """Nearly equal parts of at most so many items."""
    count = -(-len(items) // most)
    size = -(-len(items) // max(count, 1))
    return [items[start : start + size] for start in range(0, len(items), max(size, 1))]
