"""Measures what a file makes of its pixels before the first layer, and compares it with the card's preprocessing."""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, helper
from onnx.reference import ReferenceEvaluator

from resnetx.base.text import readable
from resnetx.graph.stored_weights import is_layer
from resnetx.model.preprocessing import Preprocessing

# Elementwise arithmetic and changes of layout, without loops and without anything that a stranger could make large.
ARITHMETIC = (
    *("Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Pow", "Sqrt", "Reciprocal", "Relu", "Clip", "Min", "Max"),
    *("Round", "Floor", "Ceil", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift"),
    *("Cast", "Transpose", "Identity", "Gather", "Slice", "Concat", "Split"),
)
# What a network begins with.
BEGINNINGS = ("Pad", "QuantizeLinear", "MaxPool", "AveragePool")
MOST_NODES = 64
SIDE = 16
# Relative, and in normalized units; a float16 rounds the largest pixel by 1e-3, and a fit over all pixels by less.
SLOPE_ERROR = 2e-4
OFFSET_ERROR = 1e-3
FIT_ERROR = 2e-3


@dataclass(frozen=True, kw_only=True)
class PixelUse:
    """For each channel of the first layer: the channel of the pixels that it reads, and its straight line."""

    channels: tuple[int, ...]
    slopes: tuple[float, ...]
    offsets: tuple[float, ...]


def pixel_problems(model: onnx.ModelProto, preprocessing: Preprocessing) -> tuple[list[str], list[str]]:
    """What differs from the card's preprocessing, and what could not be measured."""
    try:
        measured = _measure(model)
    except Exception as error:  # the evaluator raises many exception types for what it cannot run
        return [], [f"the preprocessing of its pixels could not be evaluated ({type(error).__name__})"]
    if isinstance(measured, str):
        return [], [f"the preprocessing of its pixels could not be measured: {measured}"]
    found = _use(*measured)
    if found is None:
        return ["the file does not scale and shift its pixels as the card's preprocessing does"], []
    return _differences(found, preprocessing), []


def _measure(model: onnx.ModelProto) -> tuple[np.ndarray, np.ndarray] | str:
    """Random pixels (N, H, W, 3), and what reaches the first layer (N, 3, H, W); or why that is not known."""
    name = model.graph.input[0].name
    nodes, end = _beginning(model.graph, name)
    if end is None:
        return "more than one tensor of pixels reaches the layers"
    reader = next(node for node in model.graph.node if end in node.input and node not in nodes)
    if not is_layer(reader) and reader.op_type not in BEGINNINGS:
        return f"it contains the operator {readable(reader.op_type, 40)}"
    shape = model.graph.input[0].type.tensor_type.shape.dim
    batch = shape[0].dim_value if shape and 0 < shape[0].dim_value <= SIDE else 1
    pixels = np.random.default_rng(0).integers(0, 256, (batch, SIDE, SIDE, 3), np.uint8)
    # A channel that is nearly constant would have no slope.
    pixels[:, 0], pixels[:, 1] = 0, 255
    if not nodes:
        return pixels, pixels.astype(np.float64)
    graph = helper.make_graph(
        nodes,
        "pixels",
        [helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, list(pixels.shape))],
        [onnx.ValueInfoProto(name=end)],
        [tensor for tensor in model.graph.initializer if any(tensor.name in node.input for node in nodes)],
    )
    part = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    (result,) = ReferenceEvaluator(part).run(None, {name: pixels})
    return pixels, np.asarray(result, np.float64)


def _beginning(graph: onnx.GraphProto, name: str) -> tuple[list[NodeProto], str | None]:
    """The arithmetic on the input before the first other operator, and the one tensor in which it ends."""
    constants = {tensor.name for tensor in graph.initializer}
    known = {name}
    nodes: list[NodeProto] = []
    for node in graph.node:
        own = [each for each in node.input if each]
        if node.op_type == "Constant" and len(nodes) < MOST_NODES:
            constants.update(node.output)
            nodes.append(node)
        elif set(own) & known and set(own) <= known | constants and node.op_type in ARITHMETIC:
            if len(nodes) >= MOST_NODES:
                return nodes, None
            known.update(node.output)
            nodes.append(node)
    chosen = {id(node) for node in nodes}
    ends = {each for node in graph.node if id(node) not in chosen for each in node.input if each in known}
    used = [node for node in nodes if node.op_type != "Constant" or _is_read(node, nodes)]
    return used, ends.pop() if len(ends) == 1 else None


def _is_read(node: NodeProto, nodes: list[NodeProto]) -> bool:
    return any(node.output[0] in other.input for other in nodes)


def _use(pixels: np.ndarray, result: np.ndarray) -> PixelUse | None:
    """Fit a straight line to each channel; None if none fits."""
    if result.shape == pixels.shape:
        result = result.transpose(0, 3, 1, 2)
    if result.shape != (len(pixels), 3, SIDE, SIDE):
        return None
    lines = []
    for channel in range(3):
        values = result[:, channel].reshape(-1)
        fits = []
        for source in range(3):
            slope, offset = np.polyfit(pixels[..., source].reshape(-1).astype(np.float64), values, 1)
            error = float(np.abs(slope * pixels[..., source].reshape(-1) + offset - values).max())
            fits.append((error, source, float(slope), float(offset)))
        lines.append(min(fits))
    largest = float(np.abs(result).max()) or 1.0
    if not all(np.isfinite(error) and error <= FIT_ERROR * largest for error, *_ in lines):
        return None
    return PixelUse(
        channels=tuple(source for _, source, _, _ in lines),
        slopes=tuple(slope for _, _, slope, _ in lines),
        offsets=tuple(offset for *_, offset in lines),
    )


def _differences(found: PixelUse, preprocessing: Preprocessing) -> list[str]:
    problems = []
    expected = (2, 1, 0) if preprocessing.order == "BGR" else (0, 1, 2)
    if found.channels != expected:
        spelled = "".join("RGB"[channel] for channel in found.channels)
        problems.append(
            f"the card says pixels in the order {preprocessing.order}, but the file reads them as {spelled}"
        )
    slopes = [preprocessing.scale / std for std in preprocessing.std]
    offsets = [-mean / std for mean, std in zip(preprocessing.mean, preprocessing.std, strict=True)]
    if not np.allclose(found.slopes, slopes, rtol=SLOPE_ERROR, atol=0):
        problems.append(
            f"the card's scale and standard deviation multiply pixels by {_spelled(slopes)}, "
            f"but the file by {_spelled(found.slopes)}"
        )
    if not np.allclose(found.offsets, offsets, rtol=SLOPE_ERROR, atol=OFFSET_ERROR):
        problems.append(
            f"the card's mean shifts pixels by {_spelled(offsets)}, but the file by {_spelled(found.offsets)}"
        )
    return problems


def _spelled(values: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{value:.5g}" for value in values)
