"""A verification's result as tables."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resnetx.verification.layers import LayerParity
from resnetx.verification.parity import Check
from resnetx.verification.result import ProviderVerdict, Verification


def render_verification(result: Verification) -> RenderableType:
    """The verdict, a table per provider, and the layers if requested."""
    head = Text.assemble((result.model, "bold"), f"  {result.architecture}")
    parts: list[RenderableType] = [head, Text(f"against {result.reference}, {result.samples} samples", "dim")]
    for verdict in result.verdicts:
        parts += [Text(), *_provider(verdict)]
    verdict_line = Text("\nPASSED", "bold green") if result.passed else Text("\nFAILED", "bold red")
    return Group(*parts, verdict_line)


def _provider(verdict: ProviderVerdict) -> list[RenderableType]:
    placement = ", ".join(f"{count} nodes on {name}" for name, count in verdict.placement)
    head = Text.assemble((verdict.provider, "bold"), f" in {verdict.precision}  ", (placement, "dim"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("output", overflow="fold")
    for name in ("batch", "max error", "x PyTorch's", "SQNR dB", "cosine", "top-1", "top-5"):
        table.add_column(name, justify="right")
    table.add_column("")
    for check in verdict.parity.checks:
        table.add_row(*_row(check))
    parts: list[RenderableType] = [head, table]
    parts += [Text(f"{c.output}, batch {c.batch}: {c.reason}", "red") for c in verdict.parity.checks if c.reason]
    if not verdict.deterministic:
        parts.append(Text("two runs of the same input differ in rounding", "yellow"))
    parts += [Text(note, "yellow") for note in verdict.notes]
    if verdict.layers:
        parts += [Text(), _layers(verdict.layers), _first_fault(verdict)]
    elif not verdict.passed:
        parts.append(Text("run with --layers to find the first wrong layer", "dim"))
    return parts


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


def _layers(layers: tuple[LayerParity, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("layer", overflow="fold")
    table.add_column("original name", overflow="fold")
    table.add_column("type")
    table.add_column("error", justify="right")
    table.add_column("x PyTorch's", justify="right")
    table.add_column("")
    for layer in layers:
        mark = Text("ok", "green") if layer.passed else Text("FAILED", "bold red")
        original = Text(layer.original or "", "dim")
        table.add_row(Text(layer.name), original, layer.op, f"{layer.error:.1e}", f"{layer.multiple:.3g}", mark)
    return table


def _first_fault(verdict: ProviderVerdict) -> Text:
    fault = verdict.first_fault
    if fault is None:
        return Text("every layer stays within the noise floor", "green")
    name = fault.name if fault.original in (None, fault.name) else f"{fault.name} / {fault.original}"
    return Text(f"the first wrong layer is {name} ({fault.multiple:.3g} times PyTorch's)", "bold red")
