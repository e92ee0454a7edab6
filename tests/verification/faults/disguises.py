"""Faults beside a harmless node or number of another precision, which must not make the judge milder."""

from itertools import product

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from tests.verification.faults.array_changes import pair, permuted
from tests.verification.faults.base import Fault, fault
from tests.verification.faults.graph_edits import Edit, after, ahead, weights

CAST_PAIR = "h = Cast<to=10>(x) y = Cast<to=1>(h)"
QDQ = "q = QuantizeLinear(x, scale, zero) y = DequantizeLinear(q, scale, zero)"


def spare(tensor: TensorProto) -> Edit:
    """A number that nothing reads."""

    def edit(model: ModelProto) -> None:
        model.graph.initializer.append(tensor)

    return edit


def spare_dequantize(model: ModelProto) -> None:
    """A node whose result nothing reads."""
    model.graph.initializer.append(numpy_helper.from_array(np.int8(1), "spare"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1), "spare.scale"))
    model.graph.node.append(helper.make_node("DequantizeLinear", ["spare", "spare.scale"], ["spare.y"], "spare"))


# The layer where the disguise itself shows, if it does: rounding to fp16 or to 256 steps is seen in float32.
DISGUISES: dict[str, tuple[str | None, Edit]] = {
    "an fp16 cast pair on the input": ("conv1", ahead("conv1", CAST_PAIR)),
    "an fp16 cast pair in layer3.0": ("layer3.0.relu", after("layer3.0.relu", CAST_PAIR)),
    "a Q/DQ pair in layer1.0": (
        "layer1.0.relu",
        after("layer1.0.relu", QDQ, scale=16 / 255, zero=np.uint8(0)),
    ),
    "a quantized classifier input": ("fc", ahead("fc", QDQ, scale=8 / 255, zero=np.uint8(0))),
    "an unused fp16 number": (None, spare(numpy_helper.from_array(np.float16(1), "spare"))),
    "an unused bf16 number": (None, spare(helper.make_tensor("spare", TensorProto.BFLOAT16, [], [1.0]))),
    "an unused int8 number": (None, spare(numpy_helper.from_array(np.int8(1), "spare"))),
    "an unused DequantizeLinear": (None, spare_dequantize),
}
# Ordered as in the network.
BEHIND: dict[str, tuple[str, Edit]] = {
    "a dropped bias": ("layer1.0.conv1", weights(lambda b: 0 * b, "layer1.0.conv1.bias")),
    "a layer 2 % too large": ("layer2.0.conv2", weights(lambda w: w * 1.02, "layer2.0.conv2")),
    "a classifier 2 % too large": ("fc", weights(lambda w: w * 1.02, "fc.weight", "fc.bias")),
    "a classifier 0.2 % too large": ("fc", weights(lambda w: w * 1.002, "fc.weight")),
    "two classes swapped": ("fc", weights(permuted(0, pair(3, 11)), "fc.weight", "fc.bias")),
}
ORDER = ("conv1", "layer1.0.conv1", "layer1.0.relu", "layer2.0.conv2", "layer3.0.relu", "fc")


def _disguised(disguise: str, what: str) -> Fault:
    shown, hide = DISGUISES[disguise]
    layer, edit = BEHIND[what]
    first = min(filter(None, (shown, layer)), key=ORDER.index)
    return fault(f"{what} beside {disguise}", first, edit, hide)


DISGUISED: tuple[Fault, ...] = tuple(_disguised(*names) for names in product(DISGUISES, BEHIND))
