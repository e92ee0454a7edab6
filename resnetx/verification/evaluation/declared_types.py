"""The element types that ONNX declares for a node's outputs, from its operator's schema and its inputs' types."""

from collections.abc import Sequence
from functools import cache

import onnx
from onnx import TensorProto

from resnetx.verification.evaluation.call import Call
from resnetx.verification.evaluation.operators.quantization import quantized_type

_NAMED = {
    "tensor(float)": TensorProto.FLOAT,
    "tensor(double)": TensorProto.DOUBLE,
    "tensor(int64)": TensorProto.INT64,
    "tensor(int32)": TensorProto.INT32,
    "tensor(uint8)": TensorProto.UINT8,
    "tensor(bool)": TensorProto.BOOL,
}
# Nodes of ONNX Runtime whose output has not the type of their first input: the index of the input that has.
_LIKE = {"QLinearConcat": 1, "QLinearWhere": 1, "MatMulIntegerToFloat": 2, "DequantizeLinear": 1}


def declared_types(call: Call) -> tuple[int, ...]:
    """One for each output; 0 where nothing is known."""
    node, count = call.node, call.output_count
    special = _special(call)
    if special is not None:
        return (special,) * count
    if node.domain not in ("", "ai.onnx"):
        like = _LIKE.get(node.op_type, 0)
        return (call.type_of(like),) * count
    rules = _rules(node.op_type, call.opset)
    if rules is None:
        return (call.type_of(0),) * count
    fixed, sources, variadic = rules
    types = []
    for index in range(count):
        at = min(index, len(fixed) - 1) if variadic else index
        if at >= len(fixed):
            types.append(0)
            continue
        types.append(fixed[at] or next((call.type_of(each) for each in sources[at] if call.type_of(each)), 0))
    return tuple(types)


def _special(call: Call) -> int | None:
    """Where an attribute or another input decides."""
    name = call.node.op_type
    if name == "Cast":
        return call.integer("to", 0)
    if name == "QuantizeLinear":
        return quantized_type(call)
    if name == "DequantizeLinear":
        return call.integer("output_dtype", 0) or call.type_of(1)
    if name == "Constant":
        return _constant_type(call)
    if name == "ConstantOfShape":
        return call.attribute("value").t.data_type if call.has("value") else TensorProto.FLOAT
    if name == "EyeLike":
        return call.integer("dtype", 0) or call.type_of(0)
    if name == "QGemm":
        return call.type_of(8) if call.type_of(8) else call.type_of(1)
    return None


def _constant_type(call: Call) -> int:
    if call.has("value"):
        return call.attribute("value").t.data_type
    whole = call.has("value_int") or call.has("value_ints")
    return TensorProto.INT64 if whole else TensorProto.FLOAT


@cache
def _rules(name: str, opset: int) -> tuple[Sequence[int], Sequence[tuple[int, ...]], bool] | None:
    """For each output its fixed type, or 0 and the inputs that share its type."""
    try:
        schema = onnx.defs.get_schema(name, opset, "")
    except onnx.defs.SchemaError:
        return None
    variable = onnx.defs.OpSchema.FormalParameterOption.Variadic
    fixed, sources = [], []
    for output in schema.outputs:
        fixed.append(_NAMED.get(output.type_str, 0))
        same = [at for at, each in enumerate(schema.inputs) if each.type_str == output.type_str]
        if not fixed[-1] and not same:
            # A type of its own, of which it may have only one.
            allowed = next(
                (each.allowed_type_strs for each in schema.type_constraints if each.type_param_str == output.type_str),
                [],
            )
            fixed[-1] = _NAMED.get(allowed[0], 0) if len(allowed) == 1 else 0
        sources.append(tuple(same))
    variadic = bool(schema.outputs) and schema.outputs[-1].option == variable
    return fixed, sources, variadic
