"""Tensors as stored in a file: how many bytes their dimensions require, and whether the file has them."""

import math
from collections.abc import Iterator

from onnx import GraphProto, NodeProto, TensorProto

MAX_RANK = 64
MAX_ELEMENTS = 2**40

# Name, bits per element, and the field that contains the elements if they are not raw bytes.
_TYPES: dict[int, tuple[str, int, str]] = {
    TensorProto.FLOAT: ("float32", 32, "float_data"),
    TensorProto.DOUBLE: ("float64", 64, "double_data"),
    TensorProto.FLOAT16: ("float16", 16, "int32_data"),
    TensorProto.BFLOAT16: ("bfloat16", 16, "int32_data"),
    TensorProto.INT8: ("int8", 8, "int32_data"),
    TensorProto.UINT8: ("uint8", 8, "int32_data"),
    TensorProto.INT16: ("int16", 16, "int32_data"),
    TensorProto.UINT16: ("uint16", 16, "int32_data"),
    TensorProto.INT32: ("int32", 32, "int32_data"),
    TensorProto.UINT32: ("uint32", 32, "uint64_data"),
    TensorProto.INT64: ("int64", 64, "int64_data"),
    TensorProto.UINT64: ("uint64", 64, "uint64_data"),
    TensorProto.BOOL: ("bool", 8, "int32_data"),
    TensorProto.STRING: ("string", 0, "string_data"),
    TensorProto.COMPLEX64: ("complex64", 64, "float_data"),
    TensorProto.COMPLEX128: ("complex128", 128, "double_data"),
    # Numbers, because the oldest supported onnx does not define the newest types.
    **{
        number: (f"float8{form}", 8, "int32_data")
        for number, form in {17: "e4m3fn", 18: "e4m3fnuz", 19: "e5m2", 20: "e5m2fnuz", 24: "e8m0"}.items()
    },
    21: ("uint4", 4, "int32_data"),
    22: ("int4", 4, "int32_data"),
    23: ("float4e2m1", 4, "int32_data"),
    25: ("uint2", 2, "int32_data"),
    26: ("int2", 2, "int32_data"),
    27: ("float6e2m3", 6, "int32_data"),
    28: ("float6e3m2", 6, "int32_data"),
}
_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def type_name(data_type: int) -> str:
    return _TYPES[data_type][0] if data_type in _TYPES else f"type {data_type}"


def elements(tensor: TensorProto) -> int:
    return math.prod(tensor.dims)


def stored_bytes(tensor: TensorProto) -> int:
    """The bytes that the dimensions require; 0 for strings."""
    return (elements(tensor) * _TYPES[tensor.data_type][1] + 7) // 8


def tensors_of(graph: GraphProto) -> Iterator[TensorProto]:
    """The tensors of one graph, including those in its nodes' attributes, excluding those of subgraphs."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _attribute_tensors(node)


def _attribute_tensors(node: NodeProto) -> Iterator[TensorProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        for sparse in (*attribute.sparse_tensors, *((attribute.sparse_tensor,) if _has_sparse(attribute) else ())):
            yield from (sparse.values, sparse.indices)


def _has_sparse(attribute: object) -> bool:
    return bool(attribute.HasField("sparse_tensor"))  # type: ignore[attr-defined]


def form_problem(tensor: TensorProto) -> str | None:
    """What is wrong with a tensor's type or dimensions, or None."""
    if tensor.data_type not in _TYPES:
        return f"is of type {tensor.data_type}, which is unknown"
    if tensor.HasField("segment"):
        return "is stored in segments, which no runtime supports"
    if len(tensor.dims) > MAX_RANK:
        return f"has {len(tensor.dims)} dimensions, and the limit is {MAX_RANK}"
    if any(dim < 0 for dim in tensor.dims) or elements(tensor) > MAX_ELEMENTS:
        return f"has the invalid shape {list(tensor.dims)}"
    return None


def data_problem(tensor: TensorProto) -> str | None:
    """How the data and the dimensions differ, or None; `form_problem` must have found nothing."""
    name, bits, field = _TYPES[tensor.data_type]
    filled = [other for other in _FIELDS if len(getattr(tensor, other))]
    if tensor.HasField("raw_data"):
        found, needed, unit = len(tensor.raw_data), stored_bytes(tensor), "bytes"
        if filled or not bits:
            return "is stored twice" if filled else "holds text as raw bytes"
    else:
        if any(other != field for other in filled):
            return f"is of type {name} and stores its elements as {filled[0]}"
        found, needed, unit = len(getattr(tensor, field)), _entries(tensor, name, bits), "numbers"
    if found == needed:
        return None
    return f"is {name} of shape {list(tensor.dims)}, which takes {needed:,} {unit}, but the file has {found:,}"


def _entries(tensor: TensorProto, name: str, bits: int) -> int:
    count = elements(tensor)
    if name.startswith("complex"):
        return 2 * count
    # Four-bit and two-bit numbers are packed here, too; six-bit numbers are packed only as raw bytes.
    return (count * bits + 7) // 8 if 0 < bits <= 4 else count
