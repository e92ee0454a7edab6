"""A float32 graph in another precision, its inputs and outputs unchanged."""

import logging

import numpy as np
import onnx
from onnx import numpy_helper

from resnetx.base.vocabulary import PRECISIONS, Precision
from resnetx.errors import GraphError, UsageError

FLOAT16_MAX = 65504.0
# Pixels are scaled and probabilities are summed in float32: they cost nothing, and float16 would round them twice.
KEPT_FLOAT32 = ("Softmax", "TopK")


def convert_precision(model: onnx.ModelProto, precision: Precision) -> onnx.ModelProto:
    """`model` with weights and interior tensors in `precision`; fp32 is the model itself."""
    if precision not in PRECISIONS:
        raise UsageError(f"There is no precision {precision!r} to export in; choose {' or '.join(PRECISIONS)}.")
    return model if precision == "fp32" else _float16(model)


def _float16(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            largest = float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))
            if largest > FLOAT16_MAX:
                raise GraphError(
                    f"The model cannot be exported in fp16: {tensor.name} holds {largest:.4g}, and float16 ends at "
                    f"{FLOAT16_MAX:.0f}. Export it in fp32."
                )
    preprocessing = [node.name for node in model.graph.node if node.name.partition("_")[0] == "preprocess"]
    logging.getLogger("onnxruntime.transformers.float16").setLevel(logging.ERROR)
    converted: onnx.ModelProto = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *KEPT_FLOAT32],
        node_block_list=preprocessing,
    )
    _sort(converted.graph)
    return converted


def _sort(graph: onnx.GraphProto) -> None:
    """Every node behind those that make its inputs, as the format demands: the converter puts its casts last."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output}
    ordered: dict[int, None] = {}
    for index in range(len(graph.node)):
        pending = [index]
        while pending:
            missing = [makers[name] for name in graph.node[pending[-1]].input if name in makers]
            missing = [maker for maker in missing if maker not in ordered]
            if missing:
                pending += missing
            else:
                ordered.setdefault(pending.pop())
    nodes = [graph.node[index] for index in ordered]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
