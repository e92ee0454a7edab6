"""An inspection as text and as JSON; every name in it comes from an untrusted file."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from resnetx.base.text import ELLIPSIS, file_size, printable
from resnetx.graph.inspection.inspect import Inspection, ValueInfo
from resnetx.graph.inspection.macs import Shape
from resnetx.report.console import LONGEST_NAME, WHOLE

# Tables are cut after this many rows; --json has everything.
MOST_TYPES = 12
MOST_VALUES = 8
NAME = 40
SENTENCE = 200
INTEGERS = "*"


def inspection_json(inspection: Inspection) -> str:
    # Escaped to ASCII, so that names from the file cannot send control sequences to a terminal.
    return json.dumps(inspection.to_json(), indent=2, allow_nan=False) + "\n"


def render_inspection(inspection: Inspection, *, file: str) -> RenderableType:
    """A summary of the file that fits in 80 columns."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    rows.add_column(overflow="fold")
    _add(rows, "producer", [Text(shown(inspection.producer, NAME) or "unknown")])
    _add(rows, "inputs", _values(inspection.inputs))
    _add(rows, "outputs", _values(inspection.outputs))
    _add(rows, "nodes", [Text(f"{sum(inspection.nodes.values()):,}: {_nodes(inspection.nodes)}")])
    _add(rows, "parameters", [_parameters(inspection)])
    _add(rows, "MACs", _macs(inspection))
    for name, lines in _card(inspection.card, inspection.parity):
        _add(rows, name, lines)
    _add(rows, "note", [Text(shown(note, SENTENCE), "yellow") for note in inspection.notes])
    return Group(_headline(inspection, file), rows)


def render_layers(inspection: Inspection, *, width: int) -> RenderableType:
    """One row per layer, in the order of the network; names are shortened to fit into `width` columns."""
    original = any(layer.original_name for layer in inspection.layers)
    columns = [
        ("module path", [layer.name for layer in inspection.layers]),
        ("original", [layer.original_name or "" for layer in inspection.layers]),
        ("op", [layer.op.rpartition(".")[2] for layer in inspection.layers]),
        ("output", [_dims(layer.output_shape) for layer in inspection.layers]),
        ("MACs ", [_count(layer.macs) + (INTEGERS if layer.quantized else " ") for layer in inspection.layers]),
        ("params", [f"{layer.parameters:,}" for layer in inspection.layers]),
    ]
    # The original name includes the kind of layer, and there is no room for both.
    columns = [column for column in columns if column[0] != ("op" if original else "original")]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for index, (title, _) in enumerate(columns):
        table.add_column(title, justify="left" if index < 3 else "right", no_wrap=True, overflow="crop")
    others = [[shown(cell, 24) for cell in cells] for _, cells in columns[1:]]
    titles = [title for title, _ in columns[1:]]
    taken = sum(max(map(cell_len, (title, *cells))) + 2 for title, cells in zip(titles, others, strict=True))
    names = [shown(name, max(12, width - taken - 2)) for name in columns[0][1]]
    for layer, *cells in zip(inspection.layers, names, *others, strict=True):
        table.add_row(*(Text(cell, "cyan" if layer.quantized else "") for cell in cells))
    quantized = any(layer.quantized for layer in inspection.layers)
    note = [Text(f"{INTEGERS} computed in integers", "cyan")] if quantized else []
    return Padding(Group(table, *note), (1, 0, 0, 0))


def shown(text: str, limit: int) -> str:
    """Text from a file on one line: non-printable characters become `?`, and the middle of a long text is cut.

    Without a terminal, which limits the width, only what is no honest name is cut.
    """
    limit = max(limit, LONGEST_NAME) if WHOLE.get() else limit
    if len(text) > 2 * limit:
        text = text[:limit] + ELLIPSIS + text[-limit:]
    text = printable(text)
    if len(text) <= limit and cell_len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return _fitting(text, limit - 1 - half) + ELLIPSIS + _fitting(text[::-1], half)[::-1]


def _fitting(text: str, cells: int) -> str:
    kept = text[:cells]
    while cell_len(kept) > cells:
        kept = kept[:-1]
    return kept


def _add(rows: Table, name: str, lines: Sequence[Text]) -> None:
    if lines:
        rows.add_row(name, Text("\n").join(lines))


def _headline(inspection: Inspection, file: str) -> Text:
    size = "" if inspection.file_bytes is None else f"{file_size(inspection.file_bytes)}, "
    # Files that ONNX Runtime wrote list every domain that it supports; only those that nodes use matter.
    used = {name.rpartition(".")[0] or "ai.onnx" for name in inspection.nodes} | {"ai.onnx"}
    opsets = sorted(item for item in inspection.opsets.items() if item[0] in used)
    spelled = [f"{version}" if domain == "ai.onnx" else f"{shown(domain, 20)} {version}" for domain, version in opsets]
    facts = f"{size}opset {_some(spelled, 4) or 'none'}, IR {inspection.ir_version}"
    return Text.assemble((shown(file, 48), "bold"), "  ", facts)


def _values(values: Sequence[ValueInfo]) -> list[Text]:
    lines = [
        Text.assemble(shown(value.name, NAME - 10), (f"  {shown(value.type, 12)} {_shape(value.shape)}", "dim"))
        for value in values[:MOST_VALUES]
    ]
    return lines + ([Text(f"and {len(values) - MOST_VALUES} more")] if len(values) > MOST_VALUES else [])


def _nodes(nodes: Mapping[str, int]) -> str:
    return _some([f"{count:,} {shown(name, 24)}" for name, count in nodes.items()], MOST_TYPES)


def _parameters(inspection: Inspection) -> Text:
    sizes = ", ".join(f"{name} {file_size(size)}" for name, size in inspection.parameter_bytes.items())
    return Text(f"{inspection.parameters:,}{f' ({sizes})' if sizes else ''}")


def _macs(inspection: Inspection) -> list[Text]:
    unknown = [layer for layer in inspection.layers if layer.macs is None]
    if inspection.macs is None:
        known = sum(layer.macs or 0 for layer in inspection.layers)
        named = shown(unknown[0].name, 24) if unknown else "all"
        text = (
            f"unknown: {len(unknown)} of {len(inspection.layers)} layers have unknown sizes, {named} first "
            f"({known:,} in the others). If the input size is free, set it, for example with --input-shape 1x3x224x224."
        )
        return [Text(text, "yellow")]
    batch = f"; the file has a batch of {inspection.batch:,}" if inspection.batch > 1 else ""
    lines = [Text(f"{inspection.macs:,} per image{_short(inspection.macs)}{batch}")]
    if inspection.quantized_share:
        lines.append(Text(f"{inspection.quantized_share:.1%} of them in integers", "cyan"))
    return lines


def _card(card: Mapping[str, Any] | None, parity: Mapping[str, Any] | None) -> Iterable[tuple[str, list[Text]]]:
    """The rows of a card; its fields may have any type."""
    if card is None:
        return
    facts = [shown(str(card.get("architecture") or ""), 60), _words(card.get("classes"), " classes")]
    labels = _list(card.get("labels"))
    facts.append(f"labels {_words(labels[0], '')} to {_words(labels[-1], '')}" if labels else "")
    yield "network", [Text(", ".join(filter(None, facts)) or "not specified")]
    weights = _mapping(card.get("weights"))
    yield "weights", [_origin(weights)]
    yield "assumed", [Text(shown(str(line), SENTENCE)) for line in _list(weights.get("assumed"))[:4]]
    if _mapping(card.get("config")):
        form = "raw uint8 pixels, NHWC" if card.get("input") == "uint8" else "normalized floats, NCHW"
        yield "boundary", [Text(f"{form} -> {_words(card.get('output'), '') or 'logits'}")]
    pixels = _mapping(card.get("preprocessing"))
    order, mean, std = (_words(pixels.get(key), "") for key in ("order", "mean", "std"))
    yield "pixels", [Text(f"{order}, mean {mean}, std {std}")] if pixels else []
    tools = [f"{shown(str(name), 16)} {_words(version, '')}" for name, version in _mapping(card.get("tools")).items()]
    yield "tools", [Text(_some(tools, 8))] if tools else []
    if parity is not None:
        passed = parity.get("passed") is True
        verdict = "agreed with PyTorch at export" if passed else "did not agree with PyTorch at export"
        yield "parity", [Text(f"{verdict} (according to the file)", "" if passed else "yellow")]


def _origin(weights: Mapping[str, Any]) -> Text:
    """Where the weights came from; of a module of the user, only their digest is known."""
    source, seed, digest = (_words(weights.get(key), "") for key in ("source", "seed", "sha256"))
    if source:
        return Text(source)
    if seed:
        return Text(f"random, from seed {seed}: NOT TRAINED", "yellow")
    return Text(f"as they were at export, SHA-256 {shown(digest[:12], 12)}{ELLIPSIS}" if digest else "not specified")


def _words(value: Any, unit: str) -> str:
    if value is None or isinstance(value, dict):
        return ""
    return shown(" ".join(map(_number, value[:4])) if isinstance(value, list) else _number(value), NAME) + unit


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _some(items: Sequence[str], most: int) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def _shape(shape: Sequence[int | str | None] | None) -> str:
    """The shape of an input or output, with names: `[batch, 3, 224, 224]`."""
    if shape is None:
        return "of unknown shape"
    return f"[{_some(['?' if dim is None else shown(str(dim), 16) for dim in shape], 8)}]"


def _dims(shape: Shape | None) -> str:
    """A layer's shape, short: `1x64x56x56`."""
    if shape is None:
        return "?"
    dims = ["?" if dim is None else str(dim) for dim in shape[:8]] + [ELLIPSIS] * (len(shape) > 8)
    return "x".join(dims) or "scalar"


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _short(number: int) -> str:
    """` (4.09 G)` after a large number."""
    if number < 1_000_000:
        return ""
    power = min(int(math.log10(number)) // 3, 6)
    return f" ({number / 1000**power:.2f} {' kMGTPE'[power]})"
