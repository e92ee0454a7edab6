"""The inputs that a file declares, their sizes, and which of these is the batch."""

import numpy as np
import onnx

from resnetx.base.text import readable
from resnetx.errors import GraphError
from resnetx.runtime.runner import TensorInfo


def real_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that must be fed: old files list weights among them."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def batch_name(graph: onnx.GraphProto) -> str | None:
    """The name of the first input's batch dimension, if it is free and no other dimension of this input has it."""
    inputs = real_inputs(graph)
    names = [dim.dim_param for dim in inputs[0].type.tensor_type.shape.dim] if inputs else []
    return names[0] if names and names[0] and names.count(names[0]) == 1 else None


def dimension(value: onnx.ValueInfoProto, axis: int) -> int | str:
    """A size, or the name of a free one: without a name of its own it gets one, so that no two are taken for equal."""
    dims = value.type.tensor_type.shape.dim
    found = dims[axis] if axis < len(dims) else onnx.TensorShapeProto.Dimension()
    return found.dim_value if found.HasField("dim_value") else found.dim_param or f"{value.name}_dim{axis}"


def declared_tensor(value: onnx.ValueInfoProto) -> TensorInfo:
    """An input or output as the file declares it, for a provider that does not read the file."""
    kind = value.type.tensor_type
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    except KeyError as error:
        raise GraphError(f"The tensor {readable(value.name)!r} has a type that resnetx cannot feed or read.") from error
    return TensorInfo(value.name, dtype, tuple(dimension(value, axis) for axis in range(len(kind.shape.dim))))
