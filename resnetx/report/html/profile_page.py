"""A profile as one self-contained HTML page, under the same rules as that of a benchmark."""

from dataclasses import asdict

from resnetx.base.text import shorten
from resnetx.benchmark.profiling.figures import Total, notes_of, totals_of
from resnetx.benchmark.profiling.layer import LayerFigures
from resnetx.benchmark.profiling.result import Profile
from resnetx.report.html.machine_facts import flat, machine_in_words, peaks
from resnetx.report.html.markup import mark
from resnetx.report.html.roofline import roofline_chart
from resnetx.report.html.table import Cell, Column, Row, figure, make_table, words
from resnetx.report.html.templates import render
from resnetx.report.profile_words import limits_in_words, sum_in_words, title_of

OUTSIDE = "outside the layers"
FASTER, NO_PEAK = "the layer was faster than the measured limit", "no limit is known for it"
NO_MACS, NO_BYTES = "the layer does not multiply, or its size is unknown", "what it moves is unknown"
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
KINDS = (
    Column("operator", "operator", numeric=False),
    Column("kernel", "kernel", numeric=False),
    Column("precision", "precision", numeric=False),
    Column("layers", "layers"),
    Column("ms", "ms"),
    Column("share", "share %"),
)


def render_profile_page(profile: Profile) -> str:
    """The same profile gives the same page, byte for byte."""
    figures = sorted(profile.figures, key=lambda each: -each.layer.time_ms)
    outside = (words(OUTSIDE), figure(profile.outside_ms), figure(100 * profile.outside_ms / profile.run_ms))
    last = Row((*outside, *[Cell()] * (len(COLUMNS) - len(outside))))
    return render(
        "profile.html.jinja",
        profile=profile,
        title=title_of(profile),
        where=machine_in_words(profile.machine),
        words=sum_in_words(profile),
        limits=limits_in_words(profile),
        notes=list(notes_of(profile)),
        roofline=roofline_chart(profile),
        without_macs=sum(1 for each in figures if not each.intensity),
        layers=make_table(COLUMNS, [*(Row(_cells(each)) for each in figures), last]),
        kinds=make_table(KINDS, [_kind(total) for total in totals_of(profile)]),
        machine={
            "Machine": list(flat(profile.machine)),
            "Limits, measured in this run": list(peaks(profile.limits, profile.limits_problem)),
            "Settings": list(flat(asdict(profile.settings))),
            "Options in effect": list(flat(dict(profile.options))),
        },
    )


def _cells(each: LayerFigures) -> tuple[Cell, ...]:
    layer, nodes = each.layer, ", ".join(each.layer.nodes)
    return (
        words(layer.name),
        figure(layer.time_ms),
        figure(100 * each.share),
        words(each.bound, "the limits, or what the layer does, are unknown"),
        figure(
            None if each.peak_share is None else 100 * each.peak_share, FASTER if each.faster_than_limit else NO_PEAK
        ),
        figure(each.gflops or None, NO_MACS),
        figure(each.gb_s, NO_BYTES),
        _shortened(layer.original_name, "the original network has no such layer"),
        _shortened(layer.operator),
        _shortened(layer.kernel),
        _shortened(layer.precision),
        figure(layer.macs / 1e6 if layer.macs else None, NO_MACS),
        figure(None if layer.moved_bytes is None else layer.moved_bytes / 1e6, NO_BYTES),
        figure(each.intensity or None, NO_MACS),
        words(nodes or None, "the engine does not tell", shown=mark(shorten(nodes, 200), "small dim")),
    )


def _kind(total: Total) -> Row:
    names = (total.operator, total.kernel, total.precision)
    return Row((*map(_shortened, names), figure(total.layers), figure(total.time_ms), figure(100 * total.share)))


def _shortened(value: str | None, absent: str | None = None) -> Cell:
    return words(value, absent, shown=None if value is None else shorten(value, 60))
