"""The vocabulary in which faults are written: small edits of an ONNX graph and of its weights."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.verification.faults.array_changes import Change

Edit = Callable[[ModelProto], None]


def changed(*edits: Edit) -> Callable[[ModelProto], ModelProto]:
    """The edits as a function that leaves its argument as it is."""

    def apply(model: ModelProto) -> ModelProto:
        copied = ModelProto()
        copied.CopyFrom(model)
        # The shapes noted for interior tensors need not hold any more.
        del copied.graph.value_info[:]
        for edit in edits:
            edit(copied)
        return copied

    return apply


def node_named(model: ModelProto, name: str) -> NodeProto:
    node: NodeProto = next(node for node in model.graph.node if node.name == name)
    return node


def weight(model: ModelProto, name: str) -> np.ndarray:
    array: np.ndarray = numpy_helper.to_array(_initializer(model, name)).copy()
    return array


def set_weight(model: ModelProto, name: str, array: np.ndarray) -> None:
    tensor = _initializer(model, name)
    assert list(tensor.dims) == list(array.shape), name
    stored = numpy_helper.to_array(tensor).dtype
    tensor.CopyFrom(numpy_helper.from_array(np.array(array, stored, order="C"), name))


def weights(change: Change, *names: str) -> Edit:
    """Change the named weights; a name without an ending means that layer's kernel."""

    def edit(model: ModelProto) -> None:
        known = {tensor.name for tensor in model.graph.initializer}
        for name in names:
            full = name if name in known else f"{name}.weight"
            set_weight(model, full, change(weight(model, full)))

    return edit


def all_weights(change: Change) -> Edit:
    """Change the kernel of every convolution and of the classifier."""

    def edit(model: ModelProto) -> None:
        weights(change, *(node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm")))(model)

    return edit


def swap(first: str, second: str) -> Edit:
    def edit(model: ModelProto) -> None:
        for role in ("weight", "bias"):
            one, other = weight(model, f"{first}.{role}"), weight(model, f"{second}.{role}")
            set_weight(model, f"{first}.{role}", other)
            set_weight(model, f"{second}.{role}", one)

    return edit


def attributes(layer: str, **values: Any) -> Edit:
    def edit(model: ModelProto) -> None:
        node = node_named(model, layer)
        kept = [attribute for attribute in node.attribute if attribute.name not in values]
        del node.attribute[:]
        node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])

    return edit


def operator(layer: str, op_type: str, *, inputs: int | None = None, **values: Any) -> Edit:
    """Another operator in the layer's place, with its first `inputs` inputs."""

    def edit(model: ModelProto) -> None:
        node = node_named(model, layer)
        node.op_type = op_type
        del node.attribute[:]
        del node.input[len(node.input) if inputs is None else inputs :]
        attributes(layer, **values)(model)

    return edit


def rewire(layer: str, index: int, tensor: str) -> Edit:
    """Let the layer read another tensor."""

    def edit(model: ModelProto) -> None:
        node_named(model, layer).input[index] = tensor

    return edit


def remove(layer: str) -> Edit:
    """Take a node away: who read its tensor reads what it read."""

    def edit(model: ModelProto) -> None:
        node = node_named(model, layer)
        for other in model.graph.node:
            other.input[:] = [node.input[0] if name == node.output[0] else name for name in other.input]
        model.graph.node.remove(node)

    return edit


def after(layer: str, body: str, **constants: Any) -> Edit:
    """Compute the layer's tensor y from what it was, x, by statements in ONNX's text form."""

    def edit(model: ModelProto) -> None:
        node = node_named(model, layer)
        tensor = node.output[0]
        node.name, node.output[0] = f"{layer}.before", f"{tensor}.before"
        _insert(model, node, 1, _nodes(model, layer, body, constants, x=f"{tensor}.before", y=tensor))
        next(other for other in model.graph.node if tensor in other.output).name = layer

    return edit


def ahead(layer: str, body: str, *, index: int = 0, **constants: Any) -> Edit:
    """Compute what the layer alone reads, y, from what it read before, x."""

    def edit(model: ModelProto) -> None:
        node = node_named(model, layer)
        name = f"{layer}.extra{index}"
        _insert(model, node, 0, _nodes(model, name, body, constants, x=node.input[index], y=name))
        node.input[index] = name

    return edit


def _nodes(model: ModelProto, prefix: str, body: str, constants: dict[str, Any], *, x: str, y: str) -> list[NodeProto]:
    graph = onnx.parser.parse_graph(f"g (float x) => (float y) {{ {body} }}")
    names = {"x": x, "y": y, "": ""}
    for name, value in constants.items():
        names[name] = f"{prefix}.{name}"
        array = np.asarray(value)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        model.graph.initializer.append(numpy_helper.from_array(array, names[name]))
    for number, node in enumerate(graph.node):
        node.name = f"{prefix}.{node.op_type.lower()}{number}"
        node.input[:] = [names[name] for name in node.input]
        for name in node.output:
            names.setdefault(name, f"{prefix}.{name}")
        node.output[:] = [names[name] for name in node.output]
    return list(graph.node)


def _insert(model: ModelProto, node: NodeProto, offset: int, nodes: Sequence[NodeProto]) -> None:
    order = [other.name for other in model.graph.node]
    place = order.index(node.name) + offset
    for number, extra in enumerate(nodes):
        model.graph.node.insert(place + number, extra)


def _initializer(model: ModelProto, name: str) -> TensorProto:
    tensor: TensorProto = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    return tensor
