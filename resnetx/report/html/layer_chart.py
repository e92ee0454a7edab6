"""The layers of a verification as a picture: a dot for each, by its error in multiples of the expected noise."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from resnetx.base.text import shorten
from resnetx.report.html.drawing import WIDTH, Scale, log_ticks, path, rows_grid, svg, text
from resnetx.report.html.markup import element, number
from resnetx.verification.layers import LayerParity
from resnetx.verification.parity import MAX_MULTIPLE

LEFT, TOP, BOTTOM = 46, 40, 200
HEIGHT = BOTTOM + 42
# An error of zero has no place on a logarithmic axis, one beyond all numbers neither: both stand at its ends.
LEAST, MOST = 1e-3, 1e9
# One for a phone, one for a wider window; the page shows that which fits.
WIDTHS = {"narrow": WIDTH, "broad": 720}


def noise_range(parts: Sequence[Sequence[LayerParity]]) -> tuple[float, float]:
    """The axis that the charts of the file and of all providers share; the limit is on it."""
    known = [min(max(layer.multiple, LEAST), MOST) for layers in parts for layer in layers if layer.multiple > 0]
    return min([*known, 0.5]), max([*known, 2 * MAX_MULTIPLE])


def layer_charts(name: str, layers: Sequence[LayerParity], reach: tuple[float, float]) -> list[tuple[str, Markup]]:
    """The same chart in each width, with the class that shows it; none for a single layer."""
    if len(layers) < 2:
        return []
    return [(kind, _chart(f"{name}-{kind}", layers, reach, width)) for kind, width in WIDTHS.items()]


def _chart(name: str, layers: Sequence[LayerParity], reach: tuple[float, float], width: int) -> Markup:
    right = width - 14
    ticks = log_ticks(*reach)
    across = Scale(low=0, high=len(layers) - 1, start=LEFT + 8, end=right)
    up = Scale(low=ticks[0], high=ticks[-1], start=BOTTOM, end=TOP, log=True)
    limit = up.at(MAX_MULTIPLE)
    parts = [*rows_grid(ticks, up, LEFT, right), path("limit", f"M{LEFT},{limit:g}H{right}")]
    parts += [text(right, limit - 4, f"limit {MAX_MULTIPLE:g}", "end", "bad"), *_stages(layers, across)]
    parts.append(
        text((LEFT + right) / 2, HEIGHT - 6, f"{len(layers)} layers, in the order of the network", "middle", "dim")
    )
    # The wrong ones last, so that no other covers them.
    for place, layer in sorted(enumerate(layers), key=lambda each: not each[1].passed):
        kind = "dot c0" if layer.passed else "dot wrong"
        spot = {"cx": across.at(place), "cy": up.inside(layer.multiple), "r": 3 if layer.passed else 4}
        parts.append(element("circle", {"class": kind, **spot}, element("title", {}, describe(layer))))
    first = next((place for place, layer in enumerate(layers) if not layer.passed), None)
    if first is not None:
        parts += _named(layers[first], across.at(first), up.inside(layers[first].multiple), width)
    worst = max(layers, key=lambda layer: layer.multiple)
    wrong = sum(not layer.passed for layer in layers)
    alt = f"{len(layers)} layers, {wrong} of them wrong; the largest error is that of {describe(worst)}"
    return svg(name, HEIGHT, "Error of each layer in multiples of the noise", alt, parts, width=width)


def describe(layer: LayerParity) -> str:
    original = "" if layer.original in (None, layer.name) else f" / {layer.original}"
    multiple = number(layer.multiple) if math.isfinite(layer.multiple) else "infinitely many"
    return f"{layer.name}{original} ({layer.op}): {multiple} times the noise, relative error {layer.error:.1e}"


def _named(layer: LayerParity, x: float, y: float, width: int) -> list[Markup]:
    """The name of the first wrong layer above the picture, with a line to its dot."""
    words = shorten(layer.name, (width - 90) // 7)
    anchor = "start" if x < width / 3 else "end" if x > 2 * width / 3 else "middle"
    return [path("pointer", f"M{x:g},20V{y - 5:g}"), text(x, 14, f"first wrong: {words}", anchor, "bad strong")]


def _stages(layers: Sequence[LayerParity], across: Scale) -> list[Markup]:
    """Where the parts of the network begin, by the first word of the layers' names, as far as there is room."""
    parts: list[Markup] = []
    end, before = 0.0, ""
    for place, layer in enumerate(layers):
        stage = layer.name.strip("/").replace("/", ".").partition(".")[0]
        if stage == before:
            continue
        before, x = stage, across.at(place)
        words = shorten(stage, 10)
        if x >= end and x + 7 * len(words) <= across.end + 10:
            parts += [path("grid", f"M{x:g},{BOTTOM}v6"), text(x - 2, BOTTOM + 18, words, None, "dim")]
            end = x + 7 * len(words) + 10
    return parts
