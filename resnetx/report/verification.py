"""A verification's result as tables."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resnetx.base.text import grouped
from resnetx.verification.coverage_result import Coverage
from resnetx.verification.float_agreement import FloatAgreement
from resnetx.verification.layers import LayerParity
from resnetx.verification.parity import Check, Parity
from resnetx.verification.result import FileVerdict, ProviderVerdict, Verification
from resnetx.verification.structure.result import StructureComparison

# Of problems and remarks, which a file of unknown origin may have thousands of.
MOST_LINES = 12
MOST_UNCOVERED = 3


def render_verification(result: Verification, *, layers: bool = False) -> RenderableType:
    """The verdict: the file, a table for each provider, and with `layers` every layer that was compared."""
    head = Text.assemble((result.model, "bold"), f"  {result.architecture}")
    parts: list[RenderableType] = [head, Text(f"against {result.reference}, {_inputs(result)}", "dim")]
    if result.file is not None:
        parts += [Text(), *_file(result.file, layers=layers)]
    owners = grouped((verdict.provider, note) for verdict in result.verdicts for note in verdict.notes)
    for verdict in result.verdicts:
        notes = [note for note in verdict.notes if len(owners[note]) == 1]
        parts += [Text(), *_provider(verdict, notes, layers=layers)]
    shared = [f"{', '.join(names)}: {note}" for note, names in owners.items() if len(names) > 1]
    remarks = [*shared, *result.remarks]
    parts += [Text(), *_lines(remarks, "yellow")] if remarks else []
    for reason, names in grouped((each.provider, each.reason) for each in result.not_run).items():
        parts += [Text(), Text.assemble((", ".join(names), "bold"), ("  NOT RUN", "bold red")), Text(reason, "red")]
    style = "bold green" if result.passed else "bold red" if result.failed else "bold yellow"
    parts.append(Text(f"\n{verdict_in_words(result)}", style))
    return Group(*parts)


def verdict_in_words(result: Verification) -> str:
    """PASSED, or what failed first, and by how much."""
    absent = ", ".join(each.provider for each in result.not_run)
    if result.failed:
        return f"FAILED: {next(_failures(result))}{f'; {absent} could not run the file' if absent else ''}"
    if result.unproven is not None:
        return f"NOTHING COULD BE PROVEN: {result.unproven}"
    return f"NOT RUN on {absent}; the others passed" if absent else "PASSED"


def _failures(result: Verification) -> Iterator[str]:
    """What is wrong, in the order in which it shows: in the file, then on each provider."""
    file = result.file
    if file is not None:
        yield from (f"the file: {difference}" for difference in (file.structure.differences if file.structure else ()))
        yield from _failed_checks("the file in float64", file.parity)
        yield from _failed_layer("the file", file.first_fault)
        yield from (f"the card: {problem}" for problem in file.problems)
    for verdict in result.verdicts:
        yield from _failed_checks(f"{verdict.provider} in {verdict.precision}", verdict.parity)
        yield from _failed_checks(f"{verdict.provider}, compared with the graph", verdict.graph)
        if verdict.agreement is not None and verdict.agreement.reason:
            yield f"{verdict.provider}, beside the float network: {verdict.agreement.reason}"
        yield from _failed_layer(verdict.provider, verdict.first_fault)
    yield "nothing was compared"


def _failed_checks(where: str, parity: Parity | None) -> Iterator[str]:
    for check in () if parity is None else parity.checks:
        if not check.passed:
            yield f"{where}: {check.output}, batch {check.batch}: {check.reason}"


def _failed_layer(where: str, fault: LayerParity | None) -> Iterator[str]:
    if fault is not None:
        yield f"{where}: the layer {fault.name} is off by {fault.multiple:.3g} times the noise"


def _inputs(result: Verification) -> str:
    images = result.images
    if images is None:
        return f"{result.samples} samples"
    left_out = "" if images.used == images.found else f", the first of {images.found:,} in the folder"
    return f"on {images.used:,} photographs{left_out}"


def _file(file: FileVerdict, *, layers: bool) -> list[RenderableType]:
    parts: list[RenderableType] = [Text.assemble(("the file", "bold"), ", compared with the network")]
    if file.parity is not None:
        parts += _checks(file.parity)
    return [*parts, *file_remarks(file), *_layers(file, shown=layers)]


def file_remarks(file: FileVerdict) -> list[Text]:
    """What a file's tables do not show, each in its colour."""
    return [
        *([] if file.structure is None else _structure(file.structure)),
        *_lines(file.problems, "red"),
        *_lines(file.notes, "yellow"),
        *_lines([f"the file cannot show {claim}" for claim in file.unshown], "dim", most=MOST_UNCOVERED),
        *([] if file.coverage is None else _coverage(file.coverage)),
    ]


def provider_remarks(verdict: ProviderVerdict, notes: Sequence[str]) -> list[Text]:
    """What a provider's tables do not show, each in its colour."""
    return [
        *([] if verdict.agreement is None else _agreement(verdict.agreement)),
        *([] if verdict.deterministic else [Text("two runs of the same input differ in rounding", "yellow")]),
        *_lines(notes, "yellow"),
    ]


def _structure(structure: StructureComparison) -> list[Text]:
    """What was proved without running anything, what differs, and what was left to the numbers."""
    parts = _lines([str(difference) for difference in structure.differences], "red")
    if not structure.differences:
        parts.append(Text(f"{len(structure.proved)} layers have the network's weights, attributes and inputs", "green"))
    if structure.unrecognized:
        names = ", ".join(each.layer for each in structure.unrecognized[:MOST_LINES])
        more = len(structure.unrecognized) - MOST_LINES
        words = f"not recognized, left to the numbers: {names}" + (f" and {more} more" if more > 0 else "")
        parts.append(Text(words, "yellow"))
    return parts


def _coverage(coverage: Coverage) -> list[Text]:
    """The share of channels that the inputs reach; what they don't reach counts only for its weights."""
    if not coverage.total:
        return [Text("what the inputs reach in the network was not measured", "dim")]
    added = f", {coverage.added} of them added for it" if coverage.added else ""
    parts = [Text(f"the inputs{added} reach {coverage.share:.1%} of the network's channels", "dim")]
    return [*parts, *_lines([each.describe() for each in coverage.uncovered], "dim", most=MOST_UNCOVERED)]


def _provider(verdict: ProviderVerdict, notes: Sequence[str], *, layers: bool) -> list[RenderableType]:
    placement = ", ".join(f"{count} nodes on {name}" for name, count in verdict.placement)
    parts: list[RenderableType] = [
        Text.assemble((verdict.provider, "bold"), f" in {verdict.precision}  ", (placement, "dim")),
        *_checks(verdict.parity),
    ]
    if verdict.graph is not None and not verdict.graph.passed:
        parts.append(Text("compared with the file's own graph in float64:"))
        parts += _checks(verdict.graph)
    return [*parts, *provider_remarks(verdict, notes), *_layers(verdict, shown=layers)]


def _agreement(found: FloatAgreement) -> list[Text]:
    """An INT8 file beside the float network, and what is to be expected of it."""
    words = (
        f"beside the float network, on {found.samples} samples: SQNR {found.sqnr_db:.1f} dB, top-1 {found.top1:.1%}, "
        f"top-5 {found.top5:.1%}"
    )
    parts = [Text(words, "green" if found.passed else "red")]
    if found.rehearsed:
        words = (
            f"on {found.rehearsed} of them: {found.provider_db:.1f} dB here, {found.simulated_db:.1f} dB in exact "
            f"arithmetic, {found.expected_db:.1f} dB to expect of such steps and weights"
        )
        parts.append(Text(words, "dim"))
    return [*parts, *_lines([found.reason] if found.reason else [], "red")]


def _checks(parity: Parity) -> list[RenderableType]:
    """One row for each output and batch size, that of the worst batch."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("output", overflow="fold")
    for name in ("batch", "max error", "x noise", "SQNR dB", "cosine", "top-1", "top-5"):
        table.add_column(name, justify="right")
    table.add_column("")
    worst = worst_checks(parity)
    for check in worst:
        table.add_row(*_row(check))
    failed = grouped((f"{check.output}, batch {check.batch}", check.reason) for check in worst if check.reason)
    reasons = [f"{'; '.join(names)}: {reason}" for reason, names in failed.items()]
    explained = sum(check.explained for check in parity.checks)
    ties = [f"{explained} elements differ because a rounding decides a tie"] if explained else []
    return [table, *_lines(reasons, "red"), *_lines(ties, "dim")]


def worst_checks(parity: Parity) -> list[Check]:
    """The worst batch of each output and batch size."""
    worst: dict[tuple[str, int], Check] = {}
    for check in parity.checks:
        other = worst.setdefault((check.output, check.batch), check)
        if (not check.passed, check.multiple or 0.0) > (not other.passed, other.multiple or 0.0):
            worst[check.output, check.batch] = check
    return list(worst.values())


def _row(check: Check) -> tuple[Text | str, ...]:
    mark = Text("ok", "green") if check.passed else Text("FAILED", "bold red")
    metrics = check.metrics
    multiple = "" if check.multiple is None else f"{check.multiple:.3g}"
    if metrics is None:
        return Text(check.output), str(check.batch), "", multiple, "", "", "", "", mark
    return (
        Text(check.output),
        str(check.batch),
        f"{metrics.max_abs:.2g}",
        multiple,
        f"{metrics.sqnr_db:.0f}",
        f"{metrics.cosine:.6f}",
        _share(metrics.top1),
        _share(metrics.top5),
        mark,
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _lines(sentences: Sequence[str], style: str, *, most: int = MOST_LINES) -> list[Text]:
    lines = [Text(sentence, style) for sentence in sentences[:most]]
    return [*lines, Text(f"and {len(sentences) - most} more", style)] if len(sentences) > most else lines


def _layers(verdict: FileVerdict | ProviderVerdict, *, shown: bool) -> list[RenderableType]:
    layers, left_out, fault = verdict.layers, verdict.left_out, verdict.first_fault
    if not layers and not left_out:
        return []
    parts: list[RenderableType] = [Text(), _table(layers, left_out)] if shown else []
    verb = "is" if len(left_out) == 1 else "are"
    others = f"; {len(left_out)} {verb} not comparable" if left_out else ""
    if fault is not None:
        name = fault.name if fault.original in (None, fault.name) else f"{fault.name} / {fault.original}"
        words = f"the first wrong layer is {name} ({fault.multiple:.3g} times the noise){others}"
        return [*parts, Text(words, "bold red")]
    if len(left_out) > len(layers):
        count = len(layers) + len(left_out)
        words = f"only {len(layers)} of {count} layers are comparable; they stay within the noise floor"
        few = f"none of {count} layers is comparable" if not layers else words
        return [*parts, Text(f"{few}: the other nodes compute no tensor of the reference", "yellow")]
    return [*parts, Text(f"{len(layers)} layers stay within the noise floor{others}", "green")]


def _table(layers: Sequence[LayerParity], left_out: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("layer", overflow="fold")
    table.add_column("original name", overflow="fold")
    table.add_column("type")
    table.add_column("error", justify="right")
    table.add_column("x the noise", justify="right")
    table.add_column("")
    for layer in layers:
        mark = Text("ok", "green") if layer.passed else Text("FAILED", "bold red")
        original = Text(layer.original or "", "dim")
        table.add_row(Text(layer.name), original, layer.op, f"{layer.error:.1e}", f"{layer.multiple:.3g}", mark)
    for name in left_out:
        table.add_row(Text(name), "", "", "", "", Text("not comparable", "yellow"))
    return table
