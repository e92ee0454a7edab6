"""Faults in INT8 files: what an error of a few steps of 256 hides, in weights, scales and zero points."""

from dataclasses import replace

import numpy as np
from onnx import ModelProto, numpy_helper

from tests.verification.faults.array_changes import Change, pair, permuted
from tests.verification.faults.base import Fault, fault
from tests.verification.faults.graph_edits import Edit, attributes, node_named, weight, weights


def quantized(change: Change, *layers: str) -> Edit:
    return weights(change, *(f"{layer}.weight_quantized" for layer in layers))


def rows(order: Change, layer: str) -> Edit:
    """Reorder whatever belongs to a layer's filters: weights, scales and biases."""
    parts = ("weight_quantized", "weight_scale", "bias_quantized", "bias_quantized_scale")
    return weights(order, *(f"{layer}.{part}" for part in parts))


def own_operand(node: str, index: int, change: Change) -> Edit:
    """Change what one node alone reads: the other half of a Q/DQ pair keeps its own."""

    def edit(model: ModelProto) -> None:
        reader = node_named(model, node)
        name = f"{reader.input[index]}.own"
        model.graph.initializer.append(numpy_helper.from_array(change(weight(model, reader.input[index])), name))
        reader.input[index] = name

    return edit


def four_bits(kernel: np.ndarray) -> np.ndarray:
    """Seven steps to either side; how many there are of eight bits depends on the processor."""
    step = np.abs(kernel.astype(np.float64)).max() / 7
    return np.asarray(np.rint(np.rint(kernel / step) * step))


def saturated(kernel: np.ndarray) -> np.ndarray:
    half = np.abs(kernel.astype(np.int32)).max() // 2
    return np.asarray(kernel.clip(-half, half))


def element(index: int, factor: float) -> Change:
    def edit(array: np.ndarray) -> np.ndarray:
        array[index] *= factor
        return array

    return edit


def next_step(zero_point: np.ndarray) -> np.ndarray:
    return np.asarray(zero_point + 1, dtype=zero_point.dtype)


KERNELS: tuple[Fault, ...] = (
    *(
        fault(f"int8: kernel turned round in {layer}", layer, quantized(lambda w: w[:, :, ::-1, ::-1], layer))
        for layer in ("conv1", "layer1.1.conv2", "layer3.1.conv2")
    ),
    *(
        fault(f"int8: bias dropped in {layer}", layer, weights(lambda b: 0 * b, f"{layer}.bias_quantized"))
        for layer in ("layer1.0.conv2", "layer2.0.conv3", "fc")
    ),
    *(
        fault(f"int8: weights of {layer} at 4 bits", layer, quantized(four_bits, layer))
        for layer in ("layer1.0.conv2", "layer2.0.conv1", "layer3.0.downsample.0", "fc")
    ),
    *(
        fault(
            f"int8: weights of {layer} saturated at half their range",
            layer,
            quantized(saturated, layer),
        )
        for layer in ("layer1.1.conv3", "layer3.0.conv2")
    ),
    fault("int8: two classes swapped", "fc", rows(permuted(0, pair(3, 11)), "fc")),
    fault(
        "int8: two filters swapped in layer2.0.conv2", "layer2.0.conv2", rows(permuted(0, pair(2, 9)), "layer2.0.conv2")
    ),
    fault(
        "int8: input channels swapped in layer3.1.conv1",
        "layer3.1.conv1",
        quantized(permuted(1, pair(4, 70)), "layer3.1.conv1"),
    ),
    fault(
        "int8: one weight of the other sign in layer1.0.conv3",
        "layer1.0.conv3",
        quantized(
            lambda w: np.where(np.arange(w.size).reshape(w.shape) == int(np.abs(w).argmax()), -w, w), "layer1.0.conv3"
        ),
    ),
)
SCALES: tuple[Fault, ...] = (
    *(
        fault(
            f"int8: the scale of one filter {words} in {layer}",
            layer,
            weights(element(2, factor), f"{layer}.weight_scale"),
        )
        for layer, factor, words in (
            ("layer1.0.conv1", 2.0, "doubled"),
            ("layer2.0.conv2", 2.0, "doubled"),
            ("layer3.1.conv3", 0.5, "halved"),
            ("fc", 2.0, "doubled"),
        )
    ),
    *(
        fault(
            f"int8: scales of {layer} along the other axis",
            layer,
            attributes(f"{layer}.weight_DequantizeLinear", axis=1),
        )
        for layer in ("layer1.1.conv2", "layer3.0.conv2")
    ),
    fault(
        "int8: scales of layer2.0.conv1 5 % too large",
        "layer2.0.conv1",
        weights(lambda s: s * 1.05, "layer2.0.conv1.weight_scale"),
    ),
    fault(
        "int8: scales of layer1.1.conv1 shifted by one",
        "layer1.1.conv1",
        weights(lambda s: np.roll(s, 1), "layer1.1.conv1.weight_scale"),
    ),
)
# What stands behind a Q/DQ pair is not known from the network; the numbers of its tensor are.
ACTIVATIONS: tuple[Fault, ...] = (
    *(
        fault(
            f"int8: the scale of {tensor} a third",
            f"{tensor}_QuantizeLinear",
            weights(lambda s: s / 3, f"{tensor}_scale"),
        )
        for tensor in ("input", "layer1.0.relu", "layer2.0.relu_2", "layer3.1.relu_1")
    ),
    fault(
        "int8: the scale of relu eight times too coarse", "relu_QuantizeLinear", weights(lambda s: s * 8, "relu_scale")
    ),
    fault("int8: the scale of the logits a third", "logits_QuantizeLinear", weights(lambda s: s / 3, "logits_scale")),
    *(
        fault(
            f"int8: dequantized by a zero point off by one in {tensor}",
            f"{tensor}_DequantizeLinear",
            own_operand(f"{tensor}_DequantizeLinear", 2, next_step),
        )
        for tensor in ("layer1.0.relu", "layer3.0.relu_2", "input")
    ),
    *(
        fault(
            f"int8: dequantized by a scale 5 % too large in {tensor}",
            f"{tensor}_DequantizeLinear",
            own_operand(f"{tensor}_DequantizeLinear", 1, lambda s: np.asarray(s * np.float32(1.05))),
        )
        for tensor in ("layer2.0.relu", "layer3.1.relu_2")
    ),
)
INTEGERS = tuple(replace(item, base="int8", needs="structure") for item in (*KERNELS, *SCALES, *ACTIVATIONS))
