"""An export's result as text and as JSON."""

import json

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resnetx.base.text import file_size
from resnetx.conversion.result import Export
from resnetx.graph.card import ModelCard
from resnetx.verification.parity import Check, Parity

UNTRAINED = "random, from seed {seed}: NOT TRAINED, for tests and benchmarks only"


def export_json(export: Export) -> str:
    return json.dumps(export.to_json(), indent=2, ensure_ascii=False) + "\n"


def render_export(export: Export) -> RenderableType:
    """The file, the network, where its weights came from, and the verdict."""
    card = export.card
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    rows.add_column(overflow="fold")
    for name, value in _about(card):
        rows.add_row(name, value)
    if export.simplification is not None:
        before, after = export.simplification.before.total_nodes, export.simplification.after.total_nodes
        if export.simplification.applied:
            rows.add_row("simplified", Text(f"{before} -> {after} nodes"))
        else:
            rows.add_row("simplified", Text(f"no, the graph is as exported: {export.simplification.reason}", "yellow"))
    rows.add_row("verified", _verdict(export))
    return Group(_headline(export), rows)


def _headline(export: Export) -> Text:
    if not export.written:
        why = "nothing could be proven" if export.agrees else "the graph disagrees with PyTorch"
        return Text(f"{export.path} was NOT written: {why}", "bold red")
    facts = (
        f"{file_size(export.size_bytes)}, {export.nodes} nodes, opset {export.card.opset}, "
        f"IR {export.ir_version}, {export.card.precision}"
    )
    return Text.assemble((str(export.path), "bold"), "  ", facts)


def _about(card: ModelCard) -> list[tuple[str, Text]]:
    size = f", {card.image_size}x{card.image_size}" if card.image_size else ""
    classes = f", {card.classes} classes" if card.classes else ""
    rows = [("network", Text(f"{card.architecture}{classes}{size}"))]
    if card.config is not None:
        pixels = "raw uint8 pixels, NHWC" if card.input == "uint8" else "normalized floats, NCHW"
        rows.append(("boundary", Text(f"{pixels} -> {card.output}")))
    weights = card.weights
    if weights.source is not None:
        head = f", with a NEW, UNTRAINED classifier from seed {weights.seed}" if weights.new_head else ""
        rows.append(("weights", Text(f"{weights.source} ({weights.naming} naming){head}")))
    elif weights.seed is not None:
        rows.append(("weights", Text(UNTRAINED.format(seed=weights.seed), "yellow")))
    else:
        rows.append(("weights", Text(f"as they are in the module, SHA-256 {weights.sha256[:12]}…")))
    rows.extend(("assumed", Text(sentence)) for sentence in weights.assumed)
    return rows


def _verdict(export: Export) -> Text:
    parity, file, verdict = export.parity, export.file, export.verdict
    if parity is None or verdict is None:
        return Text("no: --no-verify was given", "yellow")
    lines = []
    for output in parity.outputs:
        worst = parity.worst(output)
        if not worst.passed:
            lines.append(Text(f"{output}: {worst.reason}", "bold red"))
        elif worst.multiple is None or worst.metrics is None:
            lines.append(Text(f"{output}: PyTorch's own", "green"))
        else:
            words = f"{output}: max error {worst.metrics.max_abs:.2g}, {worst.multiple:.2f} times PyTorch's own"
            lines.append(Text(f"{words} {parity.precision} error ({worst.allowed:g} allowed)", "green"))
    if file is not None:
        differences = file.structure.differences if file.structure is not None else ()
        lines += [Text(str(problem), "bold red") for problem in (*differences, *file.problems)]
        lines += [Text(f"{c.output} in float64: {c.reason}", "bold red") for c in _failed(file.parity)]
    lines += [Text(f"{c.output}, compared with the graph: {c.reason}", "bold red") for c in _failed(verdict.graph)]
    for part in (file, verdict):
        if part is not None and part.wrong_layer is not None:
            lines.append(Text(f"the first wrong layer is {part.wrong_layer}", "bold red"))
    if export.unproven is not None:
        inside = "weights and inner tensors are those of the network, but " if export.written else ""
        lines.append(Text(f"{inside}end to end nothing is proven: {export.unproven}", "bold yellow"))
    batches = ", ".join(map(str, parity.batches))
    lines.append(Text(f"on distinct images in batches of {batches}, against float64", "dim"))
    return Text("\n").join(lines)


def _failed(parity: Parity | None) -> list[Check]:
    return [] if parity is None else [check for check in parity.checks if not check.passed]
