"""A profile as one self-contained HTML page, under the same rules as that of a benchmark."""

from dataclasses import asdict
from typing import NamedTuple

from resnetx.benchmark.profiling.figures import notes_of, totals_of
from resnetx.benchmark.profiling.layer import LayerFigures
from resnetx.benchmark.profiling.result import Profile
from resnetx.report.html.page import ENVIRONMENT, flat, peaks, resource
from resnetx.report.html.roofline import roofline_chart
from resnetx.report.profile_words import limits_in_words, sum_in_words, title_of

OUTSIDE = "outside the layers"


class Column(NamedTuple):
    """The page's script sorts by the value of a cell; None is sorted last."""

    key: str
    title: str
    numeric: bool = True


COLUMNS = (
    Column("layer", "layer", numeric=False),
    Column("ms", "ms"),
    Column("share", "share %"),
    Column("bound", "bound by", numeric=False),
    Column("limit", "% of limit"),
    Column("rate", "GFLOP/s"),
    Column("bandwidth", "GB/s"),
    Column("original", "original name", numeric=False),
    Column("operator", "operator", numeric=False),
    Column("kernel", "kernel", numeric=False),
    Column("precision", "precision", numeric=False),
    Column("macs", "MMACs"),
    Column("bytes", "MB"),
    Column("intensity", "operations / byte"),
    Column("nodes", "nodes", numeric=False),
)


def render_profile_page(profile: Profile) -> str:
    """The same profile gives the same page, byte for byte."""
    figures = sorted(profile.figures, key=lambda each: -each.layer.time_ms)
    outside: list[float | str | None] = [OUTSIDE, profile.outside_ms, 100 * profile.outside_ms / profile.run_ms]
    rows = [*map(_cells, figures), [*outside, *[None] * (len(COLUMNS) - len(outside))]]
    shown = [column for place, column in enumerate(COLUMNS) if any(row[place] is not None for row in rows)]
    kept = [COLUMNS.index(column) for column in shown]
    return ENVIRONMENT.get_template("profile.html.jinja").render(
        style=resource("page.css"),
        script=resource("page.js"),
        profile=profile,
        title=title_of(profile),
        words=sum_in_words(profile),
        limits=limits_in_words(profile),
        notes=list(notes_of(profile)),
        roofline=roofline_chart(profile),
        without_macs=sum(1 for each in figures if not each.intensity),
        columns=shown,
        rows=[[row[place] for place in kept] for row in rows],
        totals=totals_of(profile),
        machine={
            "Machine": list(flat(profile.machine)),
            "Limits, measured in this run": list(peaks(profile.limits, profile.limits_problem)),
            "Settings": list(flat(asdict(profile.settings))),
            "Options in effect": list(flat(dict(profile.options))),
        },
    )


def _cells(each: LayerFigures) -> list[float | str | None]:
    """The values of a layer, in the order of the columns."""
    layer = each.layer
    return [
        layer.name,
        layer.time_ms,
        100 * each.share,
        each.bound,
        None if each.peak_share is None else 100 * each.peak_share,
        each.gflops or None,
        each.gb_s,
        layer.original_name,
        layer.operator,
        layer.kernel,
        layer.precision,
        layer.macs / 1e6 if layer.macs else None,
        None if layer.moved_bytes is None else layer.moved_bytes / 1e6,
        each.intensity or None,
        ", ".join(layer.nodes) or None,
    ]
