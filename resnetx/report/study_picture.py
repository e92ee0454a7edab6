"""The panels of a study as a picture, PNG or SVG: the same study gives the same bytes."""

import math
import textwrap
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

from resnetx.study.result import Panel, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Picture = Literal["png", "svg"]
# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
# In inches; the words are the title, and the verdict below.
PANEL_WIDTH, PANEL_HEIGHT, WORDS_HEIGHT, LINE_HEIGHT, LEAST_WIDTH = 4.2, 3.2, 0.6, 0.17, 8.4
CHARACTERS_PER_INCH = 13
STYLE: dict[str, Any] = {
    "svg.hashsalt": "resnetx",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
DOTS_PER_INCH = 120
MOST_POWERS = 8


def render_picture(study: Study, kind: Picture) -> bytes:
    """Without a display, and whatever the user's own settings of matplotlib are."""
    from matplotlib import style
    from matplotlib.figure import Figure

    across = study.panels_a_row
    down = -(-len(study.panels) // across)
    width = max(PANEL_WIDTH * across, LEAST_WIDTH)
    verdict = textwrap.wrap(study.verdict, int(width * CHARACTERS_PER_INCH))
    height = PANEL_HEIGHT * down + WORDS_HEIGHT + LINE_HEIGHT * len(verdict)
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False)
        for place, panel in enumerate(study.panels):
            _draw(axes[place // across][place % across], panel)
            _scale(axes[place // across][place % across], study.values_beside(place), log=panel.log_y)
        for empty in range(len(study.panels), across * down):
            axes[empty // across][empty % across].set_axis_off()
        _legend(figure, axes)
        figure.suptitle(study.title, fontsize=12, fontweight="bold")
        figure.supxlabel("\n".join(verdict), fontsize=9)
        data = BytesIO()
        details = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(data, format=kind, dpi=DOTS_PER_INCH, metadata=details)
    return data.getvalue() if kind == "svg" else _with_few_colours(data)


def _with_few_colours(data: BytesIO) -> bytes:
    """Lines have few colours: with a palette, the file has a third of the size."""
    from PIL import Image

    small = BytesIO()
    with Image.open(data) as image:
        image.convert("RGB").quantize(256).save(small, "PNG", optimize=True)
    return small.getvalue()


def _draw(axes: "Axes", panel: Panel) -> None:
    for line in panel.lines:
        if line.low:
            axes.fill_between(
                line.x, _drawn(line.low), _drawn(line.high), color=COLOURS[line.colour % len(COLOURS)], alpha=0.2, lw=0
            )
        axes.plot(
            line.x,
            _drawn(line.y),
            label=line.name,
            color=COLOURS[line.colour % len(COLOURS)],
            linestyle="--" if line.dashed else "-",
            linewidth=1.6,
            marker="o" if len(line.x) == 1 else None,
        )
    axes.set_title(panel.title)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)


def _drawn(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _scale(axes: "Axes", values: Sequence[float], *, log: bool) -> None:
    if log:
        _log_scale(axes, values)
    elif values:
        margin = 0.04 * (max(values) - min(values)) or 0.5
        axes.set_ylim(min(values) - margin, max(values) + margin)


def _log_scale(axes: "Axes", values: Sequence[float]) -> None:
    """A zero stands below the smallest power of ten."""
    positive = [value for value in values if value > 0]
    if not positive:
        return
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    if min(values) > 0:
        axes.set_yscale("log")
        axes.set_ylim(min(positive) / 1.5, max(positive) * 1.5)
        return
    every = max(1, (high - low) // MOST_POWERS)
    axes.set_yscale("symlog", linthresh=10.0**low, linscale=every)
    axes.set_yticks([0.0, *(10.0**power for power in range(high, low - 1, -every))])
    axes.set_ylim(-(10.0**low) / 10, max(positive) * 2)


def _legend(figure: Any, axes: Any) -> None:
    """One for all panels if they have the same lines; otherwise each has its own."""
    found = [each.get_legend_handles_labels() for row in axes for each in row if each.lines]
    if all(labels == found[0][1] for _, labels in found):
        figure.legend(*found[0], loc="outside right center")
        return
    for row in axes:
        for each in row:
            if each.lines:
                each.legend()
