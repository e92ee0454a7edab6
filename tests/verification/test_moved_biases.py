"""INT8 on a runtime: numbers that fall into the next step are no fault, a wrong filter is one."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

import resnetx
from resnetx.conversion.quantization.quantize import QuantizeOptions, quantize_file
from resnetx.graph.card import read_card
from resnetx.graph.inspection.parameters import constant_tensors
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.timed import timed_feeds
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import Runner
from resnetx.verification.exact_graph import ExactGraph
from resnetx.verification.moved_biases import LAYERS, with_moved_biases
from resnetx.verification.runtime_check import GraphAnswers, compare_with_graph
from tests.conftest import TINY_SIZE, tiny_config

TARGETS = ("cpu", "tensorrt")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The biases of the one are read back from integers, those of the other are in float."""
    folder = tmp_path_factory.mktemp("int8")
    assert resnetx.export(tiny_config(), folder / "m.onnx", image_size=TINY_SIZE).passed
    for target in TARGETS:
        options = QuantizeOptions(calibrate="synthetic", target=target, method="entropy", samples=32)
        quantize_file(folder / "m.onnx", folder / f"{target}.onnx", options)
    return {target: folder / f"{target}.onnx" for target in TARGETS}


def biases(model: onnx.ModelProto) -> list[np.ndarray]:
    constants = {name: numpy_helper.to_array(tensor) for name, tensor in constant_tensors(model.graph)}
    back = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    found = []
    for node in model.graph.node:
        if node.op_type in LAYERS:
            read = back.get(node.input[2])
            found.append(
                constants[node.input[2]] if read is None else constants[read.input[0]] * constants[read.input[1]]
            )
    return found


@pytest.mark.parametrize("target", TARGETS)
def test_biases_are_off_by_half_a_unit_at_most(target: str, files: dict[str, Path]) -> None:
    model = read_onnx(files[target])
    before = model.SerializeToString()
    moved = with_moved_biases(model)
    assert model.SerializeToString() == before
    onnx.checker.check_model(moved)
    constants = {name: numpy_helper.to_array(tensor) for name, tensor in constant_tensors(model.graph)}
    back = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    layers = [node for node in model.graph.node if node.op_type in LAYERS]
    for node, bias, other in zip(layers, biases(model), biases(moved), strict=True):
        own, weights = (constants[back[name].input[1]].astype(np.float64) for name in node.input[:2])
        off = np.abs(other - bias) / (own * weights)
        # What is read back from integers lies between two such biases, but for float32's own rounding of it.
        assert off.max() < 0.51 and off.max() > (0.45 if target == "cpu" else 0.1)


@pytest.mark.parametrize("fault", ["zero", "infinite", "too many", "zero point"])
def test_scales_that_make_no_units_move_nothing(fault: str, files: dict[str, Path]) -> None:
    """Of a bias with a zero point it is not known what it is: moved wrongly, it would excuse any error."""
    model = read_onnx(files["cpu"])
    layer = next(node for node in model.graph.node if node.op_type == "Conv")
    back = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    scale, bias = back[layer.input[1]].input[1], back[layer.input[2]]
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    array = numpy_helper.to_array(stored[scale])
    if fault == "zero point":
        model.graph.initializer.append(numpy_helper.from_array(np.ones(array.shape, np.int32), "zero"))
        bias.input[:] = [*bias.input[:2], "zero"]
    else:
        wrong = {"zero": 0 * array, "infinite": array + np.float32(np.inf), "too many": np.append(array, array)}
        stored[scale].CopyFrom(numpy_helper.from_array(wrong[fault], scale))
    moved = with_moved_biases(model)
    changed = [one.name for one, other in zip(moved.graph.node, model.graph.node, strict=True) if one != other]
    assert layer.name not in changed and len(changed) > 10


def test_layers_in_float_stay_as_they_are(tmp_path: Path) -> None:
    assert resnetx.export(tiny_config(), tmp_path / "m.onnx", image_size=TINY_SIZE).passed
    model = read_onnx(tmp_path / "m.onnx")
    assert with_moved_biases(model) == model


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("wrong", [False, True])
def test_a_runtime_with_a_wrong_filter_is_told_from_an_honest_one(
    wrong: bool, target: str, files: dict[str, Path]
) -> None:
    model = read_onnx(files[target])
    faulty = onnx.ModelProto()
    faulty.CopyFrom(model)
    if wrong:
        weights = [tensor for tensor in faulty.graph.initializer if tensor.data_type == TensorProto.INT8]
        weight = next(tensor for tensor in weights if len(tensor.dims) == 4)
        array = numpy_helper.to_array(weight).copy()
        array[0] = 0
        weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    stored = {tensor.name: tensor for tensor in faulty.graph.initializer}

    def reopen(data: bytes | Path) -> Runner:
        """The runtime's own inner tensors: also those are computed with its weights."""
        assert isinstance(data, bytes)
        exposed = onnx.load_from_string(data)
        for tensor in exposed.graph.initializer:
            tensor.CopyFrom(stored.get(tensor.name, tensor))
        return open_runner(exposed.SerializeToString())

    runner = open_runner(faulty.SerializeToString())
    probe = list(timed_feeds(runner.inputs, read_card(model), batch=6)[0].values())
    answers = GraphAnswers(ExactGraph(model), probe, fixed=False)
    parity, layers = compare_with_graph(runner, answers, precision="int8", reopen=reopen, originals={})
    assert (parity.passed and all(layer.passed for layer in layers)) is not wrong
    assert layers
