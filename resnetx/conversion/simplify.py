"""Simplifies a file: read, rewritten, compared and written."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.base.targets import same_file
from resnetx.conversion.checked_simplify import simplify_checked
from resnetx.conversion.overwriting import made_from, require_target, whole_model
from resnetx.errors import GraphError
from resnetx.graph.card import embed_source, read_card
from resnetx.graph.counts import count_graph
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.graph.simplification.simplify import Simplification, serialize


def simplify_file(
    source: Path, target: Path, *, timeout_s: float = 120, force: bool = False, progress: OnProgress = ignore
) -> Simplification:
    """Write the simplified graph of `source` to `target`, which may be the same file; unchanged if anything differs."""
    steps = Steps(progress, 3)
    steps.begin(f"reading {source.name}")
    file = read_onnx_file(source)
    card, force = None, force or same_file(source, target)
    with suppress(GraphError):  # an unreadable card stays as it is
        card = read_card(file.model)
    origin = made_from(file)
    require_target(target, card, source=origin, force=force)
    steps.begin(f"simplifying {source.name}")
    result = simplify_checked(file.model, timeout_s=timeout_s, step=steps.begin)
    if card is None:
        embed_source(result.model, origin)
        result = replace(result, after=count_graph(result.model))
    with whole_model(target, card, source=origin, force=force) as temporary:
        temporary.write_bytes(serialize(result.model))
    return result
