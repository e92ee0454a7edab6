"""Faults in networks of other families: SiLU, GroupNorm, squeeze-and-excitation, hard swish, average pooling."""

from dataclasses import replace

import numpy as np
from onnx import ModelProto

from tests.verification.faults.array_changes import Change, one, pair, permuted
from tests.verification.faults.base import Fault, fault
from tests.verification.faults.graph_edits import (
    Edit,
    ahead,
    attributes,
    node_named,
    operator,
    rewire,
    set_weight,
    weight,
    weights,
)


def operand(node: str, index: int, change: Change) -> Edit:
    """Change the constant that a node reads, whatever the exporter called it."""

    def edit(model: ModelProto) -> None:
        name = node_named(model, node).input[index]
        set_weight(model, name, change(weight(model, name)))

    return edit


def inputs_exchanged(node: str) -> Edit:
    def edit(model: ModelProto) -> None:
        reader = node_named(model, node)
        reader.input[:] = [reader.input[1], reader.input[0], *reader.input[2:]]

    return edit


GROUP_NORM: tuple[Fault, ...] = (
    fault("GroupNorm: eps 1e-3 for 1e-5", "norm1_1", attributes("norm1_1", epsilon=1e-3)),
    fault("GroupNorm: scale off by 1 % in one channel", "norm2_4", operand("norm2_4", 1, one(lambda w: w * 1.01))),
    fault("GroupNorm: shift dropped", "norm1_5", operand("norm1_5", 1, lambda b: 0 * b)),
    fault("GroupNorm: SiLU left out", "silu1_1", operator("silu1_1", "Identity", inputs=1)),
    fault("GroupNorm: SiLU of 1.702 x (GELU's)", "silu2", ahead("silu2", "y = Mul(x, factor)", factor=1.702)),
    fault("GroupNorm: hard sigmoid for sigmoid", "silu1", operator("silu1", "HardSigmoid", alpha=1 / 6, beta=0.5)),
    fault("GroupNorm: padding not counted in the average", "pool", attributes("pool", count_include_pad=0)),
    fault("GroupNorm: average pooling off by one", "pool", attributes("pool", pads=[0, 0, 2, 2])),
    fault(
        "GroupNorm: maximum for average pooling",
        "pool",
        operator("pool", "MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
    ),
    fault("GroupNorm: kernel turned round", "conv", weights(lambda w: w[:, :, ::-1, ::-1], "conv")),
    fault("GroupNorm: two classes swapped", "head", weights(permuted(0, pair(1, 19)), "head.weight", "head.bias")),
)
MOBILENET: tuple[Fault, ...] = (
    fault(
        "MobileNet: hard sigmoid of slope 0.2 (Keras)",
        "features.1.block.1.scale_activation",
        attributes("features.1.block.1.scale_activation", alpha=0.2),
    ),
    fault(
        "MobileNet: Mish for hard swish",
        "features.2.block.0.2",
        operator("features.2.block.0.2", "Mish"),
    ),
    fault("MobileNet: ReLU for hard swish", "features.0.2", operator("features.0.2", "Relu")),
    fault(
        "MobileNet: excitation left out",
        "features.2.block.2.mul",
        rewire("features.2.block.2.mul", 0, "features.2.block.1.2"),
        operator("features.2.block.2.mul", "Identity", inputs=1),
    ),
    fault(
        "MobileNet: ReLU of the squeeze left out",
        "features.3.block.2.activation",
        operator("features.3.block.2.activation", "Identity"),
    ),
    fault(
        "MobileNet: depthwise kernel turned round",
        "features.2.block.1.0",
        weights(lambda w: w[:, :, ::-1, ::-1], "features.2.block.1.0"),
    ),
    fault(
        "MobileNet: one weight 1 % too large in the classifier",
        "classifier.0",
        weights(one(lambda w: w * 1.01), "classifier.0"),
    ),
    fault("MobileNet: shortcut dropped", "features.3.add", operator("features.3.add", "Identity", inputs=1)),
    fault(
        "MobileNet: squeeze's bias dropped",
        "features.1.block.1.fc1",
        weights(lambda b: 0 * b, "features.1.block.1.fc1.bias"),
    ),
)
EFFICIENTNET: tuple[Fault, ...] = (
    fault(
        "EfficientNet: sigmoid for SiLU",
        "features.0.2_1",
        rewire("features.0.2_1", 0, "features.0.2"),
        operator("features.0.2_1", "Identity", inputs=1),
    ),
    fault(
        "EfficientNet: hard sigmoid for the gate",
        "features.2.0.block.2.scale_activation",
        operator("features.2.0.block.2.scale_activation", "HardSigmoid", alpha=1 / 6, beta=0.5),
    ),
    fault(
        "EfficientNet: maximum for the squeeze",
        "features.1.0.block.1.avgpool",
        operator("features.1.0.block.1.avgpool", "ReduceMax", keepdims=1),
    ),
    fault(
        "EfficientNet: SAME padding for a stride of 2",
        "features.2.0.block.1.0",
        attributes("features.2.0.block.1.0", pads=[1, 1, 2, 2]),
    ),
    fault(
        "EfficientNet: one weight negated in a gate",
        "features.2.1.block.2.fc2",
        weights(one(lambda w: -w), "features.2.1.block.2.fc2"),
    ),
    fault("EfficientNet: shortcut dropped", "features.2.1.add", operator("features.2.1.add", "Identity", inputs=1)),
    fault(
        "EfficientNet: two depthwise filters swapped",
        "features.1.0.block.0.0",
        weights(permuted(0, pair(2, 7)), "features.1.0.block.0.0.weight", "features.1.0.block.0.0.bias"),
    ),
)
LAYER = "features.denseblock2.denselayer1"
DENSENET: tuple[Fault, ...] = (
    fault("DenseNet: BatchNorm eps 1e-3 for 1e-5", f"{LAYER}.norm1", attributes(f"{LAYER}.norm1", epsilon=1e-3)),
    fault(
        "DenseNet: variance 1 % too large in one channel",
        f"{LAYER}.norm1",
        operand(f"{LAYER}.norm1", 4, one(lambda v: v * 1.01)),
    ),
    fault(
        "DenseNet: features in the other order",
        "features.denseblock1.concat",
        inputs_exchanged("features.denseblock1.concat"),
    ),
    fault(
        "DenseNet: maximum for average pooling",
        "features.transition1.pool",
        operator("features.transition1.pool", "MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    ),
    fault("DenseNet: last ReLU left out", "relu", operator("relu", "Identity")),
    fault(
        "DenseNet: a layer's features from the one before",
        "features.denseblock1.concat",
        rewire("features.denseblock1.concat", 2, "features.denseblock1.denselayer1.conv2"),
    ),
    fault(
        "DenseNet: mean ignored in the last BatchNorm", "features.norm5", operand("features.norm5", 3, np.zeros_like)
    ),
)
FOREIGN = (
    *(replace(item, base="group norm") for item in GROUP_NORM),
    *(replace(item, base="mobilenet_v3") for item in MOBILENET),
    *(replace(item, base="efficientnet") for item in EFFICIENTNET),
    *(replace(item, base="densenet") for item in DENSENET),
)
