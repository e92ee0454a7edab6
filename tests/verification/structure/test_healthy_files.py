"""Healthy files are proved completely: every layer of the network, every node of the file."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from resnetx.verification.structure.module_structure import compare_structure
from resnetx.verification.structure.result import StructureComparison, without_rearrangements
from tests.support import peers
from tests.verification.structure.healthy import deployed, exported, file_of, optimized, standard, standard_file

NETWORKS: tuple[dict[str, Any], ...] = (
    {},
    {"variant": "v1"},
    {"variant": "textbook"},
    {"block": "basic"},
    {"block": "basic", "plain": True},
    {"plain": True},
)


def proved(comparison: StructureComparison) -> None:
    assert [str(row) for row in comparison.differences] == []
    assert [str(row) for row in comparison.unrecognized] == []
    assert comparison.complete and comparison.passed


@pytest.mark.parametrize("changes", NETWORKS, ids=str)
def test_every_variant_is_proved(changes: dict[str, Any]) -> None:
    module, example = deployed(**changes)
    comparison = compare_structure(file_of(module, example), module, [example], precision="fp32")
    proved(comparison)
    convolutions = [path for path, child in module.network.named_modules() if isinstance(child, nn.Conv2d)]
    assert set(convolutions) <= set(comparison.proved)
    assert set(comparison.stored.values()) == {"float32"}


@pytest.mark.parametrize("output", ["logits", "probabilities", "top5"])
@pytest.mark.parametrize("pixels", [False, True], ids=["floats", "pixels"])
@pytest.mark.parametrize("opset", [13, 18])
def test_every_form_is_proved(output: str, pixels: bool, opset: int) -> None:
    module, example = deployed(output=output, pixels=pixels)
    proved(compare_structure(file_of(module, example, opset=opset), module, [example]))


@pytest.mark.parametrize("changes", [{}, {"variant": "textbook"}], ids=str)
def test_the_dynamo_exporters_files_are_proved(changes: dict[str, Any]) -> None:
    module, example = deployed(output="top5", pixels=True, **changes)
    proved(compare_structure(file_of(module, example, exporter="dynamo", opset=20), module, [example]))


def test_half_precision_is_allowed_for_where_it_is_expected() -> None:
    module, example = deployed(output="probabilities")
    model = file_of(module, example, precision="fp16")
    comparison = compare_structure(model, module, [example], precision="fp16")
    proved(comparison)
    assert set(comparison.stored.values()) == {"float16"}
    assert {row.precision for row in comparison.rounded} == {"fp16"}
    strict = compare_structure(model, module, [example], precision="fp32")
    assert any("precision" in row.what for row in strict.differences)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_file_of_a_fixed_batch_is_proved(batch: int) -> None:
    module, example = deployed()
    model = file_of(module, example[:1].expand(batch, -1, -1, -1), dynamic_batch=False)
    proved(compare_structure(model, module, [example]))


@pytest.mark.parametrize("level", ["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"])
def test_a_file_that_onnx_runtime_optimized_is_proved(level: str, tmp_path: Path) -> None:
    module, example, _ = standard()
    proved(compare_structure(optimized(standard_file(), level, tmp_path), module, [example]))


def test_batch_norms_may_stand_as_nodes_and_be_tiny(tmp_path: Path) -> None:
    """Variances near the epsilon, gammas of zero and denormal weights, folded by the exporter or not."""
    module, example = deployed()
    with torch.no_grad():
        for number, norm in enumerate(child for child in module.modules() if isinstance(child, nn.BatchNorm2d)):
            assert norm.running_var is not None and norm.running_mean is not None
            norm.running_var.mul_((1e-4, 1e-9, 1e-30)[number % 3])
            norm.weight[0] = 0.0
            norm.running_mean[1] *= 1e4
        module.network.get_submodule("layer1.0.conv1").weight[0] = 1e-40
    proved(compare_structure(file_of(module, example), module, [example]))
    proved(compare_structure(optimized(file_of(module, example), "ORT_ENABLE_BASIC", tmp_path), module, [example]))


def quantized_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Each convolution's weight in int8 with a scale per filter, behind a DequantizeLinear, as exporters of Q/DQ do."""
    for node in [node for node in model.graph.node if node.op_type == "Conv"]:
        tensor = next(each for each in model.graph.initializer if each.name == node.input[1])
        weight = numpy_helper.to_array(tensor)
        scale = (np.abs(weight).max((1, 2, 3)) / 127).astype(np.float32)
        whole = np.clip(np.rint(weight / scale[:, None, None, None]), -127, 127).astype(np.int8)
        name = tensor.name
        model.graph.initializer.remove(tensor)
        for suffix, array in (("q", whole), ("scale", scale), ("zero", np.zeros(len(scale), np.int8))):
            model.graph.initializer.append(numpy_helper.from_array(array, f"{name}.{suffix}"))
        inputs = [f"{name}.q", f"{name}.scale", f"{name}.zero"]
        model.graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", inputs, [name], axis=0, name=f"{name}.dq"))
    return model


def test_int8_weights_are_held_to_half_a_step() -> None:
    module, example, _ = standard()
    model = quantized_weights(standard_file())
    proved(compare_structure(model, module, [example], precision="int8"))
    # The lower four bits dropped: 4-bit weights in an 8-bit grid.
    tensor = next(each for each in model.graph.initializer if each.name == "layer2.0.conv2.weight.q")
    coarse = (numpy_helper.to_array(tensor) // 16 * 16).astype(np.int8)
    tensor.CopyFrom(numpy_helper.from_array(coarse, tensor.name))
    differences = compare_structure(model, module, [example], precision="int8").differences
    assert {(row.layer, row.what, row.unit) for row in differences} == {("layer2.0.conv2", "weight", "int8")}


class Mixed(nn.Module):
    """What user code does: in-place operations, functional calls, activations of every kind, views and constants."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.group_norm = nn.GroupNorm(2, 8)
        self.squeeze = nn.Linear(8, 4)
        self.excite = nn.Linear(4, 8)
        self.head = nn.Linear(8, 5)
        self.layer_norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv(x), inplace=True)
        x = functional.hardswish(self.norm(self.depthwise(x)) + x)
        gate = self.excite(functional.silu(self.squeeze(x.mean((2, 3)))))
        x = x * functional.hardsigmoid(gate)[:, :, None, None]
        x = functional.gelu(functional.avg_pool2d(x, 2)) / 3 - 0.5
        x = functional.relu6(functional.max_pool2d(x, 3, 2, 1))
        first, second = x.chunk(2, 1)
        x = torch.cat([second, first], 1)
        x = x.flatten(2).permute(0, 2, 1)
        x = self.layer_norm(x)
        return self.head(x.softmax(1).sum(1))


@pytest.mark.parametrize("opset", [14, 17])
def test_user_code_is_proved(opset: int) -> None:
    torch.manual_seed(0)
    module, example = Mixed().eval(), torch.zeros(2, 3, 16, 16)
    proved(compare_structure(exported(module, example, opset=opset), module, [example]))


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"])
def test_families_of_torchvision_are_proved(name: str) -> None:
    from torchvision import models

    torch.manual_seed(0)
    module = peers.shake(getattr(models, name)(weights=None, num_classes=7))
    example = torch.zeros(2, 3, 64, 64)
    proved(compare_structure(exported(module, example), module, [example]))


def spelled_out_softplus(conv: nn.Conv2d, example: Tensor, *, threshold: float) -> onnx.ModelProto:
    """x above a threshold, else softplus(x), as the newer exporter writes it."""
    model = exported(nn.Sequential(conv, nn.Softplus()), example)
    node = next(node for node in model.graph.node if node.op_type == "Softplus")
    x, output = node.input[0], node.output[0]
    node.output[0] = "smooth"
    model.graph.initializer.append(numpy_helper.from_array(np.array(threshold, np.float32), "threshold"))
    model.graph.node.extend(
        [
            onnx.helper.make_node("Greater", [x, "threshold"], ["large"]),
            onnx.helper.make_node("Where", ["large", x, "smooth"], [output]),
        ]
    )
    return model


@pytest.mark.parametrize(("threshold", "same"), [(20.0, True), (15.0, True), (5.0, False), (-20.0, False)])
def test_softplus_may_be_spelled_out_where_float32_shows_no_difference(threshold: float, same: bool) -> None:
    conv, example = nn.Conv2d(3, 4, 3), torch.zeros(2, 3, 8, 8)
    model = spelled_out_softplus(conv, example, threshold=threshold)
    comparison = compare_structure(model, nn.Sequential(conv, nn.Softplus()), [example])
    assert comparison.complete is same


@pytest.mark.parametrize(("factor", "same"), [(0.5, True), (0.25, False), (0.5001, False)])
def test_a_factor_may_move_into_the_weights_that_follow_if_the_numbers_agree(factor: float, same: bool) -> None:
    module, example = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 4, 3, bias=False)),
        torch.zeros(2, 3, 8, 8),
    )
    model = exported(module, example)
    half = next(tensor for tensor in constants(model) if numpy_helper.to_array(tensor).tolist() in (0.5, [0.5]))
    half.CopyFrom(numpy_helper.from_array(np.ones_like(numpy_helper.to_array(half)), half.name))
    weight = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("2.weight"))
    weight.CopyFrom(numpy_helper.from_array(np.float32(factor) * numpy_helper.to_array(weight), weight.name))
    comparison = compare_structure(model, module, [example])
    assert not comparison.passed
    assert without_rearrangements(comparison, fused=False).passed is same


def constants(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    attributes = [attribute for node in model.graph.node for attribute in node.attribute if node.op_type == "Constant"]
    return [*model.graph.initializer, *(attribute.t for attribute in attributes)]
