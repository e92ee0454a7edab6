"""A simpler graph that was checked against the original, or the unchanged graph and the reason."""

import importlib.metadata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]
from onnx import ModelProto

from resnetx.base.isolation import PYTHON, Limits, run_isolated
from resnetx.base.private_folder import private_folder
from resnetx.base.text import readable
from resnetx.errors import GraphError
from resnetx.graph.counts import GraphCounts as GraphCounts
from resnetx.graph.counts import boundary_change, count_graph, graphs_of, required_inputs, weight_bytes

CHILD: tuple[str, ...] = (*PYTHON, "resnetx.graph.simplification.onnxsim_worker")
MAX_BYTES = 2**31 - 1
# Measured on ResNet-50: onnxsim takes five times the size of the file. The base is for threads and small files.
MEMORY_BASE_MB = 2048
MEMORY_TIMES_SIZE = 10

Check = Callable[[Path, Path], str | None]


@dataclass(frozen=True, kw_only=True)
class Simplification:
    """`model` is the simplified graph, or the unchanged one if `applied` is false; `reason` says why."""

    model: ModelProto
    applied: bool
    reason: str | None
    before: GraphCounts
    after: GraphCounts
    tool: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        if not self.applied:
            return f"<Simplification: unchanged, {self.reason}>"
        return f"<Simplification: {self.before.total_nodes} -> {self.after.total_nodes} nodes>"


def simplify_model(
    model: ModelProto, *, timeout_s: float = 120, memory_mb: int | None = None, check: Check | None = None
) -> Simplification:
    """Simplify with onnxsim in a child process, and check its result.

    `check` gets the paths of the two files and returns what is wrong with the second, or None. `memory_mb` is the
    memory limit of the child, without its libraries.
    """
    tool = f"onnxsim {importlib.metadata.version('onnxsim')}"
    try:
        data = serialize(model)
    except GraphError:
        counts = count_graph(model, size=weight_bytes(model))
        reason = f"it takes {counts.bytes / 2**30:.1f} GiB, and onnxsim supports 2 GiB at most"
        return Simplification(model=model, applied=False, reason=reason, before=counts, after=counts, tool=tool)
    before = count_graph(model, size=len(data))
    try:
        with private_folder("simplify") as folder:
            result = _attempt(model, data, folder, timeout_s, memory_mb, check)
    except GraphError as error:
        result = f"the simplified graph cannot be written: {error}"
    except UnicodeError:
        result = "the graph contains names that are not UTF-8 text"
    except OSError as error:
        result = f"the temporary files could not be written: {error.strerror or error}"
    if isinstance(result, str):
        return Simplification(
            model=model, applied=False, reason=readable(result), before=before, after=before, tool=tool
        )
    simplified, size = result
    return Simplification(
        model=simplified,
        applied=True,
        reason=None,
        before=before,
        after=count_graph(simplified, size=size),
        tool=tool,
        notes=_notes(model, simplified),
    )


def serialize(model: ModelProto) -> bytes:
    """Serialize the complete model, deterministically."""
    try:
        data: bytes = model.SerializeToString(deterministic=True)
    except EncodeError as error:
        raise GraphError(
            f"The graph takes {weight_bytes(model) / 2**30:.1f} GiB with its external data, but one self-contained "
            "ONNX file has 2 GiB at most; keep this graph as it is, or reduce its precision first."
        ) from error
    return data


def _attempt(
    model: ModelProto, data: bytes, folder: Path, timeout_s: float, memory_mb: int | None, check: Check | None
) -> tuple[ModelProto, int] | str:
    """The simplified model and its size in bytes, or why there is none."""
    before, raw, after = folder / "before.onnx", folder / "raw.onnx", folder / "after.onnx"
    before.write_bytes(data)
    memory_mb = memory_mb or MEMORY_BASE_MB + MEMORY_TIMES_SIZE * len(data) // 2**20
    limits = Limits(seconds=timeout_s, memory_mb=memory_mb)
    problem = run_isolated((*CHILD, str(before), str(raw)), folder=folder, limits=limits)
    if problem:
        return f"onnxsim {problem}"
    simplified = _read(raw)
    if isinstance(simplified, str):
        return f"onnxsim {simplified}"
    changed = boundary_change(model, simplified)
    if changed:
        return f"onnxsim {changed}"
    restore_descriptions(model, simplified)
    after.write_bytes(serialize(simplified))
    try:
        onnx.checker.check_model(str(after))
    except (onnx.checker.ValidationError, RuntimeError) as error:
        return f"onnxsim wrote a graph that is not valid: {error}"
    wrong = check(before, after) if check else None
    return wrong or (simplified, after.stat().st_size)


def _read(path: Path) -> ModelProto | str:
    if not path.is_file():
        return "wrote no result"
    if not 0 < path.stat().st_size <= MAX_BYTES:
        return f"wrote a result of {path.stat().st_size} bytes"
    try:
        model = ModelProto()
        model.ParseFromString(path.read_bytes())
        return model
    except DecodeError:
        return "wrote a result that is not an ONNX file"


def restore_descriptions(before: ModelProto, after: ModelProto) -> None:
    """Restore in `after` everything apart from the computation that onnxsim drops, adds or rewrites."""
    for field in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        setattr(after, field, getattr(before, field))
    after.graph.name, after.graph.doc_string = before.graph.name, before.graph.doc_string
    _replace(after.metadata_props, before.metadata_props)
    _replace(after.graph.metadata_props, before.graph.metadata_props)
    # The boundary was compared already; the original also has its documentation and its names of dimensions.
    required = {value.name for value in required_inputs(before)}
    optional = [value for value in after.graph.input if value.name not in required]
    _replace(after.graph.input, [*required_inputs(before), *optional])
    _replace(after.graph.output, before.graph.output)
    _restore_nodes(before, after)


def _restore_nodes(before: ModelProto, after: ModelProto) -> None:
    """Restore the name of a node that computes the same tensor, and the metadata of a node with the same name."""
    originals = [node for graph in graphs_of(before.graph) for node in graph.node]
    names = Counter(node.name for node in originals)
    by_name = {node.name: node for node in originals if node.name and names[node.name] == 1}
    by_output = {name: node for node in originals for name in node.output if name}
    for graph in graphs_of(after.graph):
        for node in graph.node:
            same = by_output.get(next(iter(node.output), ""))
            if same is not None and same.name and (same.op_type == node.op_type or not node.name):
                node.name = same.name
            original = by_name.get(node.name)
            if original is not None and original.op_type == node.op_type:
                _replace(node.metadata_props, original.metadata_props)
                node.doc_string = original.doc_string


def _replace(target: Any, source: Iterable[Any]) -> None:
    """Fill a repeated field with copies of `source`."""
    messages = list(source)
    del target[:]
    target.extend(messages)


def _notes(before: ModelProto, after: ModelProto) -> tuple[str, ...]:
    gone = len(before.graph.input) - len(after.graph.input)
    if not gone:
        return ()
    # Harmless for most callers, because these weights have values; but a caller could have fed others.
    return (f"{gone} weights were listed among the inputs; they are no longer inputs",)
