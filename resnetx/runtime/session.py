"""A session: one ONNX file open on one provider that is proved to be the one that runs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from resnetx.errors import GraphError, RuntimeUnavailableError

NUMPY_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(uint32)": np.uint32,
    "tensor(int32)": np.int32,
    "tensor(uint64)": np.uint64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
SILENT = 4


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: its name, numpy type and dimensions (a name where a dimension is free)."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]


class Session:
    """Arrays in, arrays out, by name."""

    def __init__(self, native: ort.InferenceSession) -> None:
        self.native = native
        self.inputs = tuple(_tensor_info(node) for node in native.get_inputs())
        self.outputs = tuple(_tensor_info(node) for node in native.get_outputs())

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [output.name for output in self.outputs]
        try:
            return dict(zip(names, self.native.run(names, dict(feeds)), strict=True))
        except Exception as error:  # the runtime raises its own types, which share no base below Exception
            raise GraphError(f"ONNX Runtime could not run the model: {_first_line(error)}") from error


def open_session(model: Path | bytes, *, threads: int | None = None) -> Session:
    """Open a file, or a serialized model, on ONNX Runtime's CPU provider."""
    options = ort.SessionOptions()
    options.log_severity_level = SILENT
    if threads:
        options.intra_op_num_threads = threads
    source: str | bytes = model if isinstance(model, bytes) else str(model)
    try:
        native = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:
        raise GraphError(f"ONNX Runtime could not load the model: {_first_line(error)}") from error
    if native.get_providers() != ["CPUExecutionProvider"]:
        raise RuntimeUnavailableError(f"The CPU provider was asked for, and {native.get_providers()} runs.")
    return Session(native)


def newest_opset() -> int:
    """The newest opset that the installed runtime loads: asked of it with a one-node model, newest first."""
    from onnx import TensorProto, defs, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", value[:1], value[1:])
    for opset in range(defs.onnx_opset_version(), 0, -1):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        try:
            open_session(model.SerializeToString())
        except GraphError:
            continue
        return opset
    raise RuntimeUnavailableError("ONNX Runtime loads no opset at all; reinstall it.")


def _tensor_info(node: Any) -> TensorInfo:
    dtype = NUMPY_TYPES.get(node.type)
    if dtype is None:
        raise GraphError(f"The tensor {node.name!r} has the type {node.type}, which resnetx cannot feed or read.")
    # A free dimension without a name gets one of its own, so that no two are taken for the same.
    shape = tuple(
        size if isinstance(size, int | str) else f"{node.name}_dim{axis}" for axis, size in enumerate(node.shape)
    )
    return TensorInfo(node.name, np.dtype(dtype), shape)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
