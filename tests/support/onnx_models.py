"""Hand-made ONNX models for tests of the runtime: small, and built without torch."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEATURES = 6


def small_classifier(*, batch: int | str = "batch", seed: int = 0, dtype: type[np.generic] = np.float32) -> bytes:
    """Convolution, ReLU, global average pooling and a classifier, with names that messages can cite."""
    random = np.random.default_rng(seed)

    def tensor(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape).astype(dtype), name)

    number = TensorProto.FLOAT16 if dtype is np.float16 else TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], name="stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="body", strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["c2"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], name="fc"),
    ]
    return serialize(
        nodes,
        inputs={"x": (number, [batch, 3, 16, 16])},
        outputs={"y": (number, [batch, FEATURES])},
        weights=[tensor("w1", 8, 3, 3, 3), tensor("w2", 8, 8, 3, 3), tensor("w3", 8, FEATURES), tensor("b3", FEATURES)],
    )


def quantized_convolution() -> bytes:
    """A convolution between quantize and dequantize nodes."""
    scale = numpy_helper.from_array(np.float32(0.05), "scale")
    zero = numpy_helper.from_array(np.uint8(128), "zero")
    weight_zero = numpy_helper.from_array(np.int8(0), "weight_zero")
    weight = numpy_helper.from_array(np.random.default_rng(0).integers(-127, 128, (4, 3, 3, 3), np.int8), "w")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "scale", "weight_zero"], ["wd"]),
        helper.make_node("Conv", ["d", "wd"], ["y"]),
    ]
    return serialize(
        nodes,
        inputs={"x": (TensorProto.FLOAT, [1, 3, 8, 8])},
        outputs={"y": (TensorProto.FLOAT, [1, 4, 6, 6])},
        weights=[scale, zero, weight_zero, weight],
    )


def convolution_beside(operator: str) -> bytes:
    """A convolution, and one node of `operator` (a matrix in, a number out) that is independent of it."""
    weight = numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], name="conv"),
        helper.make_node(operator, ["m"], ["d"], name="odd"),
    ]
    return serialize(
        nodes,
        inputs={"x": (TensorProto.FLOAT, [1, 3, 8, 8]), "m": (TensorProto.FLOAT, [2, 2])},
        outputs={"y": (TensorProto.FLOAT, [1, 4, 6, 6]), "d": (TensorProto.FLOAT, [])},
        weights=[weight],
    )


def constant() -> bytes:
    """A weight, and no input."""
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w")
    nodes = [helper.make_node("Relu", ["w"], ["y"], name="only")]
    return serialize(nodes, inputs={}, outputs={"y": (TensorProto.FLOAT, [3])}, weights=[weight])


def single(operator: str, shape: list[int], out: list[int]) -> bytes:
    """One node, without weights."""
    return serialize(
        [helper.make_node(operator, ["x"], ["y"], name="only")],
        inputs={"x": (TensorProto.FLOAT, shape)},
        outputs={"y": (TensorProto.FLOAT, out)},
        weights=[],
    )


def serialize(
    nodes: list[onnx.NodeProto],
    *,
    inputs: dict[str, tuple[int, list[int | str]]] | dict[str, tuple[int, list[int]]],
    outputs: dict[str, tuple[int, list[int | str]]] | dict[str, tuple[int, list[int]]],
    weights: list[onnx.TensorProto],
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
