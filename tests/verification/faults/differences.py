"""Where a faulty file differs from its healthy one: the first tensor, and the weights, attributes and wiring."""

import functools

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.verification.faults.base import Base, Fault, healthy_model
from tests.verification.faults.looks import EPSILON, Batches, every_look, rms, session_of

# What a number of a type is worth: half a step of it, in parts of the largest of the tensor.
ROUNDING = {np.dtype(np.float32): 2.0**-24, np.dtype(np.float16): 2.0**-11}


def shown(model: ModelProto, names: list[str]) -> ModelProto:
    """The model with interior tensors put out as they are; casts make floats of the integers."""
    copied = ModelProto()
    copied.CopyFrom(model)
    own = {value.name for value in copied.graph.output} | {value.name for value in copied.graph.input}
    made = {name for node in copied.graph.node for name in node.output}
    for name in names:
        if name in made - own:
            copied.graph.node.append(helper.make_node("Cast", [name], [f"{name}#"], f"{name}#", to=TensorProto.FLOAT))
            copied.graph.output.append(helper.make_tensor_value_info(f"{name}#", TensorProto.FLOAT, None))
    return copied


def tensors(model: ModelProto, names: list[str], batches: Batches) -> dict[str, np.ndarray]:
    """What stands in the named tensors for all batches; a weight's is the same for each, and counted once."""
    session = session_of(shown(model, names))
    runs = [session.run({session.inputs[0].name: batch}) for batch in batches]
    found: dict[str, np.ndarray] = {}
    for name in names:
        parts = [run.get(f"{name}#", run.get(name)) for run in runs]
        if parts[0] is not None:
            found[name] = np.concatenate([np.atleast_1d(part) for part in parts if part is not None])
    return found


def look_of(fault: Fault) -> str:
    return "any image" if fault.needs == "structure" else fault.needs


@functools.cache
def healthy_tensors(base: Base, look: str) -> tuple[tuple[str, str, np.ndarray], ...]:
    """Each node with its tensor's name and what stands in it, in the order of the file."""
    model = healthy_model(base)
    nodes = {node.output[0]: node.name for node in model.graph.node}
    found = tensors(model, list(nodes), every_look(base)[look])
    return tuple((nodes[tensor], tensor, found[tensor]) for tensor in nodes)


def first_difference(fault: Fault, model: ModelProto) -> tuple[str, float] | None:
    """The first node of the healthy file whose tensor differs in its last bit, and by how many roundings."""
    healthy = healthy_tensors(fault.base, look_of(fault))
    run = tensors(model, [tensor for _, tensor, _ in healthy], every_look(fault.base)[look_of(fault)])
    for node, tensor, expected in healthy:
        found = run.get(tensor)
        if found is not None and not np.array_equal(found, expected, equal_nan=True):
            if found.shape != expected.shape:
                return node, float("inf")
            with np.errstate(over="ignore", invalid="ignore"):
                error, largest = found - expected, float(np.abs(expected).max()) or 1.0
                size = max(rms(error) / (rms(expected) or 1.0), float(np.abs(error).max()) / largest)
            return node, float(size / EPSILON) if np.isfinite(size) else float("inf")
    return None


def structural_difference(fault: Fault, model: ModelProto) -> float:
    """The largest change of a weight in roundings of its type; infinite where nodes, attributes or wiring differ."""
    healthy = healthy_model(fault.base)
    ours, theirs = (_constants(each) for each in (model, healthy))
    if _nodes(model) != _nodes(healthy):
        return float("inf")
    largest = 0.0
    for name, before in theirs.items():
        with np.errstate(over="ignore", invalid="ignore"):
            change = np.abs(ours[name].astype(np.float64) - before).max(initial=0.0)
        worth = ROUNDING.get(before.dtype, 0.5 / max(np.abs(before.astype(np.float64)).max(initial=0.0), 1.0))
        scale = np.abs(before.astype(np.float64)).max(initial=0.0) or 1.0
        largest = max(largest, float(change / (worth * scale)))
    return largest


def _constants(model: ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _nodes(model: ModelProto) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...], dict[str, object]]]:
    return [
        (node.name, node.op_type, tuple(node.input), tuple(node.output), _attributes(node)) for node in model.graph.node
    ]


def _attributes(node: NodeProto) -> dict[str, object]:
    return {attribute.name: AttributeProto.SerializeToString(attribute) for attribute in node.attribute}
