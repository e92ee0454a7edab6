"""Faults in what is computed in which order: strides, windows, activations, shortcuts."""

from typing import Any

import numpy as np
import onnx
from onnx import ModelProto

from tests.verification.faults.base import fault
from tests.verification.faults.graph_edits import Edit, after, ahead, attributes, operator, remove, rewire


def padded(layer: str, mode: str, pads: int, **constants: Any) -> Edit:
    """The layer's padding done by a node of its own, with other values than zeros."""

    def edit(model: ModelProto) -> None:
        value = ", value" if constants else ""
        body = f'y = Pad<mode="{mode}">(x, pads{value})'
        ahead(layer, body, pads=np.array([0, 0, pads, pads] * 2), **constants)(model)
        attributes(layer, pads=[0, 0, 0, 0])(model)

    return edit


def _two_groups(model: ModelProto, name: str) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    full = onnx.numpy_helper.to_array(tensor)
    rows, columns = full.shape[0] // 2, full.shape[1] // 2
    blocks = np.concatenate([full[:rows, :columns], full[rows:, columns:]])
    tensor.CopyFrom(onnx.numpy_helper.from_array(blocks, name))


STRIDES = (
    fault(
        "v1 stride for v1.5 in every stage",
        "layer2.0.conv1",
        *(attributes(f"layer{stage}.0.conv1", strides=[2, 2]) for stage in (2, 3)),
        *(attributes(f"layer{stage}.0.conv2", strides=[1, 1]) for stage in (2, 3)),
    ),
    fault(
        "v1 stride for v1.5 in layer3.0",
        "layer3.0.conv1",
        attributes("layer3.0.conv1", strides=[2, 2]),
        attributes("layer3.0.conv2", strides=[1, 1]),
    ),
    fault(
        "stride on the last convolution of layer2.0",
        None,
        attributes("layer2.0.conv2", strides=[1, 1]),
        attributes("layer2.0.conv3", strides=[2, 2]),
        observable=False,
        why="a 1x1 convolution that strides reads the very pixels that a stride before it leaves: the logits are equal",
    ),
    fault(
        "stride of layer2.0 taken by its first pixels' neighbours",
        "layer2.0.conv2",
        attributes("layer2.0.conv2", strides=[1, 1]),
        ahead(
            "layer2.0.conv3",
            "y = Slice(x, start, end, axes, step)",
            start=np.array([1, 1]),
            end=np.array([2**31, 2**31]),
            axes=np.array([2, 3]),
            step=np.array([2, 2]),
        ),
    ),
    fault(
        "shortcut of layer2.0 takes the odd pixels",
        "layer2.0.downsample.0",
        ahead(
            "layer2.0.downsample.0",
            "y = Slice(x, start, end, axes)",
            start=np.array([1, 1]),
            end=np.array([2**31, 2**31]),
            axes=np.array([2, 3]),
        ),
    ),
    fault(
        "shortcut of layer3.0 averages before it strides (ResNet-D)",
        "layer3.0.downsample.0",
        ahead("layer3.0.downsample.0", "y = AveragePool<kernel_shape=[2, 2], strides=[2, 2]>(x)"),
        attributes("layer3.0.downsample.0", strides=[1, 1]),
    ),
    fault(
        "dilation 2 in layer1.1.conv2", "layer1.1.conv2", attributes("layer1.1.conv2", dilations=[2, 2], pads=[2] * 4)
    ),
    fault(
        "two groups in layer3.1.conv2",
        "layer3.1.conv2",
        attributes("layer3.1.conv2", group=2),
        lambda model: _two_groups(model, "layer3.1.conv2.weight"),
    ),
)


WINDOWS = (
    fault("padding of conv1 off by one", "conv1", attributes("conv1", pads=[2, 2, 3, 3])),
    fault("padding of conv1 off by one in the width", "conv1", attributes("conv1", pads=[3, 2, 3, 3])),
    fault(
        "padding of layer2.0.conv2 off by one (SAME)", "layer2.0.conv2", attributes("layer2.0.conv2", pads=[0, 0, 1, 1])
    ),
    fault(
        "padding of layer3.1.conv2 all on one side", "layer3.1.conv2", attributes("layer3.1.conv2", pads=[2, 2, 0, 0])
    ),
    fault("padding of the max pooling off by one", "maxpool", attributes("maxpool", pads=[0, 0, 1, 1])),
    fault("edges repeated for zeros in layer1.0.conv2", "layer1.0.conv2", padded("layer1.0.conv2", "edge", 1)),
    fault("edges mirrored for zeros in layer3.0.conv2", "layer3.0.conv2", padded("layer3.0.conv2", "reflect", 1)),
    fault("padded before the normalization in conv1", "conv1", padded("conv1", "constant", 3, value=-2.0)),
    fault(
        "average for max pooling",
        "maxpool",
        operator("maxpool", "AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
    ),
    fault("max pooling by 2x2", "maxpool", attributes("maxpool", kernel_shape=[2, 2], pads=[0] * 4)),
    fault("max pooling by 5x5", "maxpool", attributes("maxpool", kernel_shape=[5, 5], pads=[2] * 4)),
    fault(
        "max pooling in ceil mode without padding (Caffe)", "maxpool", attributes("maxpool", ceil_mode=1, pads=[0] * 4)
    ),
    fault("maximum for the global average", "avgpool", operator("avgpool", "ReduceMax", keepdims=1)),
    fault(
        "global average without the last row and column",
        "avgpool",
        ahead(
            "avgpool",
            "y = Slice(x, zero, end, axes)",
            zero=np.array([0, 0]),
            end=np.array([-1, -1]),
            axes=np.array([2, 3]),
        ),
    ),
    fault(
        "global average over 7x7 whatever the size", "avgpool", after("avgpool", "y = Mul(x, factor)", factor=16 / 49)
    ),
)


ACTIVATIONS = (
    fault("ReLU missing behind layer1.0.conv1", "layer1.0.conv2", remove("layer1.0.relu")),
    fault("ReLU missing behind layer3.0.conv2", "layer3.0.relu_1", operator("layer3.0.relu_1", "Identity")),
    fault("ReLU missing behind the addition of layer2.0", "layer2.0.relu_2", operator("layer2.0.relu_2", "Identity")),
    fault("ReLU missing behind the addition of layer1.0", "layer1.1.conv1", remove("layer1.0.relu_2")),
    fault("ReLU missing behind the last addition", "avgpool", remove("layer3.1.relu_2")),
    fault("ReLU missing in the stem", "maxpool", remove("relu")),
    fault("ReLU too many before the addition of layer1.1", "layer1.1.add", ahead("layer1.1.add", "y = Relu(x)")),
    fault("ReLU too many on the shortcut of layer3.0", "layer3.0.add", ahead("layer3.0.add", "y = Relu(x)", index=1)),
    fault("ReLU too many on the input", "conv1", ahead("conv1", "y = Relu(x)")),
    fault("ReLU too many behind the classifier", "fc", after("fc", "y = Relu(x)")),
    fault(
        "ReLU6 for ReLU in layer2.0.relu_1",
        "layer2.0.relu_1",
        after("layer2.0.relu_1", "y = Clip(x, , high)", high=6.0),
    ),
    fault(
        "leaky ReLU (0.01) for ReLU in layer3.1.relu",
        "layer3.1.relu",
        operator("layer3.1.relu", "LeakyRelu", alpha=0.01),
    ),
    fault(
        "leaky ReLU (0.0001) for ReLU in layer2.0.relu",
        "layer2.0.relu",
        operator("layer2.0.relu", "LeakyRelu", alpha=1e-4),
    ),
    fault("GELU for ReLU in layer1.1.relu_1", "layer1.1.relu_1", operator("layer1.1.relu_1", "Gelu")),
    fault(
        "clipped at 10 behind the last addition",
        "layer3.1.relu_2",
        after("layer3.1.relu_2", "y = Clip(x, , high)", high=10.0),
        needs="extreme images",
    ),
    fault(
        "clipped at 25 in layer3.0.relu",
        "layer3.0.relu",
        after("layer3.0.relu", "y = Clip(x, , high)", high=25.0),
        needs="large magnitudes",
    ),
    fault(
        "overflow as in fp16 behind layer2.0, saturated",
        "layer2.0.relu_2",
        after(
            "layer2.0.relu_2",
            "large = Mul(x, up) cut = Clip(large, , high) y = Mul(cut, down)",
            up=4096.0,
            high=65504.0,
            down=2.0**-12,
        ),
        needs="large magnitudes",
    ),
)


SHORTCUTS = (
    fault("shortcut dropped in layer1.1", "layer1.1.add", operator("layer1.1.add", "Identity", inputs=1)),
    fault(
        "residual branch dropped in layer3.1 (stochastic depth)",
        "layer3.1.add",
        rewire("layer3.1.add", 0, "layer3.0.relu_2"),
        operator("layer3.1.add", "Identity", inputs=1),
    ),
    fault("shortcut of layer1.1 from before the ReLU", "layer1.1.add", rewire("layer1.1.add", 1, "layer1.0.add")),
    fault(
        "shortcut of layer3.1 from the projection alone",
        "layer3.1.add",
        rewire("layer3.1.add", 1, "layer3.0.downsample.0"),
    ),
    fault(
        "residual branch of layer2.0 scaled by 0.9",
        "layer2.0.add",
        ahead("layer2.0.add", "y = Mul(x, factor)", factor=0.9),
    ),
    fault(
        "shortcut of layer3.1 scaled by 0.999",
        "layer3.1.add",
        ahead("layer3.1.add", "y = Mul(x, factor)", index=1, factor=0.999),
    ),
    fault("subtraction for the addition in layer3.0", "layer3.0.add", operator("layer3.0.add", "Sub")),
    fault("maximum for the addition in layer1.0", "layer1.0.add", operator("layer1.0.add", "Max")),
)
