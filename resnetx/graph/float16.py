"""Converts a float32 graph to float16, except for the layers that would overflow in it."""

from collections.abc import Collection, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from resnetx.base.loggers import silenced
from resnetx.base.precisions import EXPORT_PRECISIONS, ExportPrecision
from resnetx.base.telemetry import without_telemetry
from resnetx.errors import GraphError, UsageError

FLOAT16_MAX = 65504.0
# Other inputs than those that were tried may be larger.
MARGIN = 2.0
# Pixels are scaled and probabilities are summed in float32: this costs nothing, and float16 would round them twice.
KEPT_FLOAT32 = ("Softmax", "TopK")


def convert_precision(
    model: onnx.ModelProto,
    precision: ExportPrecision,
    *,
    keep: Collection[str] = (),
    keep_boundary: bool = True,
) -> onnx.ModelProto:
    """`model` with weights and inner tensors in `precision`; fp32 returns the model itself.

    The nodes named in `keep` stay in float32, as do inputs and outputs if `keep_boundary` is true.
    """
    if precision not in EXPORT_PRECISIONS:
        raise UsageError(f"There is no precision {precision!r} to export in; choose {' or '.join(EXPORT_PRECISIONS)}.")
    return model if precision == "fp32" else _float16(model, keep, keep_boundary)


def overflowing_nodes(model: onnx.ModelProto, largest: Mapping[str, float]) -> dict[str, str]:
    """The nodes that must stay in float32, and why: `largest` are the largest magnitudes of inner tensors.

    A tensor beyond float16 is written by one node and read by others, all of which must stay.
    """
    weights = {tensor.name: _largest(tensor) for tensor in model.graph.initializer}
    beyond = {name: size for name, size in largest.items() if not size * MARGIN <= FLOAT16_MAX}
    beyond |= {name: size for name, size in weights.items() if not size <= FLOAT16_MAX}
    found: dict[str, str] = {}
    for node in model.graph.node:
        name = next((name for name in (*node.output, *node.input) if name in beyond), None)
        if name is not None:
            what = "its weight" if name in weights else "its output" if name in node.output else "its input"
            found[node.name] = f"{what} {name} reaches {beyond[name]:.4g}"
    return found


def _largest(tensor: onnx.TensorProto) -> float:
    if tensor.data_type != onnx.TensorProto.FLOAT:
        return 0.0
    return float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0))


def _float16(model: onnx.ModelProto, keep: Collection[str], keep_boundary: bool) -> onnx.ModelProto:
    with without_telemetry():
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    kept_weights = {name for node in model.graph.node if node.name in keep for name in node.input}
    for tensor in model.graph.initializer:
        if tensor.name not in kept_weights and (largest := _largest(tensor)) > FLOAT16_MAX:
            raise GraphError(
                f"The model cannot be exported in fp16: {tensor.name} contains {largest:.4g}, and the largest float16 "
                f"is {FLOAT16_MAX:.0f}. Export it in fp32; resnetx convert keeps single layers in float32."
            )
    preprocessing = [node.name for node in model.graph.node if node.name.partition("_")[0] == "preprocess"]
    with silenced("onnxruntime.transformers.float16"):
        converted: onnx.ModelProto = convert_float_to_float16(
            model,
            keep_io_types=keep_boundary,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *KEPT_FLOAT32],
            node_block_list=[*preprocessing, *keep],
        )
    _join_float32(converted.graph)
    _sort(converted.graph)
    return converted


def _join_float32(graph: onnx.GraphProto) -> None:
    """Connect nodes in float32 directly: the converter casts the tensors between them to float16 and back."""
    # By name, because other casts may be from integers.
    narrowed = {node.output[0]: node.input[0] for node in graph.node if _narrows(node)}
    widened = {node.output[0]: node.input[0] for node in graph.node if _casts_to(node, onnx.TensorProto.FLOAT)}
    direct = {name: narrowed[source] for name, source in widened.items() if source in narrowed}
    inputs = {value.name for value in graph.input}
    # An output keeps its name: the tensor takes it.
    renamed = {
        direct.pop(value.name): value.name
        for value in graph.output
        if value.name in direct and direct[value.name] not in inputs
    }
    for node in [node for node in graph.node if node.op_type == "Cast" and node.output[0] in renamed.values()]:
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in (direct.get(name, name) for name in node.input)]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    while unused := _unused_casts(graph):
        for node in unused:
            graph.node.remove(node)


def _narrows(node: onnx.NodeProto) -> bool:
    """Whether this is a cast from float32 that the converter inserted."""
    return node.name.endswith("_cast_to_fp16_node") or node.name.startswith("graph_input_cast")


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(each.name == "to" and each.i == kind for each in node.attribute)


def _unused_casts(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    used = {value.name for value in graph.output} | {name for node in graph.node for name in node.input}
    used |= {name for node in graph.node for each in node.attribute for name in _read_inside(each)}
    return [node for node in graph.node if node.op_type == "Cast" and node.output[0] not in used]


def _read_inside(attribute: onnx.AttributeProto) -> set[str]:
    """What the subgraphs of a node read."""
    graphs = [attribute.g, *attribute.graphs]
    names = {value.name for graph in graphs for value in graph.output}
    for node in (node for graph in graphs for node in graph.node):
        names |= {*node.input, *(name for inner in node.attribute for name in _read_inside(inner))}
    return names


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
