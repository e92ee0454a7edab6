"""Conversion to float16: what overflows stays in float32, without a detour through float16 between."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from resnetx.errors import GraphError
from resnetx.graph.float16 import FLOAT16_MAX, convert_precision, overflowing_nodes
from resnetx.runtime.catalog import open_runner
from tests.support.onnx_models import serialize

LARGE = 1e6


def chain(scales: list[float], *, end: str | None = None) -> onnx.ModelProto:
    """Multiplications `m0`, `m1`, ... by these numbers, whose tensors are `t0`, `t1`, ...; `end` is one more node."""
    names = ["x", *(f"t{number}" for number in range(len(scales)))]
    nodes = [
        helper.make_node("Mul", [names[number], f"w{number}"], [names[number + 1]], name=f"m{number}")
        for number in range(len(scales))
    ]
    if end is not None:
        nodes.append(helper.make_node(end, [names[-1]], ["end"], name="last"))
    weights = [numpy_helper.from_array(np.float32(scale), f"w{number}") for number, scale in enumerate(scales)]
    data = serialize(
        nodes,
        inputs={"x": (TensorProto.FLOAT, [1, 4])},
        outputs={nodes[-1].output[0]: (TensorProto.FLOAT, [1, 4])},
        weights=weights,
    )
    return onnx.load_from_string(data)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(model)
    (answer,) = open_runner(model.SerializeToString(), optimize=False).run({"x": x}).values()
    return answer


X = np.array([[1.0, -2.0, 3.0, 0.5]], np.float32)


def converted(model: onnx.ModelProto, keep: dict[str, str]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return convert_precision(copy, "fp16", keep=keep)


def test_what_writes_and_reads_a_large_tensor_stays_in_float32() -> None:
    model = chain([2.0, LARGE / 2, 1 / LARGE, 3.0])
    expected = run(model, X)
    largest = {"t0": 6.0, "t1": 3 * LARGE, "t2": 3.0, "t3": 9.0}
    keep = overflowing_nodes(model, largest)
    assert list(keep) == ["m1", "m2"]
    assert keep["m1"] == "its output t1 reaches 3e+06" and keep["m2"] == "its input t1 reaches 3e+06"
    half = converted(model, keep)
    # ONNX Runtime's cpu provider computes in float32 whatever the file says, so the graph itself must show it.
    by_name = {node.name: node for node in half.graph.node}
    assert by_name["m2"].input[0] == by_name["m1"].output[0]
    np.testing.assert_allclose(run(half, X), expected, rtol=2e-3)
    # One cast into the part in float32 and one out of it, beside those of input and output.
    assert [node.op_type for node in half.graph.node].count("Cast") == 4
    types = {tensor.name: tensor.data_type for tensor in half.graph.initializer}
    assert [types[f"w{number}"] for number in range(4)] == [
        TensorProto.FLOAT16,
        TensorProto.FLOAT,
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
    ]


@pytest.mark.parametrize("scales", [[2.0, LARGE], [LARGE], [LARGE, 2.0]])
def test_an_output_beyond_float16_stays_whole(scales: list[float]) -> None:
    model = chain(scales)
    largest = {f"t{number}": 3 * LARGE for number, scale in enumerate(scales) if LARGE in scales[: number + 1]}
    half = converted(model, overflowing_nodes(model, largest))
    assert [value.name for value in half.graph.output] == [f"t{len(scales) - 1}"]
    np.testing.assert_allclose(run(half, X), run(model, X), rtol=2e-3)


def test_probabilities_are_not_rounded_to_float16() -> None:
    model = chain([1.0], end="Softmax")
    half = converted(model, {})
    answer = run(half, X)
    assert not np.array_equal(answer, answer.astype(np.float16))
    assert float(abs(answer.sum() - 1)) < 1e-6
    assert half.graph.node[-1].op_type == "Softmax"


def test_a_margin_is_left_and_not_a_number_counts_as_too_large() -> None:
    model = chain([1.0, 1.0])
    assert overflowing_nodes(model, {"t0": FLOAT16_MAX / 2, "t1": 1.0}) == {}
    assert list(overflowing_nodes(model, {"t0": FLOAT16_MAX / 1.9, "t1": 1.0})) == ["m0", "m1"]
    assert list(overflowing_nodes(model, {"t0": 1.0, "t1": float("nan")})) == ["m1"]
    assert list(overflowing_nodes(model, {"t0": 1.0, "t1": float("inf")})) == ["m1"]


def test_a_weight_beyond_float16_is_refused_or_kept() -> None:
    model = chain([LARGE, 1 / LARGE])
    with pytest.raises(GraphError, match="w0 contains 1e"):
        converted(model, {})
    keep = overflowing_nodes(model, {"t0": 3 * LARGE})
    assert keep["m0"] == "its output t0 reaches 3e+06"
    np.testing.assert_allclose(run(converted(model, keep), X), X, rtol=2e-3)
    assert overflowing_nodes(chain([LARGE]), {})["m0"] == "its weight w0 reaches 1e+06"


def test_the_boundary_may_be_float16_too() -> None:
    model = convert_precision(chain([2.0]), "fp16", keep_boundary=False)
    runner = open_runner(model.SerializeToString())
    assert runner.inputs[0].dtype == runner.outputs[0].dtype == np.float16
    assert [node.op_type for node in model.graph.node] == ["Mul"]
