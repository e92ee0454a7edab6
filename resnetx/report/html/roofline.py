"""The layers of a profile under the machine's limits, as inline SVG on logarithmic axes."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from resnetx.benchmark.profiling.figures import known_peaks
from resnetx.benchmark.profiling.layer import LayerFigures
from resnetx.benchmark.profiling.result import Profile
from resnetx.report.html.drawing import COLOURS, Scale, path, svg, text
from resnetx.report.html.markup import element, number

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 24, 12, 262
# The area of a dot is the time of its layer; the smallest can still be seen.
LARGEST_RADIUS, SMALLEST_RADIUS = 10, 2
UNKNOWN = COLOURS - 1


def roofline_chart(profile: Profile) -> Markup | None:
    """A dot for each layer that multiplies, and the measured limits as roofs; None if no layer can be placed."""
    dots = [each for each in profile.figures if each.intensity and each.gflops]
    if not dots:
        return None
    roofs = known_peaks(profile)
    bandwidth = profile.limits.bandwidth_gb_s if profile.limits is not None else None
    # At least a decade of the slope is in the picture.
    slope = [peak / bandwidth / 10 for _, peak in roofs] if bandwidth else []
    across = _axis([*slope, *(each.intensity or 0 for each in dots)], LEFT, WIDTH - RIGHT)
    up = _axis([*(peak for _, peak in roofs), *(each.gflops or 0 for each in dots)], BOTTOM, TOP)
    colours = {name: place % UNKNOWN for place, (name, _) in enumerate(roofs)}
    longest = max(each.layer.time_ms for each in dots)
    parts = [*_grid(across, up), *_roofs(roofs, bandwidth, across, up)]
    # The longest first, so that they do not cover the others.
    for each in sorted(dots, key=lambda each: -each.layer.time_ms):
        radius = max(LARGEST_RADIUS * math.sqrt(each.layer.time_ms / longest), SMALLEST_RADIUS)
        place = {"cx": _at(across, each.intensity or 1), "cy": _at(up, each.gflops or 1), "r": round(radius, 1)}
        kind = f"dot c{colours.get(each.layer.precision, UNKNOWN)}"
        parts.append(element("circle", {"class": kind, **place}, element("title", {}, describe(each))))
    words = "; ".join(describe(each) for each in sorted(dots, key=lambda each: -each.layer.time_ms)[:5])
    title = "Arithmetic rate of each layer against its intensity"
    return svg("roofline", HEIGHT, title, f"The longest: {words}", parts, width=WIDTH, kind="chart wide")


def describe(each: LayerFigures) -> str:
    """The figures of a layer in words."""
    layer = each.layer
    rate = "" if each.gflops is None else f", {number(each.gflops)} GFLOP/s"
    intensity = "" if each.intensity is None else f", {number(each.intensity)} operations a byte"
    return f"{layer.name}, {layer.precision}: {number(layer.time_ms)} ms ({each.share:.1%}){rate}{intensity}"


def _axis(values: Sequence[float], start: float, end: float) -> Scale:
    """A scale of powers of ten around all values, of at least two decades."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 0.1)
    return Scale(low=low, high=max(high, low + 2), start=start, end=end)


def _at(axis: Scale, value: float) -> float:
    return axis.at(math.log10(value))


def _grid(across: Scale, up: Scale) -> list[Markup]:
    parts = []
    for power in range(int(across.low), int(across.high) + 1):
        x = across.at(power)
        parts += [path("grid", f"M{x:g},{TOP}V{BOTTOM}"), text(x, BOTTOM + 16, _power(power), "middle")]
    for power in range(int(up.low), int(up.high) + 1):
        y = up.at(power)
        parts += [path("grid", f"M{LEFT},{y:g}H{WIDTH - RIGHT}"), text(LEFT - 6, y + 4, _power(power), "end")]
    label = text(LEFT + 4, TOP + 12, "GFLOP/s", "start", "dim")
    return [*parts, label, text((LEFT + WIDTH) / 2, HEIGHT - 4, "operations for each byte moved", "middle", "dim")]


def _roofs(roofs: Sequence[tuple[str, float]], bandwidth: float | None, across: Scale, up: Scale) -> list[Markup]:
    """The slope of the memory up to the highest peak, and each peak from there on."""
    parts, right = [], 10.0**across.high
    for place, (name, peak) in enumerate(roofs):
        ridge = min(max(peak / bandwidth, 10.0**across.low), right) if bandwidth else 10.0**across.low
        y = _at(up, peak)
        kind = f"roof c{place % UNKNOWN}"
        parts.append(path(kind, f"M{_at(across, ridge):g},{y:g}H{WIDTH - RIGHT}"))
        parts.append(text(WIDTH - RIGHT - 4, y - 5, f"{name} {number(peak)}", "end"))
    top = max((peak for _, peak in roofs), default=10.0**up.high)
    if bandwidth:
        # From the lower edge of the picture, or its left one.
        begin = max(10.0**up.low / bandwidth, 10.0**across.low)
        end = min(top / bandwidth, right)
        points = [(x, x * bandwidth) for x in (begin, end)]
        if begin < end:
            line = "L".join(f"{_at(across, x):g},{_at(up, y):g}" for x, y in points)
            parts.append(path("roof memory", f"M{line}"))
            # Right of its middle.
            x = math.sqrt(begin * end)
            parts.append(text(_at(across, x) + 8, _at(up, x * bandwidth) + 8, f"{number(bandwidth)} GB/s", "start"))
    return parts


def _power(power: int) -> str:
    return f"{10.0**power:,.10g}" if -3 <= power < 6 else f"1e{power}"
