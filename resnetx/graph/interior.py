"""Interior tensors of a graph, shown as outputs."""

import onnx


def expose(model: onnx.ModelProto, tensor: str, data_type: int = onnx.TensorProto.FLOAT) -> onnx.ModelProto:
    """A copy of `model` with `tensor` as its first output."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    outputs = list(shown.graph.output)
    del shown.graph.output[:]
    shown.graph.output.append(onnx.helper.make_tensor_value_info(tensor, data_type, None))
    shown.graph.output.extend(output for output in outputs if output.name != tensor)
    return shown


def softmax_input(model: onnx.ModelProto) -> str | None:
    """The tensor that the last Softmax of a graph normalizes: a classifier's logits."""
    return next((node.input[0] for node in reversed(model.graph.node) if node.op_type == "Softmax"), None)
