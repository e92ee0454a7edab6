"""A file beside another one: as sharp as beside the module, and no alarm for what quantizers and optimizers do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from resnetx.graph.float16 import convert_precision
from resnetx.verification.structure.reference_file import compare_with_file
from resnetx.verification.structure.result import StructureComparison
from tests.verification.structure.healthy import SIZE, optimized, standard_file
from tests.verification.test_verify import quantized

FEEDS = [np.zeros((3, 3, SIZE, SIZE), np.float32)]
LAYER = "layer2.0.conv2"


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The runtime's own quantization, without a card."""
    folder = tmp_path_factory.mktemp("int8")
    onnx.save(standard_file(), folder / "float.onnx")
    return quantized(folder / "float.onnx", folder / "int8.onnx", SIZE).read_bytes()


def change(model: ModelProto, kind: str, how: Callable[[np.ndarray], np.ndarray], layer: str = LAYER) -> None:
    tensor = next(each for each in model.graph.initializer if each.name.startswith(layer) and each.name.endswith(kind))
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(how(array).astype(array.dtype), tensor.name))


def compared(model: ModelProto, precision: str = "int8") -> StructureComparison:
    return compare_with_file(model, standard_file(), FEEDS, precision=precision)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", ["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"])
def test_what_an_optimizer_wrote_is_the_reference(level: str, tmp_path: Path) -> None:
    assert compared(standard_file(), "fp32").complete
    assert compared(convert_precision(standard_file(), "fp16"), "fp16").complete
    assert compared(optimized(standard_file(), level, tmp_path), "fp32").passed


@pytest.mark.parametrize("factor", [1.3, 0.7, 1.05, 0.95])
def test_a_scale_of_one_layer_is_found_and_named(int8: bytes, factor: float) -> None:
    model = onnx.load_from_string(int8)
    assert compared(model).passed and len(compared(model).proved) >= 10
    change(model, "weight_scale", lambda scale: scale * factor)
    assert [each.layer for each in compared(model).differences] == [LAYER]


def test_the_other_step_around_a_weight_and_corrected_biases_are_left_to_the_numbers(int8: bytes) -> None:
    model = onnx.load_from_string(int8)
    drawn = np.random.default_rng(0)

    def other_step(weights: np.ndarray) -> np.ndarray:
        return np.clip(weights + drawn.integers(-1, 2, weights.shape) * (np.abs(weights) < 60), -127, 127)

    change(model, "weight_quantized", other_step)
    change(model, "bias_quantized", lambda bias: bias + 40)
    found = compared(model)
    assert found.passed and {each.layer for each in found.unrecognized} == {LAYER}


def test_a_weight_of_another_network_is_found_in_float() -> None:
    model = standard_file()
    change(model, "weight", lambda weight: weight * 1.0001)
    assert [each.layer for each in compared(model, "fp32").differences] == [LAYER]
