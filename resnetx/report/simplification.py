"""The result of a simplification, as text and as JSON."""

import json
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resnetx.base.text import readable
from resnetx.graph.counts import GraphCounts, changed_types
from resnetx.graph.simplification.simplify import Simplification

SCHEMA = "resnetx.simplify/1"


def simplification_json(result: Simplification, *, source: Path, target: Path) -> str:
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "input": str(source),
        "output": str(target),
        "tool": result.tool,
        "applied": result.applied,
        "reason": result.reason,
        "notes": list(result.notes),
        "before": _counts(result.before),
        "after": _counts(result.after),
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def render_simplification(result: Simplification, *, source: Path, target: Path) -> RenderableType:
    """The verdict, then the node types whose number changed, and the totals."""
    if not result.applied:
        return Group(
            Text(f"NOT SIMPLIFIED: {result.reason}", "bold red"),
            Text(f"{target} contains the graph of {source} unchanged."),
        )
    parts: list[RenderableType] = [
        Text.assemble((str(target), "bold"), f"  simplified by {result.tool}, same inputs, outputs and numbers"),
        _table(result.before, result.after),
    ]
    if not changed_types(result.before, result.after):
        parts.insert(1, Text("The graph was already simple: no node was added or removed.", "yellow"))
    parts.extend(Text(f"Note: {note}.") for note in result.notes)
    return Group(*parts)


def _table(before: GraphCounts, after: GraphCounts) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("nodes", overflow="fold")
    for heading in ("before", "after", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, old, new in changed_types(before, after):
        table.add_row(Text(readable(name)), *_numbers(old, new))
    table.add_row("all nodes", *_numbers(before.total_nodes, after.total_nodes), style="bold")
    table.add_row("parameters", *_numbers(before.parameters, after.parameters))
    table.add_row("bytes", *_numbers(before.bytes, after.bytes))
    return table


def _numbers(before: int, after: int) -> tuple[str, str, str]:
    return f"{before:,}", f"{after:,}", f"{after - before:+,}" if after != before else "="


def _counts(counts: GraphCounts) -> dict[str, Any]:
    return {"nodes": dict(counts.nodes), "parameters": counts.parameters, "bytes": counts.bytes}
