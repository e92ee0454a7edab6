"""A panel of a study as inline SVG, in the page's own colours: lines on a scale that may be logarithmic."""

import math
from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

from resnetx.report.html.drawing import COLOURS, Scale, columns_grid, log_ticks, nice_ticks, path, svg, text, tick_label
from resnetx.report.html.markup import element, number
from resnetx.study.result import Line, Panel

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 340, 56, 14, 22, 236
ROW, SAMPLE = 17, 22
DASHES = "5 3"


def study_chart(name: str, panel: Panel, values: Sequence[float]) -> Markup:
    """`values` are all that its scale must hold; a zero stands at the foot of a logarithmic one."""
    places = [x for line in panel.lines for x in line.x]
    across = _linear(places, LEFT, WIDTH - RIGHT)
    up, ticks, zero = _logarithmic(values) if panel.log_y else (*_upright(values), None)
    parts = []
    for tick in ticks:
        parts.append(path("grid", f"M{LEFT},{up.at(tick):g}H{WIDTH - RIGHT}"))
        parts.append(text(LEFT - 6, up.at(tick) + 4, "0" if tick == zero else tick_label(tick), "end"))
    parts += columns_grid(_inside(nice_ticks(across.high, low=across.low), across), across, TOP, BOTTOM)
    parts += [_range(line, across, up) for line in panel.lines if line.low]
    parts += [_drawn(line, across, up) for line in panel.lines]
    parts.append(text(LEFT - 44, TOP - 10, panel.y_label, "start", "dim"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, BOTTOM + 34, panel.x_label, "middle", "dim"))
    parts += _legend(panel.lines)
    height = BOTTOM + 44 + ROW * math.ceil(len(panel.lines) / 2)
    return svg(name, height, panel.title, "; ".join(map(_in_words, panel.lines)), parts)


def _linear(values: Sequence[float], start: float, end: float) -> Scale:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return Scale(low=low, high=high if high > low else low + 1, start=start, end=end)


def _upright(values: Sequence[float]) -> tuple[Scale, list[float]]:
    scale = _linear([*values, 0.0], BOTTOM, TOP)
    ticks = nice_ticks(scale.high, low=scale.low)
    return Scale(low=ticks[0], high=ticks[-1], start=BOTTOM, end=TOP), ticks


def _logarithmic(values: Sequence[float]) -> tuple[Scale, list[float], float | None]:
    """The scale, its ticks, and where zero stands if there is one."""
    positive = [value for value in values if value > 0] or [1.0]
    ticks = log_ticks(min(positive), max(positive))
    zero = ticks[0] ** 2 / ticks[1] if any(value <= 0 for value in values) else None
    ticks = ticks if zero is None else [zero, *ticks]
    return Scale(low=ticks[0], high=ticks[-1], start=BOTTOM, end=TOP, log=True), ticks, zero


def _inside(ticks: Sequence[float], scale: Scale) -> list[float]:
    return [tick for tick in ticks if scale.low <= tick <= scale.high]


def _drawn(line: Line, across: Scale, up: Scale) -> Markup:
    """With a gap where there is no number; a single point is a short dash."""
    pieces = []
    for known, points in groupby(zip(line.x, line.y, strict=True), key=lambda point: point[1] is not None):
        places = [f"{across.at(x):g},{up.inside(y):g}" for x, y in points if y is not None]
        pieces += [f"M{'L'.join(places)}{'h3' if len(places) == 1 else ''}"] if known else []
    return _stroke(line, "".join(pieces) or None, element("title", {}, line.name))


def _range(line: Line, across: Scale, up: Scale) -> Markup:
    """Where both ends are known, from the lowest to the highest."""
    ends = zip(line.x, line.low, line.high, strict=True)
    known = [
        (across.at(x), up.inside(low), up.inside(high)) for x, low, high in ends if low is not None and high is not None
    ]
    outline = [*((x, low) for x, low, _ in known), *((x, high) for x, _, high in reversed(known))]
    points = "L".join(f"{x:g},{y:g}" for x, y in outline)
    return path(f"range c{line.colour % COLOURS}", f"M{points}Z" if points else "")


def _legend(lines: Sequence[Line]) -> list[Markup]:
    """Two in a row, below the axis."""
    parts = []
    for place, line in enumerate(lines):
        x, y = LEFT + (place % 2) * (WIDTH - LEFT) / 2, BOTTOM + 54 + ROW * (place // 2)
        parts.append(_stroke(line, f"M{x:g},{y - 4:g}h{SAMPLE}"))
        parts.append(text(x + SAMPLE + 6, y, line.name))
    return parts


def _stroke(line: Line, d: str | None, *children: Markup) -> Markup:
    kind, dashes = f"line c{line.colour % COLOURS}", DASHES if line.dashed else None
    return element("path", {"class": kind, "d": d, "stroke-dasharray": dashes}, *children)


def _in_words(line: Line) -> str:
    shown = [y for y in line.y if y is not None]
    return f"{line.name}: from {number(shown[0])} to {number(shown[-1])}" if shown else f"{line.name}: no number"
