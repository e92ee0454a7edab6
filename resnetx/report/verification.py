"""A verification's result as tables."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

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
    parts: list[RenderableType] = [head, Text(f"against {result.reference}, {result.samples} samples", "dim")]
    if result.file is not None:
        parts += [Text(), *_file(result.file, layers=layers)]
    for verdict in result.verdicts:
        parts += [Text(), *_provider(verdict, layers=layers)]
    remarks = _lines(result.remarks, "yellow")
    return Group(*parts, *([Text(), *remarks] if remarks else []), Text(), _ending(result))


def _ending(result: Verification) -> Text:
    if not result.agrees:
        return Text("FAILED", "bold red")
    if result.unproven is not None:
        return Text(f"NOTHING COULD BE PROVEN: {result.unproven}", "bold yellow")
    return Text("PASSED", "bold green")


def _file(file: FileVerdict, *, layers: bool) -> list[RenderableType]:
    parts: list[RenderableType] = [Text.assemble(("the file", "bold"), ", compared with the network")]
    if file.parity is not None:
        parts += _checks(file.parity)
    if file.structure is not None:
        parts += _structure(file.structure)
    parts += _lines(file.problems, "red")
    parts += _lines(file.notes, "yellow")
    parts += _lines([f"the file cannot show {claim}" for claim in file.unshown], "dim", most=MOST_UNCOVERED)
    if file.coverage is not None:
        parts += _coverage(file.coverage)
    return [*parts, *_layers(file, shown=layers)]


def _structure(structure: StructureComparison) -> list[RenderableType]:
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


def _coverage(coverage: Coverage) -> list[RenderableType]:
    """The share of channels that the inputs reach; what they don't reach counts only for its weights."""
    if not coverage.total:
        return [Text("what the inputs reach in the network was not measured", "dim")]
    added = f", {coverage.added} of them added for it" if coverage.added else ""
    parts: list[RenderableType] = [
        Text(f"the inputs{added} reach {coverage.share:.1%} of the network's channels", "dim")
    ]
    return [*parts, *_lines([each.describe() for each in coverage.uncovered], "dim", most=MOST_UNCOVERED)]


def _provider(verdict: ProviderVerdict, *, layers: bool) -> list[RenderableType]:
    placement = ", ".join(f"{count} nodes on {name}" for name, count in verdict.placement)
    parts: list[RenderableType] = [
        Text.assemble((verdict.provider, "bold"), f" in {verdict.precision}  ", (placement, "dim")),
        *_checks(verdict.parity),
    ]
    if verdict.agreement is not None:
        parts += _agreement(verdict.agreement)
    if verdict.graph is not None and not verdict.graph.passed:
        parts.append(Text("compared with the file's own graph in float64:"))
        parts += _checks(verdict.graph)
    if not verdict.deterministic:
        parts.append(Text("two runs of the same input differ in rounding", "yellow"))
    parts += _lines(verdict.notes, "yellow")
    return [*parts, *_layers(verdict, shown=layers)]


def _agreement(found: FloatAgreement) -> list[RenderableType]:
    """An INT8 file beside the float network, and what is to be expected of it."""
    words = (
        f"beside the float network, on {found.samples} samples: SQNR {found.sqnr_db:.1f} dB, top-1 {found.top1:.1%}, "
        f"top-5 {found.top5:.1%}"
    )
    parts: list[RenderableType] = [Text(words, "green" if found.passed else "red")]
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
    for name in ("batch", "max error", "x PyTorch's", "SQNR dB", "cosine", "top-1", "top-5"):
        table.add_column(name, justify="right")
    table.add_column("")
    worst: dict[tuple[str, int], Check] = {}
    for check in parity.checks:
        other = worst.setdefault((check.output, check.batch), check)
        if (not check.passed, check.multiple or 0.0) > (not other.passed, other.multiple or 0.0):
            worst[check.output, check.batch] = check
    for check in worst.values():
        table.add_row(*_row(check))
    reasons = [f"{check.output}, batch {check.batch}: {check.reason}" for check in worst.values() if check.reason]
    explained = sum(check.explained for check in parity.checks)
    ties = [f"{explained} elements differ because a rounding decides a tie"] if explained else []
    return [table, *_lines(reasons, "red"), *_lines(ties, "dim")]


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


def _lines(sentences: Sequence[str], style: str, *, most: int = MOST_LINES) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(sentence, style) for sentence in sentences[:most]]
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
