"""Faults in the weights: which, in what order, with how many bits."""

import numpy as np
from onnx import ModelProto

from tests.verification.faults.array_changes import (
    flip_bit,
    half,
    int8,
    mantissa,
    one,
    pair,
    permuted,
    tiny_steps,
    zeroed,
)
from tests.verification.faults.base import fault, network
from tests.verification.faults.folding import refold
from tests.verification.faults.graph_edits import Edit, after, ahead, all_weights, rewire, set_weight, swap, weights


def graft(layer: str) -> Edit:
    """The layer's weights from another seed: a checkpoint that has it untrained."""

    def edit(model: ModelProto) -> None:
        if layer == "fc":
            head = network(seed=1).get_submodule("fc")
            for role, tensor in head.named_parameters():
                set_weight(model, f"fc.{role}", tensor.detach().numpy())
        else:
            refold(lambda: network(seed=1), lambda other: other, layer)(model)

    return edit


def another_seed(model: ModelProto) -> None:
    refold(lambda: network(seed=1), lambda other: other)(model)
    graft("fc")(model)


QDQ = "q = QuantizeLinear(x, scale, zero) y = DequantizeLinear(q, off, zero)"

CHANNELS = (
    fault(
        "two filters swapped in layer1.0.conv2",
        "layer1.0.conv2",
        weights(permuted(0, pair(2, 5)), "layer1.0.conv2.weight", "layer1.0.conv2.bias"),
    ),
    fault(
        "two input channels swapped in layer2.0.conv3",
        "layer2.0.conv3",
        weights(permuted(1, pair(0, 1)), "layer2.0.conv3"),
    ),
    fault("classifier read in the other order", "fc", weights(lambda w: w.reshape(w.shape[::-1]).T, "fc")),
    fault(
        "inputs and outputs of layer3.1.conv2 exchanged",
        "layer3.1.conv2",
        weights(lambda w: w.transpose(1, 0, 2, 3), "layer3.1.conv2"),
    ),
    fault(
        "height and width of the kernel exchanged in layer1.1.conv2",
        "layer1.1.conv2",
        weights(lambda w: w.transpose(0, 1, 3, 2), "layer1.1.conv2"),
    ),
    fault("kernel turned round in conv1", "conv1", weights(lambda w: w[:, :, ::-1, ::-1], "conv1")),
    fault("red and blue swapped in the kernel of conv1", "conv1", weights(lambda w: w[:, ::-1], "conv1")),
    fault("two classes swapped", "fc", weights(permuted(0, pair(3, 11)), "fc.weight", "fc.bias")),
    fault(
        "classes off by one",
        "fc",
        weights(lambda w: np.roll(w, 1, axis=0), "fc.weight", "fc.bias"),
    ),
    fault("layer1.0.conv2 and layer1.1.conv2 exchanged", "layer1.0.conv2", swap("layer1.0.conv2", "layer1.1.conv2")),
    fault("layer1.0.conv3 and layer1.1.conv3 exchanged", "layer1.0.conv3", swap("layer1.0.conv3", "layer1.1.conv3")),
)


WEIGHTS = (
    fault("sign of one weight of the classifier", "fc", weights(one(lambda w: -w), "fc")),
    fault("sign of one weight in layer2.0.conv2", "layer2.0.conv2", weights(one(lambda w: -w), "layer2.0.conv2")),
    fault("sign of one bias in layer3.1.conv2", "layer3.1.conv2", weights(one(lambda b: -b), "layer3.1.conv2.bias")),
    fault(
        "lowest exponent bit of one weight in layer3.0.conv1", "layer3.0.conv1", weights(flip_bit(23), "layer3.0.conv1")
    ),
    fault(
        "lowest exponent bit of one weight in layer3.1.conv3", "layer3.1.conv3", weights(flip_bit(23), "layer3.1.conv3")
    ),
    fault(
        "highest exponent bit of one weight in layer1.0.conv3",
        "layer1.0.conv3",
        weights(flip_bit(30), "layer1.0.conv3"),
    ),
    fault(
        "highest mantissa bit of one weight in layer1.1.conv3",
        "layer1.1.conv3",
        weights(flip_bit(22), "layer1.1.conv3"),
    ),
    fault("mantissa bit 15 of one weight in conv1", "conv1", weights(flip_bit(15), "conv1")),
    fault(
        "lowest mantissa bit of one weight in layer2.0.conv1",
        None,
        weights(flip_bit(0), "layer2.0.conv1"),
        observable=False,
        why="one weight in 512, changed by one rounding",
    ),
    fault("one filter zeroed in layer2.0.conv2", "layer2.0.conv2", weights(zeroed(3), "layer2.0.conv2")),
    fault("one weight zeroed in layer3.1.conv1", "layer3.1.conv1", weights(one(lambda w: 0), "layer3.1.conv1")),
    fault(
        "a denormal for one weight in layer3.0.downsample.0",
        "layer3.0.downsample.0",
        weights(one(lambda w: 1e-40), "layer3.0.downsample.0"),
    ),
    fault(
        "a denormal added to the biases of layer1.0.conv1",
        None,
        weights(lambda b: b + np.float32(1e-40), "layer1.0.conv1.bias"),
        observable=False,
        why="the sum is the same float32",
    ),
    fault(
        "biases of layer3.0.conv1 shifted by 1e-9",
        None,
        weights(lambda b: b + 1e-9, "layer3.0.conv1.bias"),
        observable=False,
        why="a hundredth of a rounding of what the bias is added to",
    ),
    fault("NaN for one weight in layer2.0.conv3", "layer2.0.conv3", weights(one(lambda w: np.nan), "layer2.0.conv3")),
    fault("NaN for one weight in layer1.0.conv1", "layer1.0.conv1", weights(one(lambda w: np.nan), "layer1.0.conv1")),
    fault("NaN for one bias of the classifier", "fc", weights(one(lambda b: np.nan), "fc.bias")),
    fault(
        "infinity for one weight in layer1.0.downsample.0",
        "layer1.0.downsample.0",
        weights(one(lambda w: np.inf), "layer1.0.downsample.0"),
    ),
    fault("bias dropped in layer1.0.conv1", "layer1.0.conv1", weights(lambda b: 0 * b, "layer1.0.conv1.bias")),
    fault("bias of the classifier dropped", "fc", weights(lambda b: 0 * b, "fc.bias")),
    fault(
        "bias of layer1.0.conv2 in layer1.1.conv2", "layer1.1.conv2", rewire("layer1.1.conv2", 2, "layer1.0.conv2.bias")
    ),
    fault(
        "bias too large by 1 % in layer3.0.conv3", "layer3.0.conv3", weights(lambda b: b * 1.01, "layer3.0.conv3.bias")
    ),
    fault(
        "weights too large by 1 % in layer2.0.conv1", "layer2.0.conv1", weights(lambda w: w * 1.01, "layer2.0.conv1")
    ),
    fault(
        "weights too large by 0.01 % in layer2.0.downsample.0",
        "layer2.0.downsample.0",
        weights(lambda w: w * 1.0001, "layer2.0.downsample.0"),
    ),
    fault("another checkpoint altogether", "conv1", another_seed),
    fault("another checkpoint's classifier", "fc", graft("fc")),
    fault("another checkpoint's layer3.1.conv2", "layer3.1.conv2", graft("layer3.1.conv2")),
    fault("weights one step of training later", "conv1", all_weights(tiny_steps)),
)


PRECISION = (
    fault("weights rounded to bf16 everywhere", "conv1", all_weights(mantissa(7))),
    fault("weights rounded to bf16 in layer3.1.conv3", "layer3.1.conv3", weights(mantissa(7), "layer3.1.conv3")),
    fault("weights rounded to fp16 everywhere", "conv1", all_weights(half)),
    fault("weights rounded to fp16 in layer1.1.conv1", "layer1.1.conv1", weights(half, "layer1.1.conv1")),
    fault("weights rounded to fp16 in layer3.1.conv3", "layer3.1.conv3", weights(half, "layer3.1.conv3")),
    fault("weights rounded as by TF32 in layer2.0.conv2", "layer2.0.conv2", weights(mantissa(10), "layer2.0.conv2")),
    fault("weights rounded as by TF32 in the classifier", "fc", weights(mantissa(10), "fc")),
    fault("weights through int8 everywhere", "conv1", all_weights(int8())),
    fault("weights through int8 in layer3.0.conv3", "layer3.0.conv3", weights(int8(), "layer3.0.conv3")),
    fault("weights through int8, one scale a tensor, in conv1", "conv1", weights(int8(per_channel=False), "conv1")),
    fault(
        "weights through int8 with scales off by 1 % in layer1.0.downsample.0",
        "layer1.0.downsample.0",
        weights(int8(factor=1.01), "layer1.0.downsample.0"),
    ),
    fault(
        "weights through int8 with scales off by 1 % in layer3.1.conv2",
        "layer3.1.conv2",
        weights(int8(factor=1.01), "layer3.1.conv2"),
    ),
    fault(
        "activations through fp16 in layer2.0.relu_2",
        "layer2.0.relu_2",
        after("layer2.0.relu_2", "h = Cast<to=10>(x) y = Cast<to=1>(h)"),
    ),
    fault(
        "activations through bf16 in layer3.0.add",
        "layer3.0.add",
        after("layer3.0.add", "h = Cast<to=16>(x) y = Cast<to=1>(h)"),
    ),
    fault("the classifier's input through fp16", "fc", ahead("fc", "h = Cast<to=10>(x) y = Cast<to=1>(h)")),
    fault(
        "activations through uint8 in layer1.1.relu_2",
        "layer1.1.relu_2",
        after("layer1.1.relu_2", QDQ, scale=8 / 255, off=8 / 255, zero=np.uint8(0)),
    ),
    fault(
        "activations through uint8 with the scale off by 1 % in layer2.0.relu",
        "layer2.0.relu",
        after("layer2.0.relu", QDQ, scale=16 / 255, off=16.16 / 255, zero=np.uint8(0)),
    ),
)
