"""Exposes inner tensors of a graph as outputs, and checks its structure."""

from dataclasses import dataclass

import onnx

from resnetx.errors import GraphError


def check_structure(model: onnx.ModelProto) -> None:
    """Reject a graph that the ONNX checker rejects, even if the runtime accepts it."""
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise GraphError(f"The resulting graph is not valid ONNX: {error}") from error


def expose(model: onnx.ModelProto, *tensors: str) -> onnx.ModelProto:
    """A copy of `model` with `tensors` as additional outputs; the runtime infers their types."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in present)
    return shown


@dataclass(frozen=True, kw_only=True)
class LayerNode:
    """A named node and its first output. `normalized` is true if a BatchNormalization follows it."""

    name: str
    op: str
    tensor: str
    normalized: bool


def layer_nodes(model: onnx.ModelProto) -> tuple[LayerNode, ...]:
    """Every named node whose output depends on the graph's inputs, in the graph's order."""
    constants = {tensor.name for tensor in model.graph.initializer}
    computed = {value.name for value in model.graph.input if value.name not in constants}
    for node in model.graph.node:
        # What a subgraph reads from outside is not among the inputs of its node.
        subgraph = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        if subgraph or any(name in computed for name in node.input):
            computed.update(node.output)
    normalized = {node.input[0] for node in model.graph.node if node.op_type == "BatchNormalization"}
    return tuple(
        LayerNode(name=node.name, op=node.op_type, tensor=node.output[0], normalized=node.output[0] in normalized)
        for node in model.graph.node
        if node.name and node.output and node.output[0] in computed and not _makes_bfloat16(node)
    )


def _makes_bfloat16(node: onnx.NodeProto) -> bool:
    """NumPy has no bfloat16, so the runtime cannot return these tensors."""
    return node.op_type == "Cast" and any(attribute.i == onnx.TensorProto.BFLOAT16 for attribute in node.attribute)


def unused_inputs(model: onnx.ModelProto) -> tuple[str, ...]:
    """The graph's inputs that none of its outputs depends on."""
    producers = {name: node for node in model.graph.node for name in node.output if name}
    needed: set[str] = set()
    rest = [output.name for output in model.graph.output]
    while rest:
        name = rest.pop()
        if name not in needed:
            needed.add(name)
            rest += _names_in(producers[name]) if name in producers else []
    constants = {tensor.name for tensor in model.graph.initializer}
    return tuple(value.name for value in model.graph.input if value.name not in needed | constants)


def _names_in(node: onnx.NodeProto) -> list[str]:
    """Every tensor that a node or its subgraphs name."""
    graphs = [graph for each in node.attribute for graph in (each.g, *each.graphs)]
    outputs = [value.name for graph in graphs for value in graph.output]
    return [*node.input, *outputs, *(name for graph in graphs for each in graph.node for name in _names_in(each))]


def softmax_input(model: onnx.ModelProto) -> str | None:
    """The tensor that the last Softmax of a graph normalizes: a classifier's logits."""
    return next((node.input[0] for node in reversed(model.graph.node) if node.op_type == "Softmax"), None)
