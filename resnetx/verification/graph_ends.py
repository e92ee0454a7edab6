"""Recognizes what a classifier's graph ends in: logits, probabilities, or the best classes."""

from collections.abc import Mapping

from onnx import GraphProto, NodeProto

UNKNOWN = "something else"
# What changes the type or the layout of a result, and not its meaning.
TRANSPARENT = (
    *("Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout"),
    *("QuantizeLinear", "DequantizeLinear", "Transpose"),
)
LINEAR = ("Gemm", "FusedGemm", "MatMul", "FusedMatMul", "QLinearMatMul", "QGemm", "Add", "Conv", "FusedConv")
FORMS = {
    "Softmax": "probabilities",
    "QLinearSoftmax": "probabilities",
    "TopK": "top k",
    "LogSoftmax": "logarithms of probabilities",
    "Sigmoid": "sigmoids",
    "Hardmax": "a one-hot vector",
}


def output_form(graph: GraphProto, name: str) -> str:
    """What the tensor `name` holds, by the operator that makes it."""
    producers = {output: node for node in graph.node for output in node.output if output}
    node = _producer(name, producers)
    if node is None:
        return UNKNOWN
    if node.op_type in FORMS:
        return FORMS[node.op_type]
    if _is_softmax_spelled_out(node, producers):
        return "probabilities"
    return "logits" if node.op_type in LINEAR else UNKNOWN


def _producer(name: str, producers: Mapping[str, NodeProto]) -> NodeProto | None:
    """The node that computes a tensor, past what only changes its type or layout."""
    node = producers.get(name)
    for _ in range(len(producers)):
        if node is None or node.op_type not in TRANSPARENT or not node.input:
            return node
        node = producers.get(node.input[0])
    return None


def _is_softmax_spelled_out(node: NodeProto, producers: Mapping[str, NodeProto]) -> bool:
    """Exp over its sum, as a Div or as a product with a Reciprocal; or the Exp of a LogSoftmax."""
    if node.op_type == "Exp":
        inner = _producer(node.input[0], producers)
        return inner is not None and inner.op_type == "LogSoftmax"
    if node.op_type not in ("Div", "Mul") or len(node.input) != 2:
        return False
    sides = [_producer(name, producers) for name in node.input]
    if node.op_type == "Div":
        return _is_exp(sides[0]) and _is_sum(sides[1], sides[0], producers)
    for exp, inverse in (sides, sides[::-1]):
        if _is_exp(exp) and inverse is not None and inverse.op_type == "Reciprocal":
            return _is_sum(_producer(inverse.input[0], producers), exp, producers)
    return False


def _is_exp(node: NodeProto | None) -> bool:
    return node is not None and node.op_type == "Exp"


def _is_sum(node: NodeProto | None, exp: NodeProto | None, producers: Mapping[str, NodeProto]) -> bool:
    return node is not None and node.op_type == "ReduceSum" and _producer(node.input[0], producers) is exp
