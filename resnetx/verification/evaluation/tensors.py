"""ONNX element types and the torch tensors that hold them: floats in the compute type, integers as they are."""

import numpy as np
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor

from resnetx.verification.evaluation.limits import refuse_large
from resnetx.verification.evaluation.rounding import SMALL_FLOATS
from resnetx.verification.evaluation.unsupported import UnsupportedGraph

FLOATS = frozenset((TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16, *SMALL_FLOATS))
UINT4, INT4, UINT2, INT2 = 21, 22, 25, 26
# torch computes little with unsigned types of more than eight bits: those are held in a wider one.
STORAGE: dict[int, torch.dtype] = {
    TensorProto.BOOL: torch.bool,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT16: torch.int16,
    TensorProto.UINT16: torch.int32,
    TensorProto.INT32: torch.int32,
    TensorProto.UINT32: torch.int64,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT64: torch.int64,
    UINT4: torch.uint8,
    INT4: torch.int8,
    UINT2: torch.uint8,
    INT2: torch.int8,
}
INTEGER_RANGES: dict[int, tuple[int, int]] = {
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT8: (0, 255),
    TensorProto.INT16: (-(2**15), 2**15 - 1),
    TensorProto.UINT16: (0, 2**16 - 1),
    TensorProto.INT32: (-(2**31), 2**31 - 1),
    TensorProto.UINT32: (0, 2**32 - 1),
    UINT4: (0, 15),
    INT4: (-8, 7),
    UINT2: (0, 3),
    INT2: (-2, 1),
}
# What is held in a wider type wraps like the type itself.
_NARROW = {TensorProto.UINT16: 2**16, TensorProto.UINT32: 2**32, UINT4: 2**4, UINT2: 2**2}
_NUMPY: dict[int, type[np.generic]] = {
    TensorProto.UINT16: np.uint16,
    TensorProto.UINT32: np.uint32,
    TensorProto.UINT64: np.uint64,
}


def type_name(element_type: int) -> str:
    return TensorProto.DataType.Name(element_type) if element_type in TensorProto.DataType.values() else "unknown"


def from_array(array: np.ndarray, element_type: int, dtype: torch.dtype) -> Tensor:
    """As a tensor of the compute type, or of the integer type that holds `element_type`."""
    if element_type in FLOATS:
        if array.dtype.kind != "f":
            array = array.astype(np.float32)
        wide = np.float64 if dtype == torch.float64 else np.float32
        return torch.from_numpy(np.array(array, wide, order="C"))
    if element_type not in STORAGE:
        raise UnsupportedGraph(f"a tensor of type {type_name(element_type)} can't be held")
    if array.dtype.kind not in "iub":  # the four-bit types of ml_dtypes
        array = array.astype(np.int8 if element_type in (INT4, INT2) else np.uint8)
    if array.dtype in (np.uint16, np.uint32, np.uint64):
        array = array.astype(np.int64)
    return torch.from_numpy(np.array(array, order="C")).to(STORAGE[element_type])


def from_proto(proto: TensorProto, dtype: torch.dtype) -> Tensor:
    """A tensor that the file holds. Data in other files must have been read before."""
    if proto.data_location == TensorProto.EXTERNAL:
        raise UnsupportedGraph(f"the data of {proto.name!r} lies in another file and was not loaded")
    if proto.data_type not in FLOATS and proto.data_type not in STORAGE:
        raise UnsupportedGraph(f"a tensor of type {type_name(proto.data_type)} can't be held")
    refuse_large(proto.dims)
    return from_array(numpy_helper.to_array(proto), proto.data_type, dtype)


def settle(tensor: Tensor, element_type: int, dtype: torch.dtype) -> Tensor:
    """An operator's result in the type that holds `element_type`, wrapped like it."""
    if element_type in FLOATS:
        return tensor.to(dtype)
    if element_type not in STORAGE:
        return tensor
    if element_type in _NARROW:
        return tensor.to(torch.int64).remainder(_NARROW[element_type]).to(STORAGE[element_type])
    if element_type in (INT4, INT2):
        half = 2 ** (3 if element_type == INT4 else 1)
        return (tensor.to(torch.int64) + half).remainder(2 * half).sub(half).to(torch.int8)
    return tensor.to(STORAGE[element_type])


def to_array(tensor: Tensor, element_type: int) -> np.ndarray:
    array: np.ndarray = tensor.detach().contiguous().numpy()
    return array.astype(_NUMPY[element_type]) if element_type in _NUMPY and not tensor.is_floating_point() else array
