"""Quantization, casts, and ONNX Runtime's own operators, against ONNX Runtime."""

from typing import Any

import numpy as np
import pytest

from tests.verification.evaluation.one_node import answers, assert_same, floats, node_model

MICROSOFT = "com.microsoft"
SCALE, SMALL = np.array(0.031, np.float32), np.array(0.011, np.float32)


def whole(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, dtype, endpoint=True)


def weights(shape: tuple[int, ...], dtype: str, seed: int = 1) -> np.ndarray:
    """In seven bits: on processors without VNNI, ONNX Runtime saturates sums of two products with signed weights."""
    return whole(shape, dtype, seed) // 2 if dtype == "int8" else whole(shape, dtype, seed)


def zero(dtype: str, value: int | None = None) -> np.ndarray:
    return np.array(value if value is not None else 128 if dtype == "uint8" else 3, dtype)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_quantize_and_dequantize_a_tensor(dtype: str) -> None:
    x = floats((3, 4, 5)) * 6
    assert_same("QuantizeLinear", [x, SCALE, zero(dtype, 3)], opset=21, steps_apart=1)
    assert_same("DequantizeLinear", [whole((3, 4, 5), dtype), SCALE, zero(dtype, 3)], opset=21)


def test_quantization_saturates_and_rounds_to_even() -> None:
    x = np.array([-1e9, -0.75, -0.25, 0.25, 0.75, 1.25, 1e9, np.inf, -np.inf], np.float32)
    assert_same("QuantizeLinear", [x, np.array(0.5, np.float32), zero("int8", 0)], opset=13)
    assert_same("QuantizeLinear", [x, np.array(0.5, np.float32)], opset=13)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_quantize_and_dequantize_by_axis(axis: int) -> None:
    x = floats((3, 4, 5)) * 6
    size = x.shape[axis]
    scales, zeros = np.linspace(0.01, 0.09, size).astype(np.float32), np.arange(size).astype(np.int8)
    assert_same("QuantizeLinear", [x, scales, zeros], opset=13, axis=axis, steps_apart=1)
    assert_same("DequantizeLinear", [whole(x.shape, "int8"), scales, zeros], opset=13, axis=axis)


def test_quantize_and_dequantize_by_block() -> None:
    x = floats((3, 8)) * 6
    scales, zeros = np.abs(floats((3, 4), 1)) * 0.1 + np.float32(0.01), whole((3, 4), "int8")
    assert_same("QuantizeLinear", [x, scales, zeros], opset=21, axis=1, block_size=2, steps_apart=1)
    assert_same("DequantizeLinear", [whole((3, 8), "int8"), scales, zeros], opset=21, axis=1, block_size=2)


def test_dequantize_biases() -> None:
    scales = np.linspace(0.001, 0.009, 4).astype(np.float32)
    assert_same("DequantizeLinear", [whole((4,), "int32"), scales], opset=13, axis=0)


def test_dynamic_quantization() -> None:
    for x in (floats((4, 5)), np.abs(floats((4, 5))) + 1, np.zeros((2, 2), np.float32)):
        assert_same("DynamicQuantizeLinear", [x.astype(np.float32)], outputs=3, steps_apart=1)


@pytest.mark.parametrize("signed", [("uint8", "uint8"), ("uint8", "int8"), ("int8", "int8")])
@pytest.mark.parametrize("per_channel", [False, True])
def test_quantized_convolution(signed: tuple[str, str], per_channel: bool) -> None:
    x, w = whole((2, 4, 7, 7), signed[0]), weights((6, 4, 3, 3), signed[1])
    scales = np.linspace(0.001, 0.004, 6).astype(np.float32) if per_channel else np.array(0.002, np.float32)
    zeros = np.zeros(6 if per_channel else (), signed[1])
    x_zero, y_zero = zero(signed[0]), zero(signed[0], 100)
    rest: dict[str, Any] = {"pads": [1, 1, 0, 1], "strides": [2, 1], "steps_apart": 1}
    inputs = [x, SCALE, x_zero, w, scales, zeros, np.array(0.3, np.float32), y_zero]
    assert_same("QLinearConv", inputs, **rest)
    assert_same("QLinearConv", [*inputs, whole((6,), "int16").astype(np.int32)], **rest)


def test_integer_products_are_exact() -> None:
    x, w = whole((2, 4, 7, 7), "uint8"), whole((6, 4, 3, 3), "uint8", 1)
    assert_same("ConvInteger", [x, w, zero("uint8"), zero("uint8", 7)], pads=[1, 1, 1, 1])
    a, b = whole((2, 5, 300), "uint8"), weights((300, 4), "int8")
    assert_same("MatMulInteger", [a, b, zero("uint8"), zero("int8", 2)])
    assert_same("MatMulInteger", [a, b, zero("uint8"), whole((4,), "int8", 2)])


def test_quantized_matrix_products() -> None:
    a, b = whole((5, 30), "uint8"), weights((30, 4), "int8")
    y_scale = np.array(0.4, np.float32)
    inputs = [a, SCALE, zero("uint8"), b, SMALL, zero("int8"), y_scale, zero("uint8")]
    assert_same("QLinearMatMul", inputs, steps_apart=1)
    columns = [np.linspace(0.01, 0.02, 4).astype(np.float32), np.zeros(4, np.int8)]
    assert_same("QLinearMatMul", [*inputs[:4], *columns, *inputs[6:]], steps_apart=1)
    bias = whole((4,), "int16").astype(np.int32)
    left = [a, SCALE, zero("uint8"), b.T.copy(), *columns]
    rest: dict[str, Any] = {"domain": MICROSOFT, "transB": 1, "steps_apart": 1}
    assert_same("QGemm", [*left, bias, y_scale, zero("uint8")], **rest)
    assert_same("QGemm", [*left, bias], **rest)
    assert_same(
        "MatMulIntegerToFloat", [a, b, SCALE, SMALL, zero("uint8"), zero("int8"), floats((4,))], domain=MICROSOFT
    )
    assert_same("DynamicQuantizeMatMul", [floats((5, 30)), b, SMALL, zero("int8")], domain=MICROSOFT, tolerance=2e-2)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_quantized_elements(dtype: str) -> None:
    a, b = whole((2, 3, 4, 4), dtype), whole((3, 1, 1), dtype, 1)
    output = [np.array(0.05, np.float32), zero(dtype)]
    rest: dict[str, Any] = {"domain": MICROSOFT, "steps_apart": 1}
    for operator in ("QLinearAdd", "QLinearMul"):
        assert_same(operator, [a, SCALE, zero(dtype), b, SMALL, zero(dtype, 9), *output], **rest)
    assert_same("QLinearSigmoid", [a, SCALE, zero(dtype), SMALL, zero(dtype)], **rest)
    assert_same("QLinearLeakyRelu", [a, SCALE, zero(dtype), *output], alpha=0.2, **rest)
    probabilities = [np.array(1 / 256, np.float32), np.array(0 if dtype == "uint8" else -128, dtype)]
    assert_same("QLinearSoftmax", [a, SCALE, zero(dtype), *probabilities], axis=-1, more={"opset": 13}, **rest)
    parts = [a, SCALE, zero(dtype), a, SMALL, zero(dtype, 9)]
    assert_same("QLinearConcat", [*output, *parts], axis=1, **rest)
    chosen = [np.array([[True], [False], [True], [True]]), a, SCALE, zero(dtype), a, SMALL, zero(dtype, 9), *output]
    assert_same("QLinearWhere", chosen, **rest)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("last", [0, 1])
def test_quantized_pools(dtype: str, last: int) -> None:
    x = whole((2, 5, 6, 3) if last else (2, 3, 5, 6), dtype)
    inputs = [x, SCALE, zero(dtype), np.array(0.04, np.float32), zero(dtype)]
    rest: dict[str, Any] = {"domain": MICROSOFT, "channels_last": last, "steps_apart": 1}
    assert_same("QLinearGlobalAveragePool", inputs, **rest)
    assert_same("QLinearAveragePool", inputs, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], **rest)
    if last:
        assert_same("NhwcMaxPool", [x], domain=MICROSOFT, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])


ACTIVATIONS: list[dict[str, Any]] = [
    {},
    {"activation": "Relu"},
    {"activation": "Sigmoid"},
    {"activation": "Tanh"},
    {"activation": "LeakyRelu", "activation_params": [0.2]},
    {"activation": "Clip", "activation_params": [-0.5, 1.5]},
    {"activation": "HardSigmoid", "activation_params": [0.2, 0.4]},
]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda each: each.get("activation", "none"))
def test_fused_convolution(activation: dict[str, Any]) -> None:
    inputs = [floats((2, 3, 6, 6)), floats((4, 3, 3, 3), 1), floats((4,), 2)]
    assert_same("FusedConv", inputs, domain=MICROSOFT, pads=[1, 1, 1, 1], **activation)
    assert_same("FusedConv", [*inputs, floats((2, 4, 6, 6), 3)], domain=MICROSOFT, pads=[1, 1, 1, 1], **activation)


def test_fused_matrix_products() -> None:
    a, b = floats((4, 3)), floats((5, 4), 1)
    for named in ({"activation": "Relu"}, {"activation": "LeakyRelu", "activation_alpha": 0.2}):
        assert_same("FusedGemm", [a, b, floats((5,), 2)], domain=MICROSOFT, transA=1, transB=1, **named)
    for named in ({}, {"transA": 1, "transB": 1, "alpha": 0.5}):
        left, right = ((2, 3, 4), (2, 4, 5)) if not named else ((2, 4, 3), (2, 5, 4))
        assert_same("FusedMatMul", [floats(left), floats(right, 1)], domain=MICROSOFT, **named)
    left, right = floats((3, 2, 4)), floats((4, 2, 5), 1)
    assert_same("FusedMatMul", [left, right], domain=MICROSOFT, transBatchA=1, transBatchB=1)


def test_fused_activations() -> None:
    x, bias = floats((2, 3, 8)) * 2, floats((8,), 1)
    assert_same("Gelu", [x], domain=MICROSOFT)
    assert_same("BiasGelu", [x, bias], domain=MICROSOFT)
    assert_same("FastGelu", [x, bias], domain=MICROSOFT)
    assert_same("FastGelu", [x], domain=MICROSOFT)
    assert_same("QuickGelu", [x], domain=MICROSOFT, alpha=1.5)
    skip = [x, floats((2, 3, 8), 3), floats((8,), 4), floats((8,), 5), floats((8,), 6)]
    assert_same("SkipLayerNormalization", skip, domain=MICROSOFT, epsilon=1e-3)
    assert_same("SkipSimplifiedLayerNormalization", [*skip[:3], bias], domain=MICROSOFT, epsilon=1e-3)


@pytest.mark.parametrize("source", ["float32", "int32", "int64", "uint8", "int8", "bool", "float16", "float64"])
@pytest.mark.parametrize("target", ["float32", "int32", "int64", "uint8", "int8", "bool", "float16", "float64"])
def test_casts(source: str, target: str) -> None:
    from onnx import helper

    x = np.array([0, 1, 3.7, 100.2, 0.5]).astype(source)
    assert_same("Cast", [x], to=helper.np_dtype_to_tensor_dtype(np.dtype(target)))


def test_negative_numbers_are_cut_towards_zero() -> None:
    from onnx import TensorProto

    x = np.array([-3.7, -0.2, 2.9], np.float32)
    assert_same("Cast", [x], to=TensorProto.INT32)


def test_a_cast_to_float16_rounds_once() -> None:
    """A number that is above a tie by less than float32 tells."""
    from onnx import TensorProto

    tie = 1 + 2.0**-11
    model, feeds = node_model(
        "Cast", [np.array([tie, tie + 2.0**-40, 70000.0, 1e-8], np.float64)], to=TensorProto.FLOAT16
    )
    (found,) = answers(model, feeds)
    assert found.tolist() == [1.0, 1 + 2.0**-10, np.inf, 0.0]
    (found,) = answers(model, feeds, steps="ignored")
    assert found.tolist() == feeds["i0"].tolist()
