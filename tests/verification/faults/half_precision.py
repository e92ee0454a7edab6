"""Faults in fp16 files: above what rounding to fp16 does to a healthy one, below what was once allowed."""

from dataclasses import replace

import numpy as np

from tests.verification.faults.array_changes import int8, one, pair, permuted, zeroed
from tests.verification.faults.base import fault
from tests.verification.faults.graph_edits import after, ahead, attributes, operator, weights

ROUNDING = 2.0**-11
PARAMETERS = (
    fault("fp16: bias dropped in layer1.0.conv2", "layer1.0.conv2", weights(lambda b: 0 * b, "layer1.0.conv2.bias")),
    fault("fp16: bias dropped in layer3.0.conv3", "layer3.0.conv3", weights(lambda b: 0 * b, "layer3.0.conv3.bias")),
    fault("fp16: bias of the classifier dropped", "fc", weights(lambda b: 0 * b, "fc.bias")),
    fault(
        "fp16: two filters swapped in layer1.1.conv2",
        "layer1.1.conv2",
        weights(permuted(0, pair(2, 5)), "layer1.1.conv2.weight", "layer1.1.conv2.bias"),
    ),
    fault(
        "fp16: two filters swapped in layer3.1.conv3",
        "layer3.1.conv3",
        weights(permuted(0, pair(8, 30)), "layer3.1.conv3.weight", "layer3.1.conv3.bias"),
    ),
    fault(
        "fp16: two input channels swapped in layer2.0.conv3",
        "layer2.0.conv3",
        weights(permuted(1, pair(0, 3)), "layer2.0.conv3"),
    ),
    fault("fp16: two classes swapped", "fc", weights(permuted(0, pair(3, 11)), "fc.weight", "fc.bias")),
    fault("fp16: one filter zeroed in layer2.0.conv2", "layer2.0.conv2", weights(zeroed(3), "layer2.0.conv2")),
    fault("fp16: kernel turned round in conv1", "conv1", weights(lambda w: w[:, :, ::-1, ::-1], "conv1")),
    fault("fp16: leaky ReLU in layer2.0.relu", "layer2.0.relu", operator("layer2.0.relu", "LeakyRelu", alpha=0.1)),
    fault(
        "fp16: padding of layer2.0.conv2 off by one", "layer2.0.conv2", attributes("layer2.0.conv2", pads=[0, 0, 1, 1])
    ),
    fault("fp16: probabilities for logits", "fc", after("fc", "y = Softmax<axis=1>(x)")),
)
# Within a few times the error of fp16 itself, end to end; the weights say it plainly.
SMALL = tuple(
    replace(item, needs="structure")
    for item in (
        fault("fp16: classifier 1 % too large", "fc", weights(lambda w: w * 1.01, "fc.weight", "fc.bias")),
        fault(
            "fp16: weights 1 % too large in layer2.0.conv1",
            "layer2.0.conv1",
            weights(lambda w: w * 1.01, "layer2.0.conv1"),
        ),
        fault(
            "fp16: bias 10 % too large in layer2.0.conv1",
            "layer2.0.conv1",
            weights(lambda b: b * 1.1, "layer2.0.conv1.bias"),
        ),
        fault("fp16: weights through int8 in layer3.0.conv2", "layer3.0.conv2", weights(int8(), "layer3.0.conv2")),
        *(
            fault(
                f"fp16: one weight off by 30 roundings in {layer}",
                layer,
                weights(one(lambda w: w * (1 + 30 * ROUNDING)), layer),
            )
            for layer in ("conv1", "layer1.1.conv2", "layer2.0.downsample.0", "layer3.1.conv1", "fc")
        ),
        fault("fp16: clipped at 50 on the input", "conv1", ahead("conv1", "y = Clip(x, , high)", high=np.float16(50))),
        fault(
            "fp16: clipped at 200 in layer3.1.relu_1",
            "layer3.1.relu_1",
            after("layer3.1.relu_1", "y = Clip(x, , high)", high=np.float16(200)),
        ),
    )
)
HALF_PRECISION = tuple(replace(item, base="fp16") for item in (*PARAMETERS, *SMALL))
