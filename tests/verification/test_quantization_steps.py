"""A step to INT8 fails where its range does not fit, and not where calibration saw other images by another method."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import resnetx
from resnetx.conversion.quantization.prepare import prepared_model
from resnetx.conversion.quantization.ranges import METHODS, Method, RangeMeter
from resnetx.graph.card import read_card
from resnetx.graph.quantization.presets import PRESETS
from resnetx.graph.quantization.static import float_tensors, quantized
from resnetx.inputs.sampling import Sampling, network_inputs
from resnetx.inputs.synthetic import card_inputs, smooth_images
from resnetx.verification.parity import MAX_MULTIPLE
from resnetx.verification.quantization_steps import compare_steps
from tests.conftest import TINY_SIZE, tiny_config
from tests.support.images import synthetic_images

IMAGES = {"smooth": smooth_images(32, TINY_SIZE), "synthetic": synthetic_images(32, TINY_SIZE, seed=3)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("steps") / "m.onnx"
    resnetx.export(tiny_config(), path, image_size=TINY_SIZE, verify=False, exporter="torchscript", opset=18)
    return path


@cache
def int8_file(source: Path, *, images: str, target: str, method: Method) -> onnx.ModelProto:
    model, card, preset = prepared_model(source, []), read_card(onnx.load(source)), PRESETS[target]
    assert card is not None
    meter = RangeMeter(model, float_tensors(model), symmetric=preset.signed)
    meter.watch([card_inputs(card, image[None]) for image in IMAGES[images]], lambda number: None)
    return quantized(model, meter.ranges(method), preset, exclude=(), reduce_range=False)


def multiples(source: Path, model: onnx.ModelProto) -> dict[str, float]:
    card = read_card(onnx.load(source))
    assert card is not None
    rows = compare_steps(model, [[network_inputs(card, Sampling(sizes=(8,), samples=8, natural=True))]], originals={})
    return {row.name: row.multiple for row in rows}


def changed(model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (tensor,) = (each for each in copy.graph.initializer if each.name == name)
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(change(array), dtype=array.dtype), name))
    return copy


def activations(model: onnx.ModelProto) -> dict[str, str]:
    """The scale of each step, and the first step that it belongs to."""
    constants = {tensor.name for tensor in model.graph.initializer}
    steps: dict[str, str] = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants:
            steps.setdefault(node.input[1], node.name)
    return steps


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", PRESETS)
def test_no_alarm_by_any_method_for_any_target(target: str, method: Method, images: str, source: Path) -> None:
    found = multiples(source, int8_file(source, images=images, target=target, method=method))
    assert len(found) >= 10 and max(found.values()) <= MAX_MULTIPLE


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("factor", [8.0, 0.25], ids=str)
@pytest.mark.parametrize("target", ["cpu", "tensorrt"])
def test_every_scale_that_is_far_off_is_named(target: str, factor: float, images: str, source: Path) -> None:
    model = int8_file(source, images=images, target=target, method="minmax")
    steps = activations(model)
    for scale, name in steps.items():
        found = multiples(source, changed(model, scale, lambda array: array * np.float32(factor)))
        assert next(step for step, multiple in found.items() if multiple > MAX_MULTIPLE) == name
    assert len(steps) >= 10


def test_a_tensor_that_is_read_back_by_other_steps_is_named(source: Path) -> None:
    """Half a step is the most that a rounding moves, whatever the range."""
    model = int8_file(source, images="smooth", target="cpu", method="minmax")
    (reader,) = (node for node in model.graph.node if node.name == "layer1.0.relu_DequantizeLinear")
    wrong = {1: lambda scale: scale * np.float32(1.02), 2: lambda zero: zero + np.uint8(1)}
    for place, change in wrong.items():
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        (node,) = (node for node in copy.graph.node if node.name == reader.name)
        (tensor,) = (each for each in model.graph.initializer if each.name == node.input[place])
        array = np.asarray(change(numpy_helper.to_array(tensor)))
        copy.graph.initializer.append(numpy_helper.from_array(array, "own"))
        node.input[place] = "own"
        found = multiples(source, copy)
        assert [name for name, multiple in found.items() if multiple > MAX_MULTIPLE][:1] == [
            "layer1.0.relu_QuantizeLinear"
        ]
