"""Interior tensors of a graph, shown as outputs."""

import onnx


def expose(model: onnx.ModelProto, *tensors: str) -> onnx.ModelProto:
    """A copy of `model` with `tensors` as further outputs; the runtime finds out their types."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in present)
    return shown


def layer_tensors(model: onnx.ModelProto) -> dict[str, str]:
    """The first output of every named node, by the node's name, in the graph's order."""
    return {node.name: node.output[0] for node in model.graph.node if node.name and node.output and node.output[0]}


def softmax_input(model: onnx.ModelProto) -> str | None:
    """The tensor that the last Softmax of a graph normalizes: a classifier's logits."""
    return next((node.input[0] for node in reversed(model.graph.node) if node.op_type == "Softmax"), None)
