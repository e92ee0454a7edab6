"""Constants of an ONNX file: read from its tensors, and computed from each other as a runtime would."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, numpy_helper

from resnetx.errors import GraphError
from resnetx.verification.structure.builder import Unknown
from resnetx.verification.structure.folding import coarser, reshaped, transposed
from resnetx.verification.structure.parameters import Parameter, constant

STORAGES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
}
# What may be computed from the shape of a tensor and still be a shape.
OF_SHAPES = frozenset(
    (
        "Gather",
        "Concat",
        "Unsqueeze",
        "Squeeze",
        "Slice",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Cast",
        "Identity",
        "Reshape",
    )
)
# What is computed by evaluating the node: its result is no larger than its inputs together.
EVALUATED = OF_SHAPES | {
    "ConstantOfShape",
    "Sqrt",
    "Neg",
    "Reciprocal",
    "Pow",
    "Exp",
    "Abs",
    "Transpose",
    "Flatten",
    "Split",
}
MAX_EVALUATED = 2**17
# The rounding of a float32 computation on constants.
COMPUTED = 2.0**-22


def from_tensor(tensor: TensorProto, name: str) -> Parameter:
    """An initializer or the value of a Constant, decoded whenever it is read."""
    if tensor.data_location == TensorProto.EXTERNAL:
        raise GraphError(
            f"The numbers of {name or 'a tensor'} are in another file and were not loaded, so the weights can't be "
            "compared. Load the model with its external data."
        )
    shape = tuple(tensor.dims)
    storage = STORAGES.get(tensor.data_type, TensorProto.DataType.Name(tensor.data_type).lower())
    return Parameter(name=name, shape=shape, read=lambda: numpy_helper.to_array(tensor), storage=storage)


def is_float(parameter: Parameter) -> bool:
    return parameter.storage in ("float32", "float16", "bfloat16") or parameter.step is not None


def integers(parameter: Parameter) -> tuple[int, ...]:
    return tuple(int(number) for number in parameter.read().reshape(-1))


def fold(node: NodeProto, operands: Sequence[Parameter | None], attributes: Mapping[str, object]) -> list[Parameter]:
    """The outputs of a node all of whose inputs are constants."""
    first = operands[0] if operands else None
    if first is None:
        raise Unknown
    given = [operand for operand in operands if operand is not None]
    from_shape = any(operand.from_shape for operand in given)
    if from_shape and node.op_type not in OF_SHAPES:
        raise Unknown
    if node.op_type == "Identity":
        return [first]
    if node.op_type == "DequantizeLinear":
        return [dequantized(operands, attributes)]
    if node.op_type == "QuantizeLinear":
        return [_quantized(operands, attributes)]
    if node.op_type == "Cast" and is_float(first):
        return [_cast(first, attributes)]
    if node.op_type == "Transpose":
        perm = attributes.get("perm", tuple(range(len(first.shape)))[::-1])
        return [transposed(first, tuple(perm))]  # type: ignore[arg-type]
    if node.op_type == "Reshape" and operands[1] is not None and not from_shape:
        return [reshaped(first, resolved(integers(operands[1]), first.shape, bool(attributes.get("allowzero"))))]
    if node.op_type == "ConstantOfShape" and math.prod(integers(first)) > MAX_EVALUATED:
        raise Unknown
    return _evaluated(node, given, from_shape)


def resolved(target: Sequence[int], shape: Sequence[int], allow_zero: bool) -> tuple[int, ...]:
    """A Reshape's target with its 0 (as it was) and -1 (what is left) replaced."""
    lengths = [shape[axis] if length == 0 and not allow_zero else length for axis, length in enumerate(target)]
    if lengths.count(-1) > 1:
        raise Unknown
    if -1 in lengths:
        rest = math.prod(length for length in lengths if length != -1)
        lengths[lengths.index(-1)] = math.prod(shape) // rest if rest else 0
    if math.prod(lengths) != math.prod(shape):
        raise Unknown
    return tuple(lengths)


def _cast(parameter: Parameter, attributes: Mapping[str, object]) -> Parameter:
    """A float constant in another float type: it keeps the coarsest format that it has been in."""
    to = int(attributes["to"])  # type: ignore[call-overload]
    if to not in STORAGES:
        raise Unknown
    dtype = onnx.helper.tensor_dtype_to_np_dtype(to)
    if parameter.factor is not None or parameter.step is not None:
        return replace(parameter, storage=coarser(parameter.storage, STORAGES[to]))
    return replace(
        parameter, read=lambda: parameter.read().astype(dtype), storage=coarser(parameter.storage, STORAGES[to])
    )


def along(parameter: Parameter, rank: int, axis: int) -> np.ndarray:
    """One number, or one for each place on `axis`, in a form that broadcasts."""
    array = parameter.read().astype(np.float64)
    if array.size == 1:
        return array.reshape((1,) * rank)
    if array.ndim != 1 or not rank:
        raise Unknown
    line = [1] * rank
    line[axis % rank] = array.size
    return array.reshape(line)


def dequantized(operands: Sequence[Parameter | None], attributes: Mapping[str, object]) -> Parameter:
    """(q - zero) * scale; the scale is the step in which the numbers are stored."""
    quantized, scale = operands[0], operands[1]
    zero = operands[2] if len(operands) > 2 else None
    if quantized is None or scale is None or attributes.get("block_size"):
        raise Unknown
    rank, axis = len(quantized.shape), int(attributes.get("axis", 1))  # type: ignore[call-overload]
    steps = along(scale, rank, axis)
    offset = 0.0 if zero is None else along(zero, rank, axis)
    step = np.abs(steps) if rank else np.abs(steps).reshape(())
    return replace(
        quantized,
        read=lambda: (quantized.read().astype(np.float64) - offset) * (steps if rank else steps.reshape(())),
        step=step,
    )


def _quantized(operands: Sequence[Parameter | None], attributes: Mapping[str, object]) -> Parameter:
    """A float weight that the file quantizes itself."""
    first, scale = operands[0], operands[1]
    zero = operands[2] if len(operands) > 2 else None
    if first is None or scale is None or attributes.get("block_size"):
        raise Unknown
    rank, axis = len(first.shape), int(attributes.get("axis", 1))  # type: ignore[call-overload]
    steps = along(scale, rank, axis)
    offset = 0.0 if zero is None else along(zero, rank, axis)
    dtype = np.dtype(np.uint8) if zero is None else zero.read().dtype
    if dtype.kind not in "iu":
        raise Unknown
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return Parameter(
        name=first.name,
        shape=first.shape,
        read=lambda: np.clip(np.rint(first.read().astype(np.float64) / steps) + offset, low, high),
        storage=dtype.name,
    )


def _evaluated(node: NodeProto, operands: Sequence[Parameter], from_shape: bool) -> list[Parameter]:
    """By ONNX's own evaluator, for operators whose result is no larger than their inputs."""
    from onnx.reference import ReferenceEvaluator

    if node.op_type not in EVALUATED or node.domain not in ("", "ai.onnx"):
        raise Unknown
    if sum(math.prod(operand.shape) for operand in operands) > MAX_EVALUATED:
        raise Unknown
    names = [name for name in node.input if name]
    feeds = {name: _as_stored(operand) for name, operand in zip(names, operands, strict=True)}
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(node).run(None, feeds)
    except Exception as error:  # an invalid node fails in whatever way its evaluator does
        raise Unknown from error
    name, storage = operands[0].name, coarser(*(operand.storage for operand in operands))
    made = []
    for result in results:
        array = np.asarray(result)
        if array.dtype.kind != "f":
            made.append(constant(name, array, storage=array.dtype.name, from_shape=from_shape))
        else:
            rounding = np.abs(array.astype(np.float64)) * COMPUTED
            made.append(constant(name, array, storage=storage, error=rounding, from_shape=from_shape))
    return made


def _as_stored(parameter: Parameter) -> np.ndarray:
    if parameter.factor is None:
        array = parameter.read()
        return array.astype(np.float32) if array.dtype == np.float64 and parameter.storage == "float32" else array
    return np.asarray(parameter.value(), np.float32)
