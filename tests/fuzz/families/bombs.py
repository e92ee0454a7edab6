"""Graphs of some hundred bytes that loop for ever or ask for all memory there is, run through the real commands."""

from collections.abc import Callable
from itertools import pairwise
from random import Random

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from tests.fuzz.case import Family, Setting

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
HUGE = (2**28, 2**31, 2**34, 2**40, 2**62)
Parts = tuple[list[NodeProto], dict[str, np.ndarray]]


def loop(rng: Random) -> Parts:
    """A loop whose condition stays true; sometimes it collects what it computes."""
    collects = rng.random() < 0.5
    outputs = [helper.make_tensor_value_info("more", BOOL, []), helper.make_tensor_value_info("v2", FLOAT, None)]
    nodes = [helper.make_node("Identity", ["cond"], ["more"]), helper.make_node("Identity", ["v"], ["v2"])]
    if collects:
        nodes.append(helper.make_node("Identity", ["v"], ["scan"]))
        outputs.append(helper.make_tensor_value_info("scan", FLOAT, None))
    body = helper.make_graph(
        nodes,
        "body",
        [
            helper.make_tensor_value_info("i", INT, []),
            helper.make_tensor_value_info("cond", BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, None),
        ],
        outputs,
    )
    out = ["y", "scans"] if collects else ["y"]
    return [helper.make_node("Loop", ["", "true", "x"], out, body=body)], {"true": np.array(True)}


def nested_loops(rng: Random) -> Parts:
    """Loops of 1,000 rounds in each other."""

    def body(depth: int) -> GraphProto:
        names = [f"{name}{depth}" for name in ("i", "c", "v", "d", "w")]
        i, c, v, d, w = names
        inner = (
            helper.make_node("Loop", ["many", "true", v], [w], body=body(depth - 1))
            if depth
            else helper.make_node("Identity", [v], [w])
        )
        return helper.make_graph(
            [helper.make_node("Identity", [c], [d]), inner],
            f"b{depth}",
            [
                helper.make_tensor_value_info(i, INT, []),
                helper.make_tensor_value_info(c, BOOL, []),
                helper.make_tensor_value_info(v, FLOAT, None),
            ],
            [helper.make_tensor_value_info(d, BOOL, []), helper.make_tensor_value_info(w, FLOAT, None)],
        )

    nodes = [helper.make_node("Loop", ["many", "true", "x"], ["y"], body=body(rng.choice([2, 4, 8])))]
    return nodes, {"many": np.array(1000), "true": np.array(True)}


def concat_chain(rng: Random) -> Parts:
    names = ["x", *(f"c{index}" for index in range(rng.choice([20, 30, 45, 60])))]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]
    return [*nodes, helper.make_node("ReduceSum", [names[-1]], ["y"], keepdims=0)], {}


def add_chain(rng: Random) -> Parts:
    """Each broadcasts against a larger axis."""
    sizes = [(1,) * index + (64,) + (1,) * (5 - index) for index in range(6)]
    constants = {f"k{index}": np.ones(size, np.float32) for index, size in enumerate(sizes)}
    nodes, last = [], "x1"
    nodes.append(helper.make_node("ReduceMean", ["x"], ["x1"], keepdims=0))
    for name in constants:
        nodes.append(helper.make_node("Add", [last, name], [f"{name}s"]))
        last = f"{name}s"
    return [*nodes, helper.make_node("ReduceSum", [last], ["y"], keepdims=0)], constants


def expand(rng: Random) -> Parts:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], keepdims=0),
        helper.make_node("Expand", ["m", "s"], ["e"]),
        helper.make_node("ReduceSum", ["e"], ["y"], keepdims=0),
    ]
    return nodes, {"s": np.array([rng.choice(HUGE)])}


def constant_of_shape(rng: Random) -> Parts:
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    return nodes, {"s": np.array(rng.choice([[2**33], [2**16, 2**16], [2**40], [2**62, 4]]))}


def tile(rng: Random) -> Parts:
    nodes = [helper.make_node("Tile", ["x", "r"], ["t"]), helper.make_node("ReduceMax", ["t"], ["y"], keepdims=0)]
    return nodes, {"r": np.array([1, 1, rng.choice([2**12, 2**20, 2**31]), rng.choice([2**10, 2**20])])}


def resize(rng: Random) -> Parts:
    scale = np.array([1, 1, *rng.choice([(1e3, 1e3), (1e5, 1e5), (1e9, 1)])], np.float32)
    nodes = [
        helper.make_node("Resize", ["x", "", "scale"], ["t"], mode=rng.choice(["nearest", "linear"])),
        helper.make_node("ReduceMax", ["t"], ["y"], keepdims=0),
    ]
    return nodes, {"scale": scale}


def pad(rng: Random) -> Parts:
    far = rng.choice([2**15, 2**20, 2**31, -(2**31)])
    nodes = [helper.make_node("Pad", ["x", "p"], ["t"]), helper.make_node("ReduceMax", ["t"], ["y"], keepdims=0)]
    return nodes, {"p": np.array([0, 0, far, far, 0, 0, far, far])}


def range_of(rng: Random) -> Parts:
    nodes = [
        helper.make_node("Range", ["a", "b", "c"], ["r"]),
        helper.make_node("ReduceMax", ["r"], ["m"], keepdims=0),
        helper.make_node("Add", ["x", "m"], ["y"]),
    ]
    constants = {"a": np.float32(0), "b": np.float32(rng.choice([1e10, 1e15, 1e38])), "c": np.float32(1)}
    return nodes, {name: np.array(value) for name, value in constants.items()}


def one_hot(rng: Random) -> Parts:
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=INT),
        helper.make_node("OneHot", ["i", "d", "v"], ["h"]),
        helper.make_node("ReduceMax", ["h"], ["y"], keepdims=0),
    ]
    return nodes, {"d": np.array(rng.choice([2**20, 2**31, 2**40])), "v": np.array([0, 1], np.float32)}


def einsum(rng: Random) -> Parts:
    letters = "abcdefgh"[: rng.choice([4, 6, 8])]
    vector = np.ones(64, np.float32)
    nodes = [
        helper.make_node("Einsum", ["k"] * len(letters), ["e"], equation=f"{','.join(letters)}->{letters}"),
        helper.make_node("ReduceMax", ["e"], ["m"], keepdims=0),
        helper.make_node("Add", ["x", "m"], ["y"]),
    ]
    return nodes, {"k": vector}


def nested_if(rng: Random) -> Parts:
    def branch(depth: int) -> GraphProto:
        name = f"o{depth}"
        node = (
            helper.make_node("If", ["true"], [name], then_branch=branch(depth - 1), else_branch=branch(depth - 1))
            if depth
            else helper.make_node("Identity", ["x"], [name])
        )
        return helper.make_graph([node], f"g{depth}", [], [helper.make_tensor_value_info(name, FLOAT, None)])

    depth = rng.choice([3, 8, 12])
    node = helper.make_node("If", ["true"], ["y"], then_branch=branch(depth), else_branch=branch(0))
    return [node], {"true": np.array(True)}


def big_kernel(rng: Random) -> Parts:
    side = rng.choice([2**15, 2**31 - 1])
    nodes = [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[side, side], pads=[side // 2] * 4)]
    return nodes, {}


def string_growth(rng: Random) -> Parts:
    names = [f"s{index}" for index in range(rng.choice([24, 40]))]
    nodes = [helper.make_node("StringConcat", [a, a], [b]) for a, b in pairwise(names)]
    return [*nodes, helper.make_node("Identity", ["x"], ["y"])], {"s0": np.array(["x" * 16], dtype=object)}


BOMBS: tuple[Callable[[Random], Parts], ...] = (
    *(loop, nested_loops, concat_chain, add_chain, expand, constant_of_shape, tile, resize, pad, range_of, one_hot),
    *(einsum, nested_if, big_kernel, string_growth),
)


def bomb(setting: Setting) -> list[str]:
    rng = setting.rng
    nodes, constants = rng.choice(BOMBS)(rng)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 3, 16, 16])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    path = str(setting.write("m.onnx", model.SerializeToString()))
    match rng.choice(
        ["inspect", "verify", "openvino", "reference", "simplify", "convert", "quantize", "profile", "bench"]
    ):
        case "inspect":
            return ["inspect", path]
        case "verify":
            return ["verify", path, "--reference", str(setting.corpus.plain)]
        case "openvino":
            return ["verify", path, "--provider", "openvino"]
        case "convert":
            return ["convert", path, "-o", "out/h.onnx", "--timeout", "8"]
        case "quantize":
            made_up = ["--calibrate", "synthetic", "--samples", "4", "--timeout", "8"]
            return ["quantize", path, "-o", "out/q.onnx", *made_up]
        case "reference":
            return ["verify", str(setting.corpus.plain), "--reference", path]
        case "simplify":
            return ["simplify", path, "-o", "out/s.onnx", "--timeout", "8"]
        case "profile":
            return ["profile", path, "--provider", "cpu", "--duration", "0.1", "--timeout", "8"]
    return ["bench", path, "--provider", "cpu", "--duration", "0.1", "--rounds", "2", "--timeout", "8"]


FAMILIES = {
    "graph bombs": Family(build=bomb, share=0.6, real=True, limit_s=60, needs_limits=True),
}
