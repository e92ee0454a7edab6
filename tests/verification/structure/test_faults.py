"""Whatever is not the network's is found without an input, and named: weights, attributes, wiring, extra operations."""

import functools
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, numpy_helper

from resnetx.graph.card import read_card
from resnetx.model.deploy import Deployed
from resnetx.verification.rebuild import rebuild
from resnetx.verification.structure.module_structure import compare_structure
from resnetx.verification.structure.result import Difference, StructureComparison
from tests.verification.faults import FAULTS, Base, Fault, reference
from tests.verification.faults.graph_edits import after, ahead, attributes, changed, rewire
from tests.verification.structure.healthy import standard, standard_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("structure")


@functools.cache
def healthy(base: Base, folder: Path) -> tuple[ModelProto, Deployed, torch.Tensor]:
    found = reference(base, folder)
    model = onnx.load(found.path)
    card = read_card(model)
    assert card is not None
    module = rebuild(card, weights=None if found.weights is None else str(found.weights))
    pixels = card.input == "uint8"
    example = torch.zeros((2, 64, 64, 3), dtype=torch.uint8) if pixels else torch.zeros(2, 3, 64, 64)
    return model, module, example


def judge(fault: Fault, folder: Path) -> StructureComparison:
    model, module, example = healthy(fault.base, folder)
    return compare_structure(fault.apply(model), module, [example], precision="fp32")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_fault_of_the_corpus_is_found_and_no_other_one_raises_an_alarm(folder: Path) -> None:
    verdicts = {fault.name: (fault, judge(fault, folder)) for fault in FAULTS}
    assert [name for name, (fault, found) in verdicts.items() if fault.observable and found.passed] == []
    assert [name for name, (fault, found) in verdicts.items() if not fault.observable and not found.passed] == []
    # A node that is missing is named itself, not the one after it; what is in the preprocessing has no name there.
    named = [fault for fault, found in verdicts.values() if fault.layer in [row.layer for row in found.differences]]
    expected = [fault for fault, _ in verdicts.values() if fault.observable and fault.layer]
    assert len(named) >= 0.9 * len(expected)


def compare(model: ModelProto) -> tuple[Difference, ...]:
    module, example, _ = standard()
    return compare_structure(model, module, [example], precision="fp32").differences


WEIGHTS = [tensor.name for tensor in standard_file().graph.initializer if tensor.name.endswith((".weight", ".bias"))]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(WEIGHTS), place=st.floats(0, 0.999), factor=st.sampled_from([1.01, 0.99, -1.0, 1.0001, 1e30])
)
def test_one_weight_that_is_off_is_found_whatever_the_images_show(name: str, place: float, factor: float) -> None:
    model = standard_file()
    tensor = next(each for each in model.graph.initializer if each.name == name)
    array = numpy_helper.to_array(tensor).copy()
    index = np.unravel_index(int(place * array.size), array.shape)
    before = float(array[index])
    array[index] = np.float32(before * factor)
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    differences = compare(model)
    layer, _, what = name.rpartition(".")
    assert [(row.layer, row.what, row.place, row.count) for row in differences] == [
        (layer, what, tuple(int(number) for number in index), 1)
    ]
    assert float(differences[0].found) == pytest.approx(float(array[index]), rel=1e-5)
    assert float(differences[0].expected) == pytest.approx(before, rel=1e-4, abs=1e-6)
    assert str(differences[0]).startswith(f"{name}[{', '.join(str(int(number)) for number in index)}] is ")


def test_a_weight_is_described_with_its_place_and_its_roundings() -> None:
    row = Difference(
        layer="layer2.0.conv1",
        what="weight",
        place=(3, 17, 0, 0),
        expected="0.0309",
        found="0.0312",
        roundings=86_123.4,
        unit="float32",
        count=2,
        total=512,
    )
    assert str(row) == (
        "layer2.0.conv1.weight[3, 17, 0, 0] is 0.0312, the network's is 0.0309 (86,000 roundings of float32); "
        "2 of 512 elements differ"
    )


@pytest.mark.parametrize("limit", [50.0, 200.0, 1e6])
@pytest.mark.parametrize("layer", ["conv1", "layer2.0.conv2", "fc"])
def test_a_clip_that_no_image_reaches_is_an_extra_node(layer: str, limit: float) -> None:
    edit = changed(ahead(layer, "y = Clip(x, low, high)", low=-limit, high=limit))
    differences = compare(edit(standard_file()))
    assert len(differences) == 1
    assert differences[0].what in ("extra node", "upper limit", "operation", "lower limit")


DEAD_PATHS = {
    "a sum of a filter's neighbours in one channel": ("layer1.0.relu_1", "a = ReduceMax<keepdims=1>(x) y = Add(x, a)"),
    "a constant where a number is large": ("layer2.1.relu", "c = Greater(x, t) y = Where(c, t, x)"),
    "rounded": ("layer2.0.relu", "y = Round(x)"),
    "absolute values": ("layer1.0.conv1", "y = Abs(x)"),
    "scaled": ("layer2.0.add", "y = Mul(x, t)"),
}


@pytest.mark.parametrize("name", DEAD_PATHS)
def test_what_stands_between_two_layers_is_found(name: str) -> None:
    layer, body = DEAD_PATHS[name]
    model = changed(after(layer, body, t=np.float32(1.02)))(standard_file())
    assert compare(model)


@pytest.mark.parametrize(
    ("edit", "layer", "what"),
    [
        (attributes("conv1", pads=[2, 2, 3, 3]), "conv1", "pads"),
        (attributes("layer2.0.conv2", dilations=[2, 2], pads=[2] * 4), "layer2.0.conv2", "dilations"),
        (attributes("maxpool", kernel_shape=[2, 2], pads=[0] * 4), "maxpool", "kernel size"),
        (rewire("layer2.1.add", 1, "layer2.0.add"), "layer2.1.add", "wiring"),
    ],
)
def test_attributes_and_wiring_are_compared(edit: object, layer: str, what: str) -> None:
    differences = compare(changed(edit)(standard_file()))  # type: ignore[arg-type]
    assert (layer, what) in [(row.layer, row.what) for row in differences]


def test_a_scale_that_is_no_scale_is_a_difference() -> None:
    body = "q = QuantizeLinear(x, scale, zero) y = DequantizeLinear(q, scale, zero)"
    module, example, _ = standard()
    for scale in (0.0, float("nan"), -0.1):
        edit = changed(after("layer1.0.relu", body, scale=scale, zero=np.uint8(0)))
        found = compare_structure(edit(standard_file()), module, [example], precision="int8")
        assert ["quantization" in row.what for row in found.differences] == [True]
    edit = changed(after("layer1.0.relu", body, scale=0.05, zero=np.uint8(0)))
    assert compare_structure(edit(standard_file()), module, [example], precision="int8").complete
    noted = compare_structure(edit(standard_file()), module, [example])
    assert noted.complete and [row.layer for row in noted.rounded] == ["layer1.0.relu"]


@pytest.mark.parametrize("last", [1, 3, 7, 13])
def test_what_shows_only_in_larger_batches_is_found(last: int) -> None:
    """The result of one image stands at all places behind it."""
    body = """
        shape = Shape<start=0, end=1>(x)
        count = Squeeze(shape)
        all = Range(zero, count, step)
        place = Min(all, last)
        y = Gather<axis=0>(x, place)
    """
    assert compare(changed(after("flatten", body, zero=0, step=1, last=last))(standard_file()))


def test_what_only_a_runtime_knows_is_not_recognized_and_not_wrong() -> None:
    """A node of an unknown domain may be an honest rewrite; the layers around it are compared all the same."""
    model = standard_file()
    node = next(node for node in model.graph.node if node.name == "layer2.0.relu")
    node.domain, node.op_type = "com.example", "FastRelu"
    model.opset_import.add(domain="com.example", version=1)
    module, example, _ = standard()
    comparison = compare_structure(model, module, [example])
    assert comparison.passed and not comparison.complete
    assert {row.side for row in comparison.unrecognized} == {"network", "file"}
    assert any("layer2.0.relu" in row.layer for row in comparison.unrecognized)
    assert {"conv1", "layer2.0.conv2", "fc"} <= set(comparison.proved)


def test_other_inputs_and_outputs_are_differences() -> None:
    module, example, _ = standard()
    model = standard_file()
    model.graph.output.append(model.graph.output[0])
    found = compare_structure(model, module, [example])
    assert [row.what for row in found.differences] == ["number of outputs"]
    model = standard_file()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 32
    assert [row.what for row in compare_structure(model, module, [example]).differences] == ["shape"]
