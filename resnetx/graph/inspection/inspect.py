"""The contents of an ONNX file: boundary, nodes, parameters, multiply-accumulates, and the model card."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

from resnetx.base.text import readable
from resnetx.errors import GraphError
from resnetx.graph.counts import Dim, dimensions, graphs_of, required_inputs
from resnetx.graph.inspection.macs import LARGEST, Shape, domain_of, multiply_accumulates, rule_of
from resnetx.graph.inspection.parameters import Constant, Scope, direct_weights, is_quantized, scope_of, weights_of
from resnetx.graph.inspection.shapes import Shapes, infer_shapes
from resnetx.graph.inspection.untrusted_card import CardText, card_text, original_namer
from resnetx.graph.reading.tensor_data import type_name

SCHEMA = "resnetx.inspect/1"
PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp64"}


@dataclass(frozen=True, kw_only=True)
class ValueInfo:
    """An input or output; a dimension is a number, a name, or None if not specified."""

    name: str
    type: str
    shape: tuple[Dim, ...] | None


@dataclass(frozen=True, kw_only=True)
class LayerInfo:
    """A node that multiplies or has parameters; `macs` is for one image, None if the shapes are unknown.

    A parameter that several layers share is counted in each of them.
    """

    name: str
    op: str
    original_name: str | None
    output_shape: Shape | None
    macs: int | None
    parameters: int
    quantized: bool


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The statistics of an ONNX file.

    `parameters` counts shared weights once, and excludes scales and zero points of quantization and the statistics
    of BatchNorm. `macs` is for one image, and None if a layer's are unknown. `quantized_share` is the part of them
    whose two factors are integers. `batch` is the batch size that the file fixes, 1 if it is free.
    """

    opsets: Mapping[str, int]
    ir_version: int
    producer: str
    graph: str
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    nodes: Mapping[str, int]
    parameters: int
    parameter_bytes: Mapping[str, int]
    macs: int | None
    quantized_share: float | None
    batch: int
    layers: tuple[LayerInfo, ...]
    file_bytes: int | None = None
    card: Mapping[str, Any] | None = None
    parity: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        macs = "unknown" if self.macs is None else f"{self.macs:,}"
        counts = f"{sum(self.nodes.values()):,} nodes, {self.parameters:,} parameters"
        return f"<Inspection of {readable(self.graph, 60)}: {counts}, {macs} multiply-accumulates an image>"

    def to_json(self) -> dict[str, Any]:
        return {"schema": SCHEMA} | asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Inspection":
        if data.get("schema") != SCHEMA:
            raise GraphError(f"This inspection has schema {data.get('schema')!r}; this resnetx reads {SCHEMA}.")
        fields = {key: value for key, value in data.items() if key != "schema"}
        for key, kind, shape in (
            ("inputs", ValueInfo, "shape"),
            ("outputs", ValueInfo, "shape"),
            ("layers", LayerInfo, "output_shape"),
        ):
            fields[key] = tuple(kind(**item | {shape: _tuple(item[shape])}) for item in fields[key])
        return cls(**fields | {"notes": tuple(fields["notes"])})


def inspect_model(
    model: ModelProto, *, file_bytes: int | None = None, input_shape: Sequence[int] | None = None
) -> Inspection:
    """Compute the statistics of `model`, which `read_onnx` must have checked.

    A free batch counts as one image; `input_shape` sets the free dimensions of the first input.
    """
    shapes = infer_shapes(model, input_shape=input_shape)
    text = card_text(model)
    scopes = list(_scopes(model.graph))
    weights = _weights(scopes)
    layers = tuple(_layers(scopes, shapes, text))
    known = [layer.macs for layer in layers if layer.macs is not None]
    macs = sum(known) if len(known) == len(layers) and sum(known) <= LARGEST else None
    precisions: Counter[str] = Counter()
    for weight in weights:
        precisions[PRECISIONS.get(weight.type, weight.type)] += weight.stored
    return Inspection(
        opsets={entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        ir_version=model.ir_version,
        producer=" ".join(filter(None, (model.producer_name, model.producer_version))),
        graph=model.graph.name,
        inputs=tuple(map(_value, required_inputs(model))),
        outputs=tuple(map(_value, model.graph.output)),
        nodes=_node_counts(model.graph),
        parameters=sum(weight.elements for weight in weights),
        parameter_bytes=dict(sorted(precisions.items(), key=lambda item: (-item[1], item[0]))),
        macs=macs,
        quantized_share=sum(layer.macs or 0 for layer in layers if layer.quantized) / macs if macs else None,
        batch=shapes.batch,
        layers=layers,
        file_bytes=file_bytes,
        card=text.card,
        parity=text.parity,
        notes=tuple(filter(None, (*text.problems, shapes.problem))),
    )


def _scopes(graph: GraphProto) -> Iterator[tuple[GraphProto, Scope, bool]]:
    """A graph and its subgraphs, each with its scope and whether it is a subgraph."""
    waiting: list[tuple[GraphProto, Scope | None]] = [(graph, None)]
    while waiting:
        current, outer = waiting.pop()
        scope = scope_of(current, outer)
        yield current, scope, outer is not None
        for node in current.node:
            for attribute in node.attribute:
                inner = (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs)
                waiting.extend((one, scope) for one in inner)


def _weights(scopes: Iterable[tuple[GraphProto, Scope, bool]]) -> list[Constant]:
    """Every parameter that a node uses, once; subgraphs may use the same name for different tensors."""
    found: dict[int, Constant] = {}
    for graph, scope, _ in scopes:
        for node in graph.node:
            found.update((id(constant), constant) for constant in direct_weights(node, scope).values())
    return list(found.values())


def _layers(scopes: Iterable[tuple[GraphProto, Scope, bool]], shapes: Shapes, text: CardText) -> Iterator[LayerInfo]:
    original = original_namer(text.card)
    for graph, scope, inner in scopes:
        producers = {name: node for node in graph.node for name in node.output}
        for node in graph.node:
            if all(name in scope.folded for name in node.output):
                continue
            weights = weights_of(node, scope)
            if rule_of(node) is None and not weights:
                continue
            name = node.name or next(filter(None, node.output), node.op_type)
            # How often a branch or a loop runs, and with which shapes, is unknown.
            known: Mapping[str, Shape] = {} if inner else shapes.known
            inputs = [known.get(name) for name in node.input]
            output = known.get(next(iter(node.output), ""))
            yield LayerInfo(
                name=name,
                op=_operator(node),
                original_name=original(name),
                output_shape=output,
                macs=_per_image(multiply_accumulates(node, inputs, output), shapes.batch),
                parameters=sum(weight.elements for weight in weights.values()),
                quantized=is_quantized(node, producers, scope),
            )


def _per_image(macs: int | None, batch: int) -> int | None:
    # A count that is not a multiple of the batch does not depend on it.
    return macs if macs is None or macs % batch else macs // batch


def _node_counts(graph: GraphProto) -> dict[str, int]:
    counts = Counter(_operator(node) for inner in graphs_of(graph) for node in inner.node)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _operator(node: NodeProto) -> str:
    domain = domain_of(node)
    return f"{domain}.{node.op_type}" if domain else node.op_type


def _value(value: ValueInfoProto) -> ValueInfo:
    kind = value.type.WhichOneof("value") or "nothing"
    name = type_name(value.type.tensor_type.elem_type) if kind == "tensor_type" else kind.removesuffix("_type")
    return ValueInfo(name=value.name, type=name, shape=dimensions(value.type))


def _tuple(shape: Sequence[Any] | None) -> tuple[Any, ...] | None:
    return None if shape is None else tuple(shape)
