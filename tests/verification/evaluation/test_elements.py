"""Element by element, reductions and normalizations, against ONNX Runtime."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verification.evaluation.one_node import assert_same, floats

POSITIVE = ("Sqrt", "Log", "Reciprocal", "Acosh")
INSIDE = ("Acos", "Asin", "Atanh")
UNARY = (
    *("Abs", "Neg", "Sign", "Ceil", "Floor", "Round", "Exp", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh", "Atan"),
    *("Asinh", "Erf", "IsNaN", "IsInf", "Identity", "Relu", "Sigmoid", "Softplus", "Softsign", "HardSwish", "Mish"),
    *POSITIVE,
    *INSIDE,
)
BROADCAST = [((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((5,), ())]


@pytest.mark.parametrize("operator", UNARY)
def test_unary(operator: str) -> None:
    x = floats((4, 5)) * 3
    x = np.abs(x) + 1.01 if operator in POSITIVE else np.tanh(x) * np.float32(0.99) if operator in INSIDE else x
    assert_same(operator, [x], opset=22)


@pytest.mark.parametrize(
    "operator", ["Sign", "Relu", "Abs", "Sqrt", "Exp", "IsNaN", "IsInf", "Neg", "Floor", "Erf", "Sigmoid"]
)
def test_unary_of_what_is_no_number(operator: str) -> None:
    assert_same(operator, [np.array([np.nan, np.inf, -np.inf, 0.0, 1.0], np.float32)])


@pytest.mark.parametrize(
    ("operator", "attributes"),
    [
        ("LeakyRelu", {"alpha": 0.3}),
        ("Elu", {"alpha": 1.7}),
        ("Selu", {}),
        ("Selu", {"alpha": 1.5, "gamma": 0.8}),
        ("Celu", {"alpha": 0.6}),
        ("ThresholdedRelu", {"alpha": 0.5}),
        ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
        ("Gelu", {}),
        ("Gelu", {"approximate": "tanh"}),
        ("Shrink", {"bias": 0.2, "lambd": 0.7}),
        ("IsInf", {"detect_negative": 0}),
        ("LRN", {"size": 3, "alpha": 0.02, "beta": 0.6, "bias": 2.0}),
        ("LRN", {"size": 5}),
        ("LpNormalization", {"axis": 1, "p": 1}),
        ("LpNormalization", {"axis": -1}),
        ("MeanVarianceNormalization", {"axes": [0, 2, 3]}),
    ],
)
def test_parameters_of_activations(operator: str, attributes: dict[str, Any]) -> None:
    assert_same(operator, [floats((2, 6, 4, 5)) * 2], **attributes)


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("opset", [7, 11, 13])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1])
def test_softmax(operator: str, opset: int, axis: int | None) -> None:
    if opset < 11 and axis == -1:
        axis = 2  # negative axes came later
    assert_same(operator, [floats((3, 4, 5)) * 8], opset=opset, **({} if axis is None else {"axis": axis}))


@pytest.mark.parametrize("shapes", BROADCAST)
@pytest.mark.parametrize(
    "operator",
    ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "Less", "Greater", "Equal", "GreaterOrEqual"],
)
def test_binary(operator: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = floats(shapes[0]), floats(shapes[1], 1)
    a = np.abs(a) if operator == "Pow" else a
    assert_same(operator, [np.asarray(a, np.float32), np.asarray(b, np.float32)], opset=13)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div", "Mod", "Pow", "Max", "Min"])
def test_integers(operator: str, dtype: str) -> None:
    a = np.array([7, -7, 5, -5, 0], dtype)
    b = np.array([2, 2, -3, -3, 4], dtype)
    assert_same(operator, [a, np.abs(b) if operator == "Pow" else b], opset=13)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int8", "int16"])
def test_small_integers_wrap(dtype: str) -> None:
    """Against numpy: ONNX Runtime computes few of them."""
    from tests.verification.evaluation.one_node import answers, node_model

    a, b = np.array([250, 3, 127], dtype="int64").astype(dtype), np.array([10, 5, 2], dtype)
    for operator, wanted in (("Add", a + b), ("Sub", a - b), ("Mul", a * b)):
        (found,) = answers(*node_model(operator, [a, b], opset=14))
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(("fmod", "dtype"), [(1, "float32"), (1, "int32"), (0, "int32")])
def test_mod(fmod: int, dtype: str) -> None:
    a, b = np.array([7.5, -7.5, 5, -5]).astype(dtype), np.array([2, 2, -3, -3]).astype(dtype)
    assert_same("Mod", [a, b], fmod=fmod)


def test_logic_and_choice() -> None:
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    for operator in ("And", "Or", "Xor"):
        assert_same(operator, [a, b])
    assert_same("Not", [a])
    assert_same("Where", [a[:, None], floats((4, 3)), floats((3,), 1)])


def test_clip() -> None:
    low, high = np.float32(-0.5), np.float32(0.7)
    x = floats((3, 4))
    assert_same("Clip", [x], opset=7, min=-0.5, max=0.7)
    assert_same("Clip", [x], opset=7, min=-0.5)
    for inputs in ([x], [x, low], [x, None, high], [x, low, high], [x, high, low]):
        assert_same("Clip", [None if each is None else np.asarray(each) for each in inputs], opset=13)
    assert_same("Clip", [np.arange(9, dtype=np.int8), np.array(2, np.int8), np.array(5, np.int8)], opset=13)


def test_prelu() -> None:
    for slope in ((3, 1, 1), (1,), (2, 3, 4, 4)):
        assert_same("PRelu", [floats((2, 3, 4, 4)), floats(slope, 1)])


REDUCTIONS = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(REDUCTIONS),
    st.sampled_from([7, 11, 13, 18]),
    st.sampled_from([None, (0,), (1, 2), (-1,), (0, 1, 2, 3), (2, -1)]),
    st.booleans(),
)
def test_reductions(name: str, opset: int, axes: tuple[int, ...] | None, keep: bool) -> None:
    if opset == 7 and axes is not None:
        axes = tuple(axis % 4 for axis in axes)
    x = floats((2, 3, 4, 5)) + np.float32(0.3)
    x = np.abs(x) if name == "LogSum" else x
    as_input = axes is not None and (opset >= 18 or (name == "Sum" and opset >= 13))
    inputs = [x, np.array(axes, np.int64)] if as_input else [x]
    attributes: dict[str, Any] = {"keepdims": int(keep)}
    if axes is not None and not as_input:
        attributes["axes"] = axes
    assert_same(f"Reduce{name}", inputs, opset=opset, **attributes)


def test_a_reduction_over_no_axes() -> None:
    x, none = floats((2, 3)), np.array([], np.int64)
    for keep in (0, 1):
        assert_same("ReduceSum", [x, none], opset=13, noop_with_empty_axes=1, keepdims=keep)
        assert_same("ReduceSum", [x, none], opset=13, keepdims=keep)
    assert_same("ReduceMean", [np.array(3.0, np.float32)], opset=13)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("name", ["Sum", "Max", "Min", "Prod", "Mean"])
def test_reductions_of_integers(name: str, dtype: str) -> None:
    assert_same(f"Reduce{name}", [np.arange(-5, 7).reshape(3, 4).astype(dtype)], opset=13, axes=[1]) if (
        name != "Sum"
    ) else assert_same("ReduceSum", [np.arange(12).reshape(3, 4).astype(dtype), np.array([1])], opset=13)


@pytest.mark.parametrize("operator", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_arg(operator: str, last: int, keep: int, axis: int) -> None:
    x = np.round(floats((4, 5, 6)))
    assert_same(operator, [x], opset=13, axis=axis, keepdims=keep, select_last_index=last)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [0, -1])
def test_running_sum(exclusive: int, reverse: int, axis: int) -> None:
    assert_same("CumSum", [floats((3, 4)), np.array(axis)], exclusive=exclusive, reverse=reverse)


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("sizes", [(), (6,), (4, 5)])
def test_batch_normalization(opset: int, sizes: tuple[int, ...]) -> None:
    inputs = [floats((3, 4, *sizes)), floats((4,), 1), floats((4,), 2), floats((4,), 3), np.abs(floats((4,), 4))]
    assert_same("BatchNormalization", inputs, opset=opset, epsilon=1e-3)


@pytest.mark.parametrize("opset", [18, 21])
def test_group_normalization(opset: int) -> None:
    size = 2 if opset == 18 else 6
    inputs = [floats((2, 6, 4, 5)), floats((size,), 1), floats((size,), 2)]
    assert_same("GroupNormalization", inputs, opset=opset, num_groups=2, epsilon=1e-2)


def test_other_normalizations() -> None:
    x = floats((2, 6, 4, 5))
    assert_same("InstanceNormalization", [x, floats((6,), 1), floats((6,), 2)], epsilon=1e-3)
    assert_same("LayerNormalization", [x, floats((5,), 1), floats((5,), 2)], opset=17)
    assert_same("LayerNormalization", [x, floats((4, 5), 1)], opset=17, axis=2, outputs=3)
    assert_same("RMSNormalization", [x, floats((5,), 1)], opset=23, epsilon=1e-3)
    assert_same("SimplifiedLayerNormalization", [x, floats((5,), 1)], opset=17)
