"""A comparison as a forest plot: the ratio of each row with its interval, on one axis, beside the limit."""

from collections.abc import Sequence

from markupsafe import Markup

from resnetx.base.text import shorten
from resnetx.benchmark.comparison.compare import ComparedRow, Comparison
from resnetx.report.comparison import change_in_words, interval_in_words
from resnetx.report.html.drawing import WIDTH, Scale, in_parts, interval, path, svg, text
from resnetx.report.html.markup import element

# Ratios of new to old time at which a line may stand.
TICKS = (0.1, 0.2, 0.33, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
# Changes beyond these are drawn at the edge, as arrows; their figures stand beside them.
LOWEST, HIGHEST = TICKS[0], TICKS[-1]
LEAST_REACH = 1.06
MOST_ROWS = 20
LINE = 40
LEFT, RIGHT = 10, WIDTH - 10
KINDS = {"faster": "good", "slower": "warn", "same": "same", "can't tell": "open"}


def forest_charts(name: str, rows: Sequence[ComparedRow], comparison: Comparison) -> list[Markup]:
    """Charts of some of a comparison's rows, on the axis of all of them."""
    known = [row for row in rows if row.ratio is not None and row.interval is not None]
    axis = _axis(comparison)
    return [
        _chart(f"{name}-{part}", group, axis, 1 + comparison.max_slowdown)
        for part, group in enumerate(in_parts(known, MOST_ROWS))
    ]


def _axis(comparison: Comparison) -> Scale:
    """Logarithmic, and as far to the faster side as to the slower, so that equal changes have equal lengths."""
    ends = [end for row in comparison.rows if row.interval for end in (*row.interval, row.ratio or 1.0)]
    farthest = max([max(end, 1 / end) if end > 0 else HIGHEST for end in ends], default=1.0)
    reach = min(max(farthest * 1.02, 1 + 1.5 * comparison.max_slowdown, LEAST_REACH), HIGHEST)
    return Scale(low=1 / reach, high=reach, start=LEFT, end=RIGHT, log=True)


def _chart(name: str, rows: Sequence[ComparedRow], axis: Scale, limit: float) -> Markup:
    bottom = LINE * len(rows) + 4
    ticks = _ticks(axis)
    parts = [path("grid", f"M{axis.at(tick):g},2V{bottom}") for tick in ticks]
    parts += [text(_label_place(tick, axis), bottom + 16, _tick_label(tick), "middle") for tick in ticks]
    parts.append(path("zero", f"M{axis.at(1):g},2V{bottom}"))
    if axis.low <= limit <= axis.high:
        parts.append(path("limit", f"M{axis.at(limit):g},2V{bottom}"))
    parts += [text(LEFT, bottom + 34, "◂ faster", None, "dim"), text(RIGHT, bottom + 34, "slower ▸", "end", "dim")]
    for place, row in enumerate(rows):
        parts += _row(row, LINE * place, axis)
    alt = "; ".join(_in_words(row) for row in rows)
    return svg(name, bottom + 42, "New time over old time", alt, parts)


def _ticks(axis: Scale) -> list[float]:
    """Those whose labels have room, from the middle outwards."""
    found: list[float] = []
    for tick in sorted(TICKS, key=lambda tick: max(tick, 1 / tick)):
        place = _label_place(tick, axis)
        if axis.low <= tick <= axis.high and all(abs(place - _label_place(other, axis)) >= 44 for other in found):
            found.append(tick)
    return found


def _label_place(tick: float, axis: Scale) -> float:
    return min(max(axis.at(tick), LEFT + 14), RIGHT - 14)


def _tick_label(tick: float) -> str:
    return "0" if tick == 1.0 else f"x{tick:g}" if tick >= 2 else f"{100 * (tick - 1):+.0f} %"


def _row(row: ComparedRow, top: float, axis: Scale) -> list[Markup]:
    assert row.interval is not None and row.ratio is not None
    kind = "bad" if row.past_limit else KINDS.get(row.verdict, "open")
    change, y = change_in_words(row.ratio), top + 28
    x = axis.inside(row.ratio)
    dot = {"class": f"point {kind}", "d": "M-5,-5h10v10h-10z", "transform": f"translate({x:g} {y:g})"}
    return [
        text(LEFT, top + 14, shorten(label_compared(row), 44 - len(change)), None),
        text(RIGHT, top + 14, change, "end", "strong"),
        interval(f"reach {kind}", axis, *row.interval, y),
        element("path", dot, element("title", {}, _in_words(row))),
    ]


def label_compared(row: ComparedRow, *, batch: bool = True) -> str:
    """What distinguishes a row of a model."""
    parts = [row.provider, *([f"batch {row.batch}"] if batch else []), f"{row.threads} threads"]
    parts += [f"{row.concurrency} at once"] if row.concurrency != 1 else []
    parts += [f"{row.boundary} arrays"] if row.boundary != "host" else []
    return ", ".join(parts)


def _in_words(row: ComparedRow) -> str:
    verdict = "slower than allowed" if row.past_limit else row.verdict
    return f"{label_compared(row)}: {change_in_words(row.ratio)} ({interval_in_words(row)}), {verdict}"
