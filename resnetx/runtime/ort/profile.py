"""A session that records the time of every kernel, in a trace of all runs that ONNX Runtime writes."""

import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto

from resnetx.base.private_folder import private_folder
from resnetx.base.validation import InvalidDataError, validated
from resnetx.errors import GraphError, UsageError
from resnetx.graph.inspection.macs import rule_of
from resnetx.graph.inspection.parameters import Scope, scope_of, weights_of
from resnetx.runtime.file_precision import parse_graph
from resnetx.runtime.numbered_nodes import numbers_in
from resnetx.runtime.ort.providers import ExecutionProvider
from resnetx.runtime.ort.session import Session, open_session
from resnetx.runtime.runner import Feeds, LayerTimes, Opening

RUN, KERNEL = "model_run", "_kernel_time"
# Their time includes that of the nodes in their subgraphs, which have events of their own.
CONTAINERS = frozenset({"If", "Loop", "Scan"})
BLOCKED_LAYOUT = "_nchwc"
# ONNX Runtime's names of element types: bytes of an element, and the precision that a kernel of such inputs has.
TYPES = {
    "float": (4, "fp32"),
    "float16": (2, "fp16"),
    "bfloat16": (2, "bf16"),
    "double": (8, "fp64"),
    "int8": (1, "int8"),
    "uint8": (1, "int8"),
    "int16": (2, "int16"),
    "uint16": (2, "int16"),
    "int32": (4, "int32"),
    "uint32": (4, "int32"),
    "int64": (8, "int64"),
    "uint64": (8, "int64"),
    "bool": (1, "bool"),
}


@dataclass(frozen=True, kw_only=True)
class KernelArguments:
    """What the trace says of a kernel; each tensor is a type with a shape."""

    op_name: str
    node_index: str
    input_type_shape: list[dict[str, list[int]]] = field(default_factory=list)
    output_type_shape: list[dict[str, list[int]]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Event:
    """A run or a kernel: when it began and how long it took, in microseconds."""

    name: str
    ts: int
    dur: int
    arguments: KernelArguments | None = None


class ProfiledSession(Session):
    """A session of a numbered graph with profiling on; `folder` is where the trace will be, and is removed at last."""

    def __init__(self, session: Session, graph: GraphProto, folder: ExitStack) -> None:
        super().__init__(session.native, session.facts)
        self._graph = graph
        self._folder = folder
        self._runs = self._warmup = 0

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        self._runs += 1
        return super().run(feeds)

    def start_profile(self) -> None:
        self._warmup = self._runs

    def layer_times(self) -> tuple[LayerTimes, ...]:
        path = Path(self.native.end_profiling())
        try:
            return layers_of(read_trace(path.read_text()), self._graph, warmup=self._warmup)
        except (OSError, ValueError) as error:
            raise GraphError(f"The profile that ONNX Runtime wrote cannot be read: {error}.") from error

    def close(self) -> None:
        super().close()
        self._folder.close()


def open_profiled(provider: ExecutionProvider, source: Path | bytes, opening: Opening) -> ProfiledSession:
    """A session that records the time of its layers, on a provider that runs each as a kernel of ONNX Runtime."""
    if not provider.times_layers:
        raise UsageError(f"The provider {provider.name} does not tell the time of its layers.")
    with ExitStack() as stack:
        folder = stack.enter_context(private_folder("trace"))
        session = open_session(provider, source, opening, trace=folder / "trace")
        return ProfiledSession(session, parse_graph(source), stack.pop_all())


def read_trace(text: str) -> list[Event]:
    """The runs and kernels of a trace, in order of their beginning."""
    events = json.loads(text)
    if not isinstance(events, list):
        raise InvalidDataError("it is not a list of events")
    found = [_event(event) for event in events if isinstance(event, dict) and _wanted(event)]
    return sorted(found, key=lambda event: (event.ts, -event.dur))


def _wanted(event: Mapping[str, Any]) -> bool:
    name = str(event.get("name"))
    return name == RUN if event.get("cat") == "Session" else event.get("cat") == "Node" and name.endswith(KERNEL)


def _event(event: Mapping[str, Any]) -> Event:
    facts = {key: event.get(key) for key in ("name", "ts", "dur")}
    if event["cat"] == "Session":
        return validated(Event, facts)
    known = event.get("args", {})
    arguments = {key: known[key] for key in KernelArguments.__dataclass_fields__ if key in known}
    return validated(Event, {**facts, "arguments": arguments})


def layers_of(events: Sequence[Event], graph: GraphProto, *, warmup: int) -> tuple[LayerTimes, ...]:
    """The kernels in the order of the first run, with the time of each in every run after the first `warmup`."""
    runs = [event for event in events if event.arguments is None]
    starts = [run.ts for run in runs]
    times: dict[tuple[str, str], list[float]] = {}
    first: dict[tuple[str, str], tuple[Event, KernelArguments]] = {}
    container_end = -1
    for event in events:
        if event.arguments is None or event.ts < container_end:
            continue
        number = bisect_right(starts, event.ts) - 1
        if number < 0 or event.ts > runs[number].ts + runs[number].dur:
            continue  # not of a run: a constant is computed while the session is opened
        if event.arguments.op_name in CONTAINERS:
            container_end = event.ts + event.dur
        key = (event.name, event.arguments.node_index)
        first.setdefault(key, (event, event.arguments))
        times.setdefault(key, [0.0] * len(runs))[number] += event.dur / 1e3
    scope = scope_of(graph)
    return tuple(_layer(*first[key], times[key][warmup:], graph, scope) for key in first)


def _layer(
    event: Event, arguments: KernelArguments, times_ms: Sequence[float], graph: GraphProto, scope: Scope
) -> LayerTimes:
    name, tensors = event.name.removesuffix(KERNEL), arguments.input_type_shape
    nodes = tuple(number for number in numbers_in(name) if number < len(graph.node))
    types = [next(iter(tensor), "") for tensor in tensors]
    moved_bytes = _bytes([*tensors, *arguments.output_type_shape])
    packed_bytes = sum(_packed_bytes(graph.node[number], tensors, scope) for number in nodes)
    return LayerTimes(
        name=name,
        nodes=nodes,
        operator=arguments.op_name,
        kernel=f"{arguments.op_name} nchwc" if BLOCKED_LAYOUT in name else arguments.op_name,
        precision=TYPES.get(types[0], (0, types[0]))[1] if types else "",
        moved_bytes=None if moved_bytes is None else moved_bytes + packed_bytes,
        times_ms=tuple(times_ms),
    )


def _packed_bytes(node: NodeProto, inputs: Sequence[Mapping[str, Sequence[int]]], scope: Scope) -> int:
    """The bytes of the weight of a node that multiplies, if the trace leaves it out: a kernel that repacked it does
    not have it as an input any more."""
    weights = weights_of(node, scope).values() if rule_of(node) else ()
    weight = max(weights, key=lambda each: each.elements, default=None)
    if weight is None:
        return 0
    others = [shape for tensor in inputs[1:] for shape in tensor.values()]
    there = any(len(shape) == len(weight.shape) and math.prod(shape) >= weight.elements for shape in others)
    return 0 if there else weight.stored


def _bytes(tensors: Iterable[Mapping[str, Sequence[int]]]) -> int | None:
    sizes = [(TYPES.get(kind), shape) for tensor in tensors for kind, shape in tensor.items()]
    if not sizes or any(known is None or min(shape, default=0) < 0 for known, shape in sizes):
        return None
    return sum(known[0] * math.prod(shape) for known, shape in sizes if known is not None)
