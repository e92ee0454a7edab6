"""Shifted weights: other integers for the same numbers, on the kernel that zero points choose in ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from resnetx.graph.quantization.shifted_weights import shiftable, with_shifted_weights
from resnetx.runtime.catalog import open_runner
from tests.support.onnx_models import serialize

# 255 * (64 + 64) is the most that the 16-bit sums of processors without VNNI hold, and shifted weights are one lower.
LOWEST, HIGHEST = -63, 64


def convolution(weights: np.ndarray, *, zeros: np.ndarray | None = None, group: int = 1, zero_point: int = 3) -> bytes:
    """A convolution between integers, as `resnetx quantize` writes it for `cpu`."""
    outputs = len(weights)
    scales = np.linspace(0.001, 0.002, outputs, dtype=np.float32)
    constants = {
        "w_quantized": weights,
        "w_scale": scales,
        "w_zero": np.zeros(outputs, np.int8) if zeros is None else zeros,
        "b_quantized": np.arange(-outputs, outputs, 2, dtype=np.int32),
        "b_scale": scales * np.float32(0.02),
        "b_zero": np.zeros(outputs, np.int32),
        "x_scale": np.float32(0.02),
        "x_zero": np.uint8(zero_point),
        "y_scale": np.float32(0.015),
        "y_zero": np.uint8(120),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "x_scale", "x_zero"], ["x_dq"]),
        helper.make_node("DequantizeLinear", ["w_quantized", "w_scale", "w_zero"], ["w"], axis=0),
        helper.make_node("DequantizeLinear", ["b_quantized", "b_scale", "b_zero"], ["b"], axis=0),
        helper.make_node("Conv", ["x_dq", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1], group=group),
        helper.make_node("QuantizeLinear", ["c", "y_scale", "y_zero"], ["y_q"]),
        helper.make_node("DequantizeLinear", ["y_q", "y_scale", "y_zero"], ["y"]),
    ]
    return serialize(
        nodes,
        inputs={"x": (TensorProto.FLOAT, ["batch", weights.shape[1] * group, 9, 9])},
        outputs={"y": (TensorProto.FLOAT, ["batch", outputs, "h", "w"])},
        weights=[numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )


def answer(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    return open_runner(model.SerializeToString()).run({"x": images})["y"]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(16, 8, 3, 3), (7, 5, 1, 1), (1, 1, 3, 3), (64, 32, 1, 1), (24, 3, 7, 7)]),
    group=st.sampled_from([1, 1, 2]),
    zero_point=st.integers(0, 255),
)
def test_the_numbers_are_the_same_to_the_bit(seed: int, shape: tuple[int, ...], group: int, zero_point: int) -> None:
    random = np.random.default_rng(seed)
    outputs = shape[0] * group
    weights = random.integers(LOWEST, HIGHEST + 1, (outputs, *shape[1:]), np.int8)
    model = onnx.load_from_string(convolution(weights, group=group, zero_point=zero_point))
    shifted = with_shifted_weights(model, ["conv"])
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in shifted.graph.initializer}
    assert (stored["w_zero"] == -1).all() and np.array_equal(stored["w_quantized"].astype(int), weights.astype(int) - 1)
    images = random.uniform(-6, 6, (2, shape[1] * group, 9, 9)).astype(np.float32)
    before, after = answer(model, images), answer(shifted, images)
    assert np.array_equal(before, after) and len(np.unique(before)) > 1


@pytest.mark.parametrize(
    ("weights", "zeros"),
    [
        (np.full((4, 2, 3, 3), -128, np.int8), None),  # there is no integer below
        (np.ones((4, 2, 3, 3), np.int8), np.array([0, 0, 1, 0], np.int8)),  # not symmetric
        (np.ones((4, 2, 3, 3), np.uint8), np.zeros(4, np.uint8)),  # not signed
    ],
)
def test_weights_that_cannot_be_lower_stay(weights: np.ndarray, zeros: np.ndarray | None) -> None:
    model = onnx.load_from_string(convolution(weights, zeros=zeros))
    assert shiftable(model.graph) == [] and with_shifted_weights(model, ["conv"]) == model


def test_only_the_chosen_layers_are_shifted_and_the_kernel_is_still_one(tmp_path: Path) -> None:
    import onnxruntime

    model = onnx.load_from_string(convolution(np.ones((4, 2, 3, 3), np.int8)))
    assert shiftable(model.graph) == ["conv"] and with_shifted_weights(model, ["other"]) == model
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    shifted = with_shifted_weights(model, ["conv"]).SerializeToString()
    onnxruntime.InferenceSession(shifted, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QLinearConv") == 1 and "Conv" not in kinds
