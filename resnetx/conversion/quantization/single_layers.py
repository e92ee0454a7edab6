"""Single layers of an INT8 file, timed with their weights stored in two ways, to choose the faster one of each."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import numpy as np
import onnx
from onnx import helper

from resnetx.graph.quantization.shifted_weights import shiftable, with_shifted_weights
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import Runner

ROUNDS = 15
# What is gained must be more than timing errs.
WORTH = 0.9
Medians = Callable[[Sequence[Runner], np.ndarray], list[float]]


def interleaved_ms(runners: Sequence[Runner], feed: np.ndarray) -> list[float]:
    """The median time of a run of each, in turns."""
    times: list[list[float]] = [[] for _ in runners]
    for _ in range(ROUNDS):
        for runner, taken in zip(runners, times, strict=True):
            (info,) = runner.inputs
            begin = time.perf_counter()
            runner.run({info.name: feed})
            taken.append(1e3 * (time.perf_counter() - begin))
    return [statistics.median(taken) for taken in times]


def faster_shifted(model: onnx.ModelProto, exact: onnx.ModelProto, *, medians: Medians = interleaved_ms) -> list[str]:
    """The layers of an INT8 file that run faster with shifted weights; `exact` is the float file, with its shapes."""
    found = []
    for name, layer, feed in _single_layers(model, exact):
        variants = [open_runner(each.SerializeToString()) for each in (layer, with_shifted_weights(layer, [name]))]
        with closing(variants[0]), closing(variants[1]):
            as_it_is, shifted = medians(variants, feed)
        if shifted < WORTH * as_it_is:
            found.append(name)
    return found


def _single_layers(model: onnx.ModelProto, exact: onnx.ModelProto) -> Iterator[tuple[str, onnx.ModelProto, np.ndarray]]:
    """Each layer from the integers that it reads to those that it writes, as a model, and one sample for it.

    A layer whose output stays in float is left out, and so is one with an unknown shape.
    """
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*exact.graph.value_info, *exact.graph.input)}
    read = {node.name: shapes.get(node.input[0], ()) for node in exact.graph.node}
    producers = {name: node for node in model.graph.node for name in node.output}
    quantizers = {node.input[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    names = set(shiftable(model.graph))
    for node in (each for each in model.graph.node if each.name in names):
        steps = [producers[name] for name in node.input if name in producers]
        after = quantizers.get(node.output[0])
        sizes = [dim.dim_value for dim in read[node.name]][1:]
        if steps and steps[0].op_type == "DequantizeLinear" and after is not None and all(sizes) and sizes:
            feed = np.random.default_rng(0).integers(0, 256, (1, *sizes), np.uint8)
            yield node.name, _model(model, [*steps, node, after], steps[0].input[0], after.output[0]), feed


def _model(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], reads: str, writes: str) -> onnx.ModelProto:
    used = {name for node in nodes for name in node.input}
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in (reads, writes)]
    constants = [tensor for tensor in model.graph.initializer if tensor.name in used]
    graph = helper.make_graph(nodes, "layer", [ends[0]], [ends[1]], constants)
    single: onnx.ModelProto = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return single
