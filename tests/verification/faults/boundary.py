"""Faults at a file's ends: the image, the batch, what is made of the logits."""

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import ModelProto

from tests.verification.faults.base import fault
from tests.verification.faults.graph_edits import Edit, after, ahead, attributes, operator, set_weight, weights

MEAN = np.array([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = np.array([0.229, 0.224, 0.225]).reshape(3, 1, 1)
REVERSED = np.array([2, 1, 0])
ROLL = """
    last = Slice(x, minus_one, end, zero)
    rest = Slice(x, zero, minus_one, zero)
    y = Concat<axis=0>(last, rest)
"""
ROLL_CONSTANTS = {"zero": np.array([0]), "minus_one": np.array([-1]), "end": np.array([2**31])}
FIRST_FOR_ALL = """
    shape = Shape(x)
    first = Gather<axis=0>(x, zero)
    y = Expand(first, shape)
"""
# Which image stands at each place: its own, but from `last` on always that one.
STUCK_AT = """
    shape = Shape<start=0, end=1>(x)
    count = Squeeze(shape)
    all = Range(zero, count, step)
    place = Min(all, last)
    y = Gather<axis=0>(x, place)
"""


def normalization(
    *, mean: Any = (0.485, 0.456, 0.406), std: Any = (0.229, 0.224, 0.225), scale: float = 1 / 255
) -> Edit:
    """Other constants than the ones that the network was trained with."""

    def edit(model: ModelProto) -> None:
        set_weight(model, "preprocess.factor", (scale / np.array(std)).reshape(1, 3, 1, 1))
        set_weight(model, "preprocess.offset", (-np.array(mean) / np.array(std)).reshape(1, 3, 1, 1))

    return edit


HEADS = (
    fault("all logits shifted by 0.5", "fc", weights(lambda b: b + 0.5, "fc.bias")),
    fault("all logits shifted by 0.001", "fc", weights(lambda b: b + 1e-3, "fc.bias")),
    fault("logits divided by a temperature of 1.5", "fc", after("fc", "y = Div(x, temperature)", temperature=1.5)),
    fault("log-probabilities for logits", "fc", after("fc", "y = LogSoftmax<axis=1>(x)")),
    fault("probabilities for logits", "fc", after("fc", "y = Softmax<axis=1>(x)")),
    fault("logits rounded to two decimals", "fc", after("fc", "a = Mul(x, up) b = Round(a) y = Div(b, up)", up=100.0)),
    # Spelled out, because ONNX Runtime leaves a Dropout node in training mode out of an inference.
    fault(
        "dropout left on before the classifier",
        "fc",
        ahead(
            "fc",
            "u = RandomUniformLike(x) kept = Greater(u, ratio) m = Cast<to=1>(kept) a = Mul(x, m) y = Div(a, rest)",
            ratio=0.2,
            rest=0.8,
        ),
        deterministic=False,
    ),
    fault(
        "noise of 3e-4 left on in layer2.0.relu",
        "layer2.0.relu",
        after("layer2.0.relu", "noise = RandomNormalLike<scale=0.0003>(x) y = Add(x, noise)"),
        deterministic=False,
    ),
)


BATCHES = (
    fault("the first image's logits for all", "fc", after("fc", FIRST_FOR_ALL, zero=np.array([0])), needs="batch 2"),
    fault("the neighbour's logits", "fc", after("fc", ROLL, **ROLL_CONSTANTS), needs="batch 2"),
    fault(
        "the neighbour's shortcut in layer3.1",
        "layer3.1.add",
        ahead("layer3.1.add", ROLL, index=1, **ROLL_CONSTANTS),
        needs="batch 2",
    ),
    fault(
        "the first image's features in layer2.0.relu_2",
        "layer2.0.relu_2",
        after("layer2.0.relu_2", FIRST_FOR_ALL, zero=np.array([0])),
        needs="batch 2",
    ),
    fault(
        "the second image's result from the third on",
        "reshape",
        after("reshape", STUCK_AT, zero=0, step=1, last=1),
        needs="batch 3",
    ),
    fault(
        "images averaged over the batch in layer1.0.relu",
        "layer1.0.relu",
        after(
            "layer1.0.relu",
            "mean = ReduceMean(x, axis) a = Mul(mean, part) b = Mul(x, rest) y = Add(a, b)",
            axis=np.array([0]),
            part=0.01,
            rest=0.99,
        ),
        needs="batch 2",
    ),
)


INPUTS = (
    fault(
        "image mirrored",
        "conv1",
        ahead(
            "conv1",
            "y = Slice(x, start, end, axes, step)",
            start=np.array([-1]),
            end=np.array([-(2**31)]),
            axes=np.array([3]),
            step=np.array([-1]),
        ),
    ),
    fault("image turned over its diagonal", "conv1", ahead("conv1", "y = Transpose<perm=[0, 1, 3, 2]>(x)")),
    fault("normalization done twice", "conv1", ahead("conv1", "a = Sub(x, mean) y = Div(a, std)", mean=MEAN, std=STD)),
    fault("input clipped to [-1, 1]", "conv1", ahead("conv1", "y = Clip(x, low, high)", low=-1.0, high=1.0)),
    fault(
        "one pixel lost at the border",
        "conv1",
        ahead("conv1", "y = Pad(x, pads)", pads=np.array([0, 0, -1, 0, 0, 0, 1, 0])),
    ),
)


PIXELS = tuple(
    replace(item, base="pixels")
    for item in (
        fault("mean 0.5 for ImageNet's", None, normalization(mean=(0.5, 0.5, 0.5))),
        fault("mean with two decimals", None, normalization(mean=(0.49, 0.46, 0.41))),
        fault("mean of red off by 0.001", None, normalization(mean=(0.486, 0.456, 0.406))),
        fault("standard deviation 0.5 for ImageNet's", None, normalization(std=(0.5, 0.5, 0.5))),
        fault("standard deviation left out", None, normalization(std=(1.0, 1.0, 1.0))),
        fault(
            "mean and deviation in the order BGR",
            None,
            normalization(mean=(0.406, 0.456, 0.485), std=(0.225, 0.224, 0.229)),
        ),
        fault("pixels divided by 256 for 255", None, normalization(scale=1 / 256)),
        fault("pixels not divided", None, normalization(scale=1.0)),
        fault("pixels from -1 to 1", None, normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))),
        fault(
            "pixels taken in the order BGR", None, ahead("preprocess", "y = Gather<axis=3>(x, order)", order=REVERSED)
        ),
        fault("pixels taken as signed", None, after("preprocess", "y = Cast<to=3>(x)")),
        fault("pixels with height and width exchanged", None, attributes("preprocess", perm=[0, 3, 2, 1])),
        fault("the last bit of pixels lost", None, ahead("preprocess", "y = BitwiseAnd(x, bits)", bits=np.uint8(254))),
        fault(
            "v1 stride for v1.5 behind pixels",
            "layer2.0.conv1",
            attributes("layer2.0.conv1", strides=[2, 2]),
            attributes("layer2.0.conv2", strides=[1, 1]),
        ),
    )
)


PROBABILITIES = tuple(
    replace(item, base="probabilities")
    for item in (
        fault("softmax twice", "softmax", after("softmax", "y = Softmax<axis=1>(x)")),
        fault("softmax over the batch", "softmax", attributes("softmax", axis=0)),
        fault("softmax left out", "softmax", operator("softmax", "Identity")),
        fault("sigmoid for softmax", "softmax", operator("softmax", "Sigmoid")),
        fault("one-hot for softmax", "softmax", operator("softmax", "Hardmax", axis=1)),
        fault("logarithm behind softmax", "softmax", operator("softmax", "LogSoftmax", axis=1)),
        fault("softmax of scaled logits", "softmax", ahead("softmax", "y = Mul(x, factor)", factor=1.02)),
        fault(
            "probabilities rounded to three decimals",
            "softmax",
            after("softmax", "a = Mul(x, up) b = Round(a) y = Div(b, up)", up=1000.0),
        ),
        fault(
            "probabilities smoothed",
            "softmax",
            after("softmax", "a = Mul(x, keep) y = Add(a, share)", keep=0.99, share=0.01 / 20),
        ),
        fault("the neighbour's probabilities", "softmax", after("softmax", ROLL, **ROLL_CONSTANTS), needs="batch 2"),
    )
)
