"""The trace of ONNX Runtime: kernels by run, without double counting; and damaged traces."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from resnetx.errors import GraphError
from resnetx.runtime.catalog import engine_of, find_provider
from resnetx.runtime.numbered_nodes import numbered, numbers_in
from resnetx.runtime.ort.profile import ProfiledSession, layers_of, read_trace
from resnetx.runtime.runner import Opening
from tests.support.onnx_models import small_classifier

EMPTY = helper.make_graph([], "empty", [], [])


def run_event(ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur, "args": {}}


def kernel(name: str, ts: int, dur: int, *, op: str = "Relu", index: int = 0, kind: str = "float") -> dict[str, Any]:
    shapes = {"input_type_shape": [{kind: [1, 4]}], "output_type_shape": [{kind: [1, 4]}]}
    args = {"op_name": op, "node_index": str(index), "provider": "CPUExecutionProvider", **shapes}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": args}


def test_each_run_has_its_own_times_and_warm_up_is_left_out() -> None:
    events = [
        {"cat": "Session", "name": "session_initialization", "ts": 0, "dur": 90, "args": {}},
        kernel("folded", 10, 5, index=9),  # a constant, computed while the session is opened
        *(run_event(ts, 50) for ts in (100, 200, 300)),
        *(kernel("@0@", ts + 1, dur) for ts, dur in ((100, 40), (200, 10), (300, 20))),
        *(kernel("@1@_nchwc", ts + 45, 2, op="Conv", index=1) for ts in (100, 200, 300)),
        kernel("@0@_fence_before", 102, 1),
    ]
    events[-1]["name"] = "@0@_fence_before"
    first, second = layers_of(read_trace(json.dumps(events)), onnx.GraphProto(node=[onnx.NodeProto()] * 2), warmup=1)
    assert (first.name, first.nodes, first.times_ms, first.moved_bytes) == ("@0@", (0,), (0.01, 0.02), 32)
    assert (second.kernel, second.nodes, second.times_ms) == ("Conv nchwc", (1,), (0.002, 0.002))
    assert second.precision == "fp32"


def test_the_nodes_in_a_loop_are_not_counted_beside_it() -> None:
    events = [
        run_event(100, 100),
        kernel("@0@", 110, 60, op="Loop"),
        *(kernel("", ts, 20, index=5) for ts in (112, 140)),
        kernel("@1@", 180, 10, index=1),
    ]
    layers = layers_of(read_trace(json.dumps(events)), EMPTY, warmup=0)
    assert [(layer.operator, layer.times_ms) for layer in layers] == [("Loop", (0.06,)), ("Relu", (0.01,))]


def test_a_type_that_is_not_known_has_no_bytes() -> None:
    (layer,) = layers_of(read_trace(json.dumps([run_event(0, 9), kernel("x", 1, 2, kind="string")])), EMPTY, warmup=0)
    assert layer.moved_bytes is None and layer.precision == "string" and layer.nodes == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[",
        json.dumps([kernel("x", 1, 2) | {"ts": "soon"}]),
        json.dumps([kernel("x", 1, 2) | {"args": {"op_name": "Relu"}}]),
        json.dumps([kernel("x", 1, 2) | {"args": []}]),
        json.dumps([run_event(0, 1) | {"dur": None}]),
    ],
)
def test_a_damaged_trace_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid|not a list|Expecting"):
        read_trace(text)


def test_a_trace_that_cannot_be_read_is_a_graph_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path: "[")
    with pytest.raises(GraphError, match="The profile that ONNX Runtime wrote cannot be read"):
        opened(small_classifier()).layer_times()


def opened(model: bytes) -> ProfiledSession:
    data = numbered(onnx.ModelProto.FromString(model))
    session = engine_of(find_provider("cpu")).open(data, Opening(profile=True, batch=1, threads=1))
    assert isinstance(session, ProfiledSession)
    session.run({session.inputs[0].name: np.zeros((1, 3, 16, 16), np.float32)})
    return session


def test_the_folder_of_the_trace_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    session = opened(small_classifier())
    assert len(list(tmp_path.iterdir())) == 1
    assert {number for layer in session.layer_times() for number in layer.nodes} >= {1, 2, 3, 5}
    session.close()
    assert list(tmp_path.iterdir()) == []


def branching() -> onnx.ModelProto:
    """An If whose branches read a tensor of the graph around them, and a weight of a name of their own."""

    def branch(scale: float) -> onnx.GraphProto:
        weight = onnx.numpy_helper.from_array(np.float32(scale), "own")
        node = helper.make_node("Mul", ["doubled", "own"], ["scaled"], name="inner")
        out = helper.make_tensor_value_info("scaled", onnx.TensorProto.FLOAT, [2])
        return helper.make_graph([node], "branch", [], [out], [weight])

    nodes = [
        helper.make_node("Add", ["x", "x"], ["doubled"], name='"quoted\\'),
        helper.make_node("If", ["flag"], ["y"], then_branch=branch(3.0), else_branch=branch(5.0)),
    ]
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in "xy")
    flag = helper.make_tensor_value_info("flag", onnx.TensorProto.BOOL, [])
    graph = helper.make_graph(nodes, "g", [x, flag], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(("flag", "factor"), [(True, 6.0), (False, 10.0)])
def test_a_numbered_model_computes_the_same(flag: bool, factor: float) -> None:
    data = numbered(branching())
    session = engine_of(find_provider("cpu")).open(data, Opening(profile=True, threads=1))
    names = [info.name for info in session.inputs]
    result = session.run({names[0]: np.ones(2, np.float32), names[1]: np.array(flag)})
    assert [list(value) for value in result.values()] == [[factor, factor]]
    layers = session.layer_times()
    assert [(layer.operator, layer.nodes) for layer in layers] == [("Add", (0,)), ("If", (1,))]
    session.close()


def test_numbers_are_found_in_an_engines_names() -> None:
    assert numbers_in("fused @12@_nchwc @3.1@/x @12@ @x@ 4") == (12, 3)
