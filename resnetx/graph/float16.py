"""Converts a float32 graph to another precision; the types of inputs and outputs are unchanged."""

import numpy as np
import onnx
from onnx import numpy_helper

from resnetx.base.loggers import silenced
from resnetx.base.precisions import EXPORT_PRECISIONS, ExportPrecision
from resnetx.base.telemetry import without_telemetry
from resnetx.errors import GraphError, UsageError

FLOAT16_MAX = 65504.0
# Pixels are scaled and probabilities are summed in float32: this costs nothing, and float16 would round them twice.
KEPT_FLOAT32 = ("Softmax", "TopK")


def convert_precision(model: onnx.ModelProto, precision: ExportPrecision) -> onnx.ModelProto:
    """`model` with weights and inner tensors in `precision`; fp32 returns the model itself."""
    if precision not in EXPORT_PRECISIONS:
        raise UsageError(f"There is no precision {precision!r} to export in; choose {' or '.join(EXPORT_PRECISIONS)}.")
    return model if precision == "fp32" else _float16(model)


def _float16(model: onnx.ModelProto) -> onnx.ModelProto:
    with without_telemetry():
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            largest = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
            if largest > FLOAT16_MAX:
                raise GraphError(
                    f"The model cannot be exported in fp16: {tensor.name} contains {largest:.4g}, and the largest "
                    f"float16 is {FLOAT16_MAX:.0f}. Export it in fp32."
                )
    preprocessing = [node.name for node in model.graph.node if node.name.partition("_")[0] == "preprocess"]
    with silenced("onnxruntime.transformers.float16"):
        converted: onnx.ModelProto = convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *KEPT_FLOAT32],
            node_block_list=preprocessing,
        )
    _sort(converted.graph)
    return converted


def _sort(graph: onnx.GraphProto) -> None:
    """Sort the nodes topologically, as ONNX requires: the converter appends its casts at the end."""
    producers = {name: index for index, node in enumerate(graph.node) for name in node.output}
    ordered: dict[int, None] = {}
    for index in range(len(graph.node)):
        pending = [index]
        while pending:
            missing = [producers[name] for name in graph.node[pending[-1]].input if name in producers]
            missing = [producer for producer in missing if producer not in ordered]
            if missing:
                pending += missing
            else:
                ordered.setdefault(pending.pop())
    nodes = [graph.node[index] for index in ordered]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
