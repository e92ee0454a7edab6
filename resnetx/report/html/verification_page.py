"""A verification as a page: the verdict, the outputs of the file and of each provider, and a picture of the layers."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup
from rich.text import Text

from resnetx.report.html.layer_chart import layer_charts, noise_range
from resnetx.report.html.markup import judged, number
from resnetx.report.html.table import Cell, Column, Row, Table, figure, make_table, words
from resnetx.report.html.templates import render
from resnetx.report.verification import file_remarks, provider_remarks, verdict_in_words, worst_checks
from resnetx.verification.layers import LayerParity
from resnetx.verification.parity import Check, Parity
from resnetx.verification.result import FileVerdict, ProviderVerdict, Verification

COLOURS = {"green": "good", "red": "bad", "yellow": "warn", "dim": "dim"}
OUTPUTS = (
    Column("output", "output", numeric=False),
    Column("batch", "batch", head=True),
    Column("error", "max error"),
    Column("multiple", "× the noise", main=True),
    Column("allowed", "allowed"),
    Column("sqnr", "SQNR dB", main=True),
    Column("cosine", "cosine"),
    Column("top1", "top-1 %", main=True),
    Column("top5", "top-5 %"),
    Column("verdict", "verdict", numeric=False, main=True),
)
LAYERS = (
    Column("layer", "layer", numeric=False),
    Column("original", "original name", numeric=False),
    Column("operator", "operator", numeric=False),
    Column("error", "relative error"),
    Column("multiple", "× the noise", main=True),
    Column("verdict", "verdict", numeric=False, main=True),
)
NO_NUMBERS = "the outputs could not be compared by numbers"
NO_NOISE = "the reference's own error is not known for this output"
NO_CLASSES = "the output is not a row of class scores"


class Part(NamedTuple):
    """The file, or a provider.

    `summary` are its figures that matter, `left_out` nodes that were not compared, and why, `remarks` sentences with
    their colours.
    """

    key: str
    title: str
    detail: str
    passed: bool
    summary: list[tuple[str, str]]
    tables: list[tuple[str, Table]]
    charts: list[tuple[str, Markup]]
    layers: Table | None
    wrong_layers: int
    first_fault: LayerParity | None
    left_out: list[tuple[str, str]]
    remarks: list[tuple[str, str]]


def render_verification_page(result: Verification) -> str:
    """The same verification gives the same page, byte for byte."""
    reach = noise_range([part.layers for part in (result.file, *result.verdicts) if part is not None])
    file = [] if result.file is None else [_file_part(result.file, reach)]
    parts = [*file, *(_provider_part(place, each, reach) for place, each in enumerate(result.verdicts))]
    return render("verification.html.jinja", result=result, parts=parts, verdict=_verdict(result))


def _verdict(result: Verification) -> str:
    if not result.passed:
        return verdict_in_words(result)
    subject = "the outputs" if result.file is None else "the file and its outputs"
    return f"PASSED: {subject} agree with the reference on {', '.join(each.provider for each in result.verdicts)}."


def _file_part(file: FileVerdict, reach: tuple[float, float]) -> Part:
    checks = [] if file.parity is None else [("Outputs in float64, beside the network's", outputs_table(file.parity))]
    return Part(
        key="file",
        title="the file",
        detail="compared with the network",
        passed=file.passed,
        summary=_summary(file.parity, file.layers),
        tables=checks,
        charts=layer_charts("layers-file", file.layers, reach),
        layers=_layers_table(file.layers),
        wrong_layers=sum(not layer.passed for layer in file.layers),
        first_fault=file.first_fault,
        left_out=list(file.left_out.items()),
        remarks=_coloured(file_remarks(file)),
    )


def _provider_part(place: int, verdict: ProviderVerdict, reach: tuple[float, float]) -> Part:
    tables = [("Outputs, beside the reference's", outputs_table(verdict.parity))]
    if verdict.graph is not None and not verdict.graph.passed:
        tables.append(("Outputs, beside the file's own graph in float64", outputs_table(verdict.graph)))
    return Part(
        key=f"provider-{place}",
        title=verdict.provider,
        detail=", ".join(
            [f"in {verdict.precision}", *(f"{count} nodes on {name}" for name, count in verdict.placement)]
        ),
        passed=verdict.passed,
        summary=_summary(verdict.parity, verdict.layers),
        tables=tables,
        charts=layer_charts(f"layers-{place}", verdict.layers, reach),
        layers=_layers_table(verdict.layers),
        wrong_layers=sum(not layer.passed for layer in verdict.layers),
        first_fault=verdict.first_fault,
        left_out=list(verdict.left_out.items()),
        remarks=_coloured(provider_remarks(verdict, verdict.notes)),
    )


def _summary(parity: Parity | None, layers: Sequence[LayerParity]) -> list[tuple[str, str]]:
    """The worst of all checks; what is not known is left out."""
    checks = [] if parity is None else list(parity.checks)
    multiples = [check.multiple for check in checks if check.multiple is not None]
    top1 = [check.metrics.top1 for check in checks if check.metrics and check.metrics.top1 is not None]
    good = sum(layer.passed for layer in layers)
    return [
        *([("× the noise", _counted(max(multiples)))] if multiples else []),
        *([("top-1 agreement", f"{100 * min(top1):.4g} %")] if top1 else []),
        *([("right layers", f"{good} of {len(layers)}")] if layers else []),
    ]


def outputs_table(parity: Parity) -> Table:
    """A row for each output and batch size, that of the worst batch."""
    return make_table(
        OUTPUTS,
        [Row(_check(check), check.reason, "" if check.passed else "failed") for check in worst_checks(parity)],
    )


def _check(check: Check) -> tuple[Cell, ...]:
    metrics, mark = check.metrics, "✓ correct" if check.passed else "✗ WRONG"
    multiple = figure(check.multiple, NO_NOISE, shown=None if check.multiple is None else _counted(check.multiple))
    head = (words(check.output), figure(check.batch, shown=str(check.batch)))
    last = Cell(judged(check.passed, mark), mark)
    if metrics is None:
        absent = Cell(absent=NO_NUMBERS)
        return (*head, absent, multiple, figure(check.allowed, NO_NOISE), *[absent] * 4, last)
    return (
        *head,
        figure(metrics.max_abs, shown=f"{metrics.max_abs:.2g}"),
        multiple,
        figure(check.allowed, NO_NOISE, shown=None if check.allowed is None else f"{check.allowed:g}"),
        figure(metrics.sqnr_db, shown=f"{metrics.sqnr_db:.0f}"),
        figure(metrics.cosine, shown=f"{metrics.cosine:.6f}"),
        *(
            figure(
                None if share is None else 100 * share,
                NO_CLASSES,
                shown=None if share is None else f"{100 * share:.4g}",
            )
            for share in (metrics.top1, metrics.top5)
        ),
        last,
    )


def _layers_table(layers: Sequence[LayerParity]) -> Table | None:
    if not layers:
        return None
    rows = []
    for layer in layers:
        mark = "✓ correct" if layer.passed else "✗ WRONG"
        cells = (
            words(layer.name),
            words(layer.original, "the original network has no such layer"),
            words(layer.op),
            figure(layer.error, shown=f"{layer.error:.1e}"),
            figure(layer.multiple, shown=_counted(layer.multiple)),
            Cell(judged(layer.passed, mark), mark),
        )
        rows.append(Row(cells, kind="" if layer.passed else "failed"))
    return make_table(LAYERS, rows)


def _counted(multiple: float) -> str:
    return number(multiple) if math.isfinite(multiple) else "∞"


def _coloured(sentences: Sequence[Text]) -> list[tuple[str, str]]:
    return [(COLOURS.get(str(sentence.style), ""), sentence.plain) for sentence in sentences]
