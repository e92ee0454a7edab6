"""Simplifies a file: read, rewritten, compared and written."""

from contextlib import suppress
from pathlib import Path

from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.base.targets import same_file
from resnetx.conversion.checked_simplify import simplify_checked
from resnetx.conversion.overwriting import require_target, whole_model
from resnetx.errors import GraphError
from resnetx.graph.card import read_card
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.graph.simplification.simplify import Simplification, serialize


def simplify_file(
    source: Path, target: Path, *, timeout_s: float = 120, force: bool = False, progress: OnProgress = ignore
) -> Simplification:
    """Write the simplified graph of `source` to `target`, which may be the same file; unchanged if anything differs."""
    steps = Steps(progress, 3)
    steps.begin(f"reading {source.name}")
    model = read_onnx(source)
    card, force = None, force or same_file(source, target)
    with suppress(GraphError):  # an unreadable card stays as it is
        card = read_card(model)
    require_target(target, card, force=force)
    steps.begin(f"simplifying {source.name}")
    result = simplify_checked(model, timeout_s=timeout_s, step=steps.begin)
    with whole_model(target, card, force=force) as temporary:
        temporary.write_bytes(serialize(result.model))
    return result
