"""Modules of the user's own: their names, several inputs, free sizes, and no claims that nobody made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import resnetx
from resnetx.errors import UsageError
from resnetx.graph.card import metadata, read_card
from resnetx.runtime.catalog import open_runner
from tests.cli.test_main import run
from tests.conversion.test_export import TwoInTwoOut, UNet


class Segmenter(nn.Module):
    """A U-Net with its results by name."""

    def __init__(self) -> None:
        super().__init__()
        self.network = UNet()

    def forward(self, image: Tensor) -> dict[str, Any]:
        mask = self.network(image)
        return {"mask": mask, "best": mask.argmax(1), "aux": {"relu": torch.relu(mask)}, "loss": None}


@dataclass
class Pair:
    logits: Tensor
    hidden: Tensor
    loss: Tensor | None = None


class WithFields(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Pair:
        hidden = self.conv(x)
        return Pair(logits=hidden.mean((2, 3)), hidden=hidden)


class Patches(nn.Module):
    """Takes multiples of 7 only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 7, stride=7)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % 7:
            raise ValueError("patches of 7x7 only")
        return torch.relu(self.conv(x))


class Square(nn.Module):
    """Knows one size only."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 8 * 8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


EXAMPLE = torch.zeros(1, 3, 16, 16)
HEIGHT_AND_WIDTH = {"input": {2: "height", 3: "width"}}


def seeded(build: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return build()


def boundary(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    runner = open_runner(path)
    return {each.name: each.shape for each in runner.inputs}, {each.name: each.shape for each in runner.outputs}


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_keys_and_fields_of_the_result_are_the_names_of_the_outputs(tmp_path: Path, exporter: Any) -> None:
    module, path = seeded(Segmenter), tmp_path / "m.onnx"
    assert resnetx.export(module, path, example=EXAMPLE, exporter=exporter).passed
    assert list(boundary(path)[1]) == ["mask", "best", "aux.relu"]
    images = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(images))["mask"].numpy()
    np.testing.assert_allclose(open_runner(path).run({"input": images})["mask"], expected, rtol=1e-3, atol=1e-5)
    names = {node.name for node in onnx.load(path).graph.node}
    assert {"network.inner", "network.head"} <= names, "paths are those of the module, not of a wrapper"
    # The same module is the reference later, with the same names.
    result = resnetx.verify(path, module)
    assert result.passed and result.verdicts[0].parity.outputs == ("mask", "best", "aux.relu")
    assert resnetx.export(seeded(WithFields), path, example=EXAMPLE, exporter=exporter, force=True).passed
    assert list(boundary(path)[1]) == ["logits", "hidden"]


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_inputs_and_outputs_have_the_names_that_were_given(tmp_path: Path, exporter: Any) -> None:
    path, example = tmp_path / "m.onnx", (torch.randn(2, 3, 8, 8), torch.tensor([1, 4]))
    names = {"input_names": ["image", "kind"], "output_names": ["score", "relu"]}
    result = resnetx.export(seeded(TwoInTwoOut), path, example=example, exporter=exporter, **names)
    inputs, outputs = boundary(path)
    assert result.passed and list(inputs) == ["image", "kind"] and list(outputs) == ["score", "relu"]
    assert inputs["kind"] == ("batch",)


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_height_and_width_may_be_free_and_are_verified_at_more_than_one_size(tmp_path: Path, exporter: Any) -> None:
    module, path = seeded(UNet), tmp_path / "m.onnx"
    result = resnetx.export(module, path, example=EXAMPLE, exporter=exporter, dynamic_shapes=HEIGHT_AND_WIDTH)
    assert boundary(path)[0] == {"input": ("batch", 3, "height", "width")}
    assert result.passed and result.parity is not None
    assert result.parity.outputs == ("output", "output, height 32, width 48")
    runner = open_runner(path)
    for size in ((16, 16), (20, 44)):
        image = np.random.default_rng(1).standard_normal((2, 3, *size)).astype(np.float32)
        with torch.no_grad():
            expected = module.eval()(torch.from_numpy(image)).numpy()
        np.testing.assert_allclose(runner.run({"input": image})["output"], expected, rtol=1e-3, atol=1e-5)
    verified = resnetx.verify(path, module, batches=[1, 2])
    assert verified.passed and verified.verdicts[0].parity.outputs == ("output", "output, height 256, width 288")


def test_a_free_size_that_only_looks_free_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that resizes to a size of its own agrees at the example's size, and nowhere else."""

    class Resized(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.interpolate(x, scale_factor=2)

    def fixed(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
        resize = next(node for node in model.graph.node if node.op_type == "Resize")
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2.0, 2.0], np.float32), "s"))
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([32, 32], np.int64), "hw"))
        axes = onnx.helper.make_attribute("axes", [2, 3])
        del resize.input[2:]
        resize.input.extend(["", "hw"])
        resize.attribute.append(axes)
        del model.graph.initializer[-2]
        return model

    monkeypatch.setattr("resnetx.conversion.export.convert_precision", fixed)
    sizes = {"input": {2: "height", 3: "width"}}
    result = resnetx.export(Resized(), tmp_path / "m.onnx", example=EXAMPLE, dynamic_shapes=sizes, simplify=False)
    assert not result.passed and result.parity is not None
    failed = {check.output for check in result.parity.checks if not check.passed}
    assert failed == {"output, height 32, width 48"}


def test_other_sizes_are_ones_that_the_network_takes(tmp_path: Path) -> None:
    example = torch.zeros(1, 3, 14, 14)
    path = tmp_path / "m.onnx"
    result = resnetx.export(seeded(Patches), path, example=example, dynamic_shapes=HEIGHT_AND_WIDTH)
    assert result.parity is not None and result.parity.outputs[-1] == "output, height 28, width 42"
    with pytest.raises(
        UsageError, match=r"does not run at height 16, width 24: .* in forward: .*out of dynamic_shapes"
    ):
        example = torch.zeros(1, 3, 8, 8)
        resnetx.export(seeded(Square), tmp_path / "s.onnx", example=example, dynamic_shapes=HEIGHT_AND_WIDTH)
    assert not (tmp_path / "s.onnx").exists()


def test_a_fixed_batch_may_have_free_sizes(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    assert resnetx.export(seeded(UNet), path, example=EXAMPLE, batch=1, dynamic_shapes=HEIGHT_AND_WIDTH).passed
    assert boundary(path)[0] == {"input": (1, 3, "height", "width")}


def test_the_card_and_the_reports_say_only_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = resnetx.export(seeded(UNet), tmp_path / "m.onnx", example=EXAMPLE)
    text = metadata(onnx.load(tmp_path / "m.onnx"))["resnetx.card"]
    assert '"output"' not in text and '"input"' not in text
    assert read_card(onnx.load(tmp_path / "m.onnx")) == result.card
    assert run(monkeypatch, "inspect", tmp_path / "m.onnx") == 0
    shown = capsys.readouterr().out
    assert "NOT TRAINED" not in shown and "normalized" not in shown and "logits" not in shown
    assert f"as they were at export, SHA-256 {result.card.weights.sha256[:12]}" in shown


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (None, "example of its input"),
        (np.zeros((1, 3, 8, 8), np.float32), "found a ndarray.*from_numpy"),
        ({"x": torch.zeros(1, 3, 8, 8)}, "found a dict"),
        ([], r"takes \(x\), and the example has 0 tensors"),
        ([torch.zeros(1, 3, 8, 8)] * 2, r"takes \(x\), and the example has 2 tensors"),
        (torch.tensor(1.0), "a batch as its first dimension"),
        (torch.zeros(0, 3, 8, 8), "empty batches"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.complex64), "no complex numbers"),
        (torch.zeros(1, 3, 8, 8, device="meta"), "needs values"),
        (torch.zeros(1, 4, 8, 8), r"does not run on the example, float32 \[2, 4, 8, 8\]: RuntimeError: .*channels"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), r"on the example, int64 \[2, 3, 8, 8\]"),
    ],
    ids=str,
)
def test_an_example_that_does_not_fit_is_said(tmp_path: Path, example: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resnetx.export(UNet(), tmp_path / "m.onnx", example=example)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input_names": ["a", "b"]}, "input_names must be 1 different name; found a, b"),
        ({"output_names": []}, "output_names must be 1 different name; found none"),
        ({"output_names": ["input"]}, "would both be named 'input'"),
        ({"dynamic_shapes": {"image": {2: "height"}}}, "names the input 'image', but the inputs are input"),
        ({"dynamic_shapes": {"input": {0: "n"}}}, "axes 1 to 3"),
        ({"dynamic_shapes": {"input": {4: "n"}}}, "axes 1 to 3"),
        ({"dynamic_shapes": {"input": {2: "batch"}}}, "is not 'batch'"),
        ({"dynamic_shapes": {"input": {1: "n", 2: "n"}}}, "stands for one size"),
        ({"weights": "x.pth"}, "a module brings its own"),
    ],
    ids=str,
)
def test_names_and_sizes_that_do_not_fit_are_said(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resnetx.export(UNet(), tmp_path / "m.onnx", example=EXAMPLE, **options)
    assert not list(tmp_path.iterdir())


def test_names_are_for_modules_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"belong to modules of your own.*found ResNetConfig"):
        resnetx.export(resnetx.resnet_config(18), tmp_path / "m.onnx", input_names=["image"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_a_module_in_another_precision_is_exported_in_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    result = resnetx.export(seeded(UNet).to(dtype), tmp_path / "m.onnx", example=EXAMPLE.to(dtype))
    assert result.passed and open_runner(tmp_path / "m.onnx").inputs[0].dtype == np.float32
