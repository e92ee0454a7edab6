"""Small graphs that take any amount of memory or time when they run."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def _serialized(nodes: Sequence[onnx.NodeProto], **constants: Any) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _summed(name: str) -> list[onnx.NodeProto]:
    return [helper.make_node("ReduceMax", [name], ["m"], keepdims=0), helper.make_node("Add", ["x", "m"], ["y"])]


def constant_bomb() -> bytes:
    """8 GB that a constant declares; optimizers fold it when the file is opened."""
    return _serialized([helper.make_node("ConstantOfShape", ["s"], ["z"]), *_summed("z")], s=[2**31])


def expand_bomb() -> bytes:
    """60 GB computed from the input, so that nothing can be folded."""
    return _serialized([helper.make_node("Expand", ["x", "s"], ["z"]), *_summed("z")], s=[10**7, 3, 8, 8])


def concat_bomb(times: int = 30) -> bytes:
    """A tensor that doubles in each node."""
    names = ["x", *(f"c{index}" for index in range(times))]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=0) for a, b in itertools.pairwise(names)]
    return _serialized([*nodes, *_summed(names[-1])])


def resize_bomb() -> bytes:
    node = helper.make_node("Resize", ["x", "", "s"], ["z"], mode="nearest")
    return _serialized([node, *_summed("z")], s=np.array([1, 1, 10**4, 10**4], np.float32))


def tile_bomb() -> bytes:
    return _serialized([helper.make_node("Tile", ["x", "s"], ["z"]), *_summed("z")], s=[10**7, 1, 1, 1])


def endless_loop() -> bytes:
    """A Loop without an end."""
    infos = {name: helper.make_tensor_value_info(name, FLOAT, None) for name in ("v", "w")}
    condition = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("c", "d")]
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["v"], ["w"])],
        "b",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), condition[0], infos["v"]],
        [condition[1], infos["w"]],
    )
    return _serialized([helper.make_node("Loop", ["", "t", "x"], ["y"], body=body)], t=True)


def harmless() -> bytes:
    return _serialized([helper.make_node("Relu", ["x"], ["y"])])
