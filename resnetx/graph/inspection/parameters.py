"""Weights: which constants of a graph are parameters, and which of them each node uses."""

from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

from resnetx.graph.inspection.macs import CONTRIB, domain_of, rule_of
from resnetx.graph.reading.tensor_data import elements, stored_bytes, type_name

# How many nodes are searched for the weights of a node: Identity, Transpose, DequantizeLinear and the like.
MAX_STEPS = 64
# Constants of these types are sizes, indices and texts, never weights.
NEVER_WEIGHTS = (TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING)
# The inputs that can be weights, if others are settings: scales, zero points, axes, bounds.
WEIGHT_PLACES: dict[tuple[str, str], tuple[int, ...]] = {
    ("", "QuantizeLinear"): (0,),
    ("", "DequantizeLinear"): (0,),
    (CONTRIB, "QuantizeLinear"): (0,),
    (CONTRIB, "DequantizeLinear"): (0,),
    ("", "DynamicQuantizeLinear"): (0,),
    ("", "QLinearConv"): (0, 3, 8),
    (CONTRIB, "QLinearConv"): (0, 3, 8),
    ("", "QLinearMatMul"): (0, 3),
    (CONTRIB, "QGemm"): (0, 3, 6),
    (CONTRIB, "QLinearAdd"): (0, 3),
    (CONTRIB, "QLinearMul"): (0, 3),
    (CONTRIB, "QLinearGlobalAveragePool"): (0,),
    (CONTRIB, "QLinearAveragePool"): (0,),
    (CONTRIB, "QLinearLeakyRelu"): (0,),
    (CONTRIB, "QLinearSigmoid"): (0,),
    (CONTRIB, "QLinearSoftmax"): (0,),
    (CONTRIB, "QLinearReduceMean"): (0,),
    (CONTRIB, "QLinearConcat"): (),
    ("", "ConvInteger"): (0, 1),
    ("", "MatMulInteger"): (0, 1),
    (CONTRIB, "MatMulIntegerToFloat"): (0, 1, 6),
    (CONTRIB, "DynamicQuantizeMatMul"): (0, 1, 4),
    (CONTRIB, "MatMulNBits"): (0, 1, 5),
    **{
        ("", name): (0,)
        for name in (
            *("Reshape", "Clip", "Pad", "Resize", "Upsample", "Slice", "Expand", "Tile", "Squeeze", "Unsqueeze"),
            *("Split", "TopK", "Gather", "GatherElements", "GatherND", "Dropout", "CumSum", "Trilu"),
            *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"),
        )
    },
    # Scale and bias are learned; the mean and the variance are not parameters.
    ("", "BatchNormalization"): (0, 1, 2),
    ("", "Range"): (),
    ("", "ConstantOfShape"): (),
    ("", "OneHot"): (),
    ("", "NonMaxSuppression"): (),
}
# A single number in arithmetic is a factor or an epsilon, not a weight.
ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Where", "Equal", "Greater", "Less", "Mod"})


@dataclass(frozen=True)
class Constant:
    """A constant tensor in the file; `stored` is its size in bytes."""

    name: str
    type: str
    shape: tuple[int, ...]
    elements: int
    stored: int
    is_weight: bool

    @classmethod
    def of(cls, name: str, tensor: TensorProto) -> "Constant":
        return cls(
            name,
            type_name(tensor.data_type),
            tuple(tensor.dims),
            elements(tensor),
            stored_bytes(tensor),
            tensor.data_type not in NEVER_WEIGHTS,
        )


@dataclass(frozen=True)
class Scope:
    """The constant names in a graph: constants, and outputs of nodes that compute from constants alone."""

    constants: ChainMap[str, Constant]
    folded: ChainMap[str, NodeProto]

    def is_constant(self, name: str) -> bool:
        return name in self.constants or name in self.folded


def scope_of(graph: GraphProto, outer: Scope | None = None) -> Scope:
    """The scope of a graph, including the scope of the graph around it."""
    own = {name: Constant.of(name, tensor) for name, tensor in constant_tensors(graph)}
    scope = (
        Scope(outer.constants.new_child(own), outer.folded.new_child()) if outer else Scope(ChainMap(own), ChainMap())
    )
    for node in graph.node:
        used = [name for name in node.input if name]
        if used and all(map(scope.is_constant, used)) and not any(_has_graph(a) for a in node.attribute):
            scope.folded.update(dict.fromkeys(filter(None, node.output), node))
    return scope


def constant_tensors(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Initializers, dense and sparse, and the values of Constant nodes."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for sparse in graph.sparse_initializer:
        yield sparse.values.name, sparse.values
    for node in graph.node:
        if node.op_type == "Constant" and domain_of(node) == "" and len(node.output) == 1:
            for attribute in node.attribute:
                value = constant_value(attribute)
                if value is not None:
                    yield node.output[0], value


def constant_value(attribute: AttributeProto) -> TensorProto | None:
    """The tensor in this attribute of a Constant node, or None."""
    match attribute.name:
        case "value" if attribute.HasField("t"):
            return attribute.t
        case "value_float":
            return TensorProto(data_type=TensorProto.FLOAT, float_data=[attribute.f])
        case "value_floats":
            floats = list(attribute.floats)
            return TensorProto(data_type=TensorProto.FLOAT, dims=[len(floats)], float_data=floats)
        case "value_int":
            return TensorProto(data_type=TensorProto.INT64, int64_data=[attribute.i])
        case "value_ints":
            ints = list(attribute.ints)
            return TensorProto(data_type=TensorProto.INT64, dims=[len(ints)], int64_data=ints)
        case _:
            return None


def direct_weights(node: NodeProto, scope: Scope) -> dict[str, Constant]:
    """The parameters that are direct inputs of a node."""
    places = WEIGHT_PLACES.get((domain_of(node), node.op_type), range(len(node.input)))
    found = {}
    for place in places:
        constant = scope.constants.get(node.input[place]) if place < len(node.input) else None
        if constant is None or not constant.is_weight:
            continue
        if constant.elements > 1 or node.op_type not in ARITHMETIC:
            found[constant.name] = constant
    return found


def weights_of(node: NodeProto, scope: Scope) -> dict[str, Constant]:
    """The parameters of a layer, including those that nodes such as Transpose prepare for it."""
    found: dict[str, Constant] = {}
    waiting, steps = [node], 0
    while waiting and steps < MAX_STEPS:
        current = waiting.pop()
        steps += 1
        found |= direct_weights(current, scope)
        places = WEIGHT_PLACES.get((domain_of(current), current.op_type), range(len(current.input)))
        names = (current.input[place] for place in places if place < len(current.input))
        waiting.extend(scope.folded[name] for name in names if name in scope.folded)
    return found


def is_quantized(node: NodeProto, producers: Mapping[str, NodeProto], scope: Scope) -> bool:
    """Whether a node multiplies integers: by its operator, or because both factors were just dequantized."""
    rule = rule_of(node)
    if rule is None:
        return False
    if rule.quantized:
        return True
    places = (rule.data, rule.weight)
    return all(place < len(node.input) and _dequantized(node.input[place], producers) for place in places)


def _dequantized(name: str, producers: Mapping[str, NodeProto]) -> bool:
    """Whether a tensor comes from DequantizeLinear, through nodes that only move elements."""
    for _ in range(MAX_STEPS):
        node = producers.get(name)
        if node is None or not node.input:
            return False
        if node.op_type == "DequantizeLinear":
            return True
        if node.op_type not in ("Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"):
            return False
        name = node.input[0]
    return False


def _has_graph(attribute: AttributeProto) -> bool:
    return attribute.HasField("g") or bool(attribute.graphs)
