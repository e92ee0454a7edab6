"""Matrix products by the sessions of ONNX Runtime and OpenVINO, whose kernels may be faster than PyTorch's."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from resnetx.base.precisions import Precision, SessionPrecision
from resnetx.runtime.catalog import open_runner

Product = Callable[[], object]
Array = np.ndarray | np.generic
# Threads that spin after a run would slow down the next measurement.
ONNXRUNTIME = {"session.intra_op.allow_spinning": "0"}


def session_products(precision: Precision, size: int, *, threads: int) -> dict[str, Callable[[], Product]]:
    """What prepares the product of two square matrices, by name; it fails where the precision is not supported.

    The second matrix is constant, as the weights of a network, so that it is packed when the session is opened.
    """
    makers: Mapping[Precision, Mapping[str, Callable[[], Product]]] = {
        "fp32": {
            "onnxruntime": lambda: _product("cpu", _floats(size), threads, ONNXRUNTIME),
            "openvino": lambda: _product("openvino", _floats(size), threads),
        },
        "bf16": {"openvino": lambda: _product("openvino", _floats(size), threads, precision="bf16")},
        "int8": {
            "onnxruntime": lambda: _product("cpu", _integers(size), threads, ONNXRUNTIME),
            "openvino": lambda: _product("openvino", _quantized(size), threads),
        },
    }
    return dict(makers[precision])


def _product(
    provider: str,
    model: onnx.ModelProto,
    threads: int,
    options: Mapping[str, str] | None = None,
    *,
    precision: SessionPrecision = "fp32",
) -> Product:
    data = model.SerializeToString()
    runner = open_runner(data, provider=provider, precision=precision, threads=threads, options=options)
    (info,) = runner.inputs
    numbers = np.random.default_rng(1).integers(0, 256, [int(size) for size in info.shape])
    return runner.bind({info.name: (numbers / 256 if info.dtype.kind == "f" else numbers).astype(info.dtype)})


def _floats(size: int) -> onnx.ModelProto:
    weights = np.random.default_rng(0).random((size, size), np.float32)
    return _model([helper.make_node("MatMul", ["x", "w"], ["y"])], size, np.float32, np.float32, {"w": weights})


def _integers(size: int) -> onnx.ModelProto:
    return _model(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])], size, np.uint8, np.int32, {"w": _weights(size)}
    )


def _quantized(size: int) -> onnx.ModelProto:
    """OpenVINO computes in integers behind a QuantizeLinear only: from integers as inputs it makes floats."""
    constants: dict[str, Array] = {
        "w": _weights(size),
        "scale": np.float32(0.01),
        "x_zero": np.uint8(0),
        "w_zero": np.int8(0),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "x_zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "x_zero"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "scale", "w_zero"], ["b"]),
        helper.make_node("MatMul", ["a", "b"], ["y"]),
    ]
    return _model(nodes, size, np.float32, np.float32, constants)


def _weights(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-127, 128, (size, size), np.int8)


def _model(
    nodes: Sequence[onnx.NodeProto],
    size: int,
    takes: type,
    gives: type,
    constants: Mapping[str, Array],
) -> onnx.ModelProto:
    kinds = {name: helper.np_dtype_to_tensor_dtype(np.dtype(kind)) for name, kind in (("x", takes), ("y", gives))}
    x, y = (helper.make_tensor_value_info(name, kind, [size, size]) for name, kind in kinds.items())
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "peak", [x], [y], weights)
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model
