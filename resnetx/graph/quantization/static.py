"""Puts QuantizeLinear and DequantizeLinear around the layers of a float graph, by ranges that were measured before."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import onnx

from resnetx.base.loggers import silenced
from resnetx.errors import GraphError
from resnetx.graph.quantization.presets import JOINS, LAYERS, Preset

Ranges = Mapping[str, tuple[float, float]]
# ONNX Runtime writes steps by channel from this version on.
LEAST_OPSET = 13
STEPS = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger")


def is_quantized(graph: onnx.GraphProto) -> bool:
    return any(node.op_type in STEPS for node in graph.node)


def quantizable(graph: onnx.GraphProto) -> list[str]:
    """The layers with constant weights, by name, in the graph's order."""
    constants = {tensor.name for tensor in graph.initializer}
    return [node.name for node in graph.node if node.op_type in LAYERS and node.input[1] in constants]


def quantized(
    model: onnx.ModelProto, ranges: Ranges, preset: Preset, *, exclude: Collection[str], reduce_range: bool
) -> onnx.ModelProto:
    """A copy of the model in INT8, but for the layers in `exclude`.

    `reduce_range`: weights of 7 bits, for processors whose sums of two products overflow 16 bits.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    chosen = _chosen(model.graph, preset, exclude)
    if not chosen & set(quantizable(model.graph)):
        raise GraphError("There is no layer to quantize: the file has no convolution or matrix product with weights.")
    data = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    options: dict[str, Any] = {
        "ActivationSymmetric": preset.signed,
        "WeightSymmetric": True,
        "ForceQuantizeNoInputCheck": True,
        # A last layer's scores in 256 steps would tie.
        "OpTypesToExcludeOutputQuantization": list(LAYERS) if preset.open_outputs else ["Gemm", "MatMul"],
        "QuantizeBias": not preset.signed,  # TensorRT adds biases in float
    }
    with silenced("root"):
        quantizer = QDQQuantizer(
            copy,
            True,
            reduce_range,
            QuantType.QInt8,
            QuantType.QInt8 if preset.signed else QuantType.QUInt8,
            TensorsData(CalibrationMethod.MinMax, data),
            sorted(chosen),
            [],
            sorted({*LAYERS, *preset.joins}),
            options,
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    result: onnx.ModelProto = quantizer.model.model
    return result


def _chosen(graph: onnx.GraphProto, preset: Preset, exclude: Collection[str]) -> set[str]:
    """The nodes to quantize: layers, and what joins them; not what prepares the images, nor what follows the scores."""
    constants = {tensor.name for tensor in graph.initializer}
    layers = set(quantizable(graph)) - set(exclude)
    behind: set[str] = set()
    chosen = set(layers)
    for node in graph.node:
        follows = any(name in behind for name in node.input)
        if node.name in layers or follows:
            behind.update(node.output)
        joins = node.op_type in preset.joins and node.name not in exclude
        # An operand that is a constant belongs to a normalization, whose few numbers stay in float.
        if joins and follows and not (node.op_type == "Add" and any(name in constants for name in node.input)):
            chosen.add(node.name)
    return chosen


def float_tensors(model: onnx.ModelProto) -> list[str]:
    """The tensors whose ranges are needed: what layers and joins read and write."""
    constants = {tensor.name for tensor in model.graph.initializer}
    names = dict.fromkeys(
        name
        for node in model.graph.node
        if node.op_type in (*LAYERS, *JOINS)
        for name in (*node.input, *node.output)
        if name and name not in constants
    )
    return list(names)
