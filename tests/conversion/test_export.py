"""`resnetx.export`: what is written is what was asked for, agrees with PyTorch, and is the same every time."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import resnetx
from resnetx.conversion import export as conversion_export
from resnetx.conversion.result import Export
from resnetx.errors import GraphError, UsageError
from resnetx.graph.card import PARITY_KEY, metadata, read_card
from resnetx.graph.export import choose_exporter
from resnetx.inputs.synthetic import network_input
from resnetx.model.config import ResNetConfig, resnet_config
from resnetx.model.preprocessing import IMAGENET
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.ort.engine import newest_opset
from tests.conftest import TINY_SIZE, random_network, tiny_config
from tests.support.images import synthetic_images

NEWEST = newest_opset()
IMAGES = synthetic_images(3, TINY_SIZE, seed=7)
FLOATS = network_input(IMAGES, IMAGENET)


def export(path: Path, config: ResNetConfig | None = None, **options: Any) -> Export:
    return resnetx.export(config or tiny_config(), path, image_size=options.pop("image_size", TINY_SIZE), **options)


def run(path: Path, array: np.ndarray) -> dict[str, np.ndarray]:
    session = open_runner(path)
    return session.run({session.inputs[0].name: array})


def reference(config: ResNetConfig, array: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = random_network(config).double()(torch.from_numpy(array).double()).numpy()
    return logits


def relative(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the default options, which several tests only read."""
    path = tmp_path_factory.mktemp("default") / "m.onnx"
    assert export(path).passed
    return path


@pytest.mark.parametrize(
    "changes", [{}, {"variant": "v1"}, {"plain": True}, {"block": "basic"}, {"stages": (1, 1, 2)}], ids=str
)
def test_the_file_computes_what_the_network_computes(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = tiny_config(**changes)
    result = export(tmp_path / "m.onnx", config)
    assert result.passed and result.written and result.simplification is not None and result.simplification.applied
    for batch in (1, 2, 3):
        logits = run(tmp_path / "m.onnx", FLOATS[:batch])["logits"]
        assert logits.shape == (batch, 10)
        assert relative(logits, reference(config, FLOATS[:batch])) < 1e-5


@pytest.mark.parametrize("opset", range(13, NEWEST + 1))
def test_every_opset_that_the_runtime_loads_can_be_asked_for(tmp_path: Path, opset: int) -> None:
    result = export(tmp_path / "m.onnx", tiny_config(stages=(1,)), opset=opset)
    model = onnx.load(tmp_path / "m.onnx")
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
    assert result.passed and result.card.exporter == ("dynamo" if opset >= 18 else "torchscript")


@pytest.mark.parametrize("opset", [13, 18, 23])
def test_both_exporters_name_nodes_by_module_path(tmp_path: Path, opset: int) -> None:
    exporter: Any = "torchscript" if opset == 13 else "dynamo"
    export(tmp_path / "m.onnx", opset=opset, exporter=exporter)
    model = onnx.load(tmp_path / "m.onnx")
    names = {node.name: node.op_type for node in model.graph.node}
    assert len(names) == len(model.graph.node)
    modules = dict(random_network(tiny_config()).named_modules())
    layers = {name for name, module in modules.items() if isinstance(module, nn.Conv2d | nn.Linear)}
    assert {name for name, op in names.items() if op in ("Conv", "Gemm")} == layers
    assert names["layer2.1.add"] == "Add" and names["maxpool"] == "MaxPool"
    weights = {tensor.name for tensor in model.graph.initializer}
    assert {f"{name}.weight" for name in layers} <= weights


def test_an_exporter_that_cannot_write_the_opset_says_which_can() -> None:
    assert choose_exporter(None, 17, NEWEST) == "torchscript"
    with pytest.raises(UsageError, match="writes opsets 18 to"):
        choose_exporter("dynamo", 17, NEWEST)
    with pytest.raises(UsageError, match=f"13 to {NEWEST}"):
        choose_exporter(None, NEWEST + 1, NEWEST)


def test_the_batch_is_dynamic_or_fixed_as_asked(default: Path, tmp_path: Path) -> None:
    export(tmp_path / "1.onnx", batch=1, exporter="torchscript")
    export(tmp_path / "4.onnx", batch=4)
    for path, dimension in ((default, "batch"), (tmp_path / "1.onnx", 1), (tmp_path / "4.onnx", 4)):
        session = open_runner(path)
        assert session.inputs[0].shape == (dimension, 3, TINY_SIZE, TINY_SIZE)
        assert session.outputs[0].shape == (dimension, 10)


def test_uint8_pixels_give_what_preprocessed_floats_give(default: Path, tmp_path: Path) -> None:
    export(tmp_path / "pixels.onnx", preprocess="uint8")
    session = open_runner(tmp_path / "pixels.onnx")
    assert session.inputs[0].dtype == np.uint8
    assert session.inputs[0].shape == ("batch", TINY_SIZE, TINY_SIZE, 3)
    expected = run(default, FLOATS)["logits"]
    assert relative(run(tmp_path / "pixels.onnx", IMAGES)["logits"], expected) < 1e-5


def test_probabilities_and_top_k_come_out_of_the_graph(tmp_path: Path) -> None:
    logits = reference(tiny_config(), FLOATS)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    export(tmp_path / "p.onnx", output="probabilities")
    np.testing.assert_allclose(run(tmp_path / "p.onnx", FLOATS)["probabilities"], expected, rtol=1e-4)
    result = export(tmp_path / "k.onnx", output="top3")
    best = run(tmp_path / "k.onnx", FLOATS)
    np.testing.assert_array_equal(best["indices"], np.argsort(-expected, axis=1)[:, :3])
    np.testing.assert_allclose(best["scores"], -np.sort(-expected, axis=1)[:, :3], rtol=1e-4)
    assert result.parity is not None
    assert result.parity.outputs == ("logits", "scores", "indices")


def test_the_textbook_network_ends_in_a_softmax_and_keeps_its_names(tmp_path: Path) -> None:
    config = tiny_config(variant="textbook", classes=6)
    result = export(tmp_path / "m.onnx", config, image_size=64)
    model = onnx.load(tmp_path / "m.onnx")
    assert [output.name for output in model.graph.output] == ["probabilities"]
    names = {node.name for node in model.graph.node}
    assert {"conv1", "res2a_branch2a", "res2a_branch1", "res3b_branch2c", "avg_pool", "fc6"} <= names
    assert result.passed and result.card.output == "probabilities"


def test_fp16_halves_the_file_and_stays_within_torchs_own_fp16_error(tmp_path: Path) -> None:
    config = tiny_config(width=16)
    single = export(tmp_path / "32.onnx", config, exporter="torchscript")
    half = export(tmp_path / "16.onnx", config, precision="fp16", preprocess="uint8", output="top2")
    assert half.passed and half.parity is not None and half.parity.precision == "fp16"
    model = onnx.load(tmp_path / "16.onnx")
    onnx.checker.check_model(model, full_check=True)
    kinds = {tensor.data_type for tensor in model.graph.initializer if tensor.name.endswith("weight")}
    assert kinds == {onnx.TensorProto.FLOAT16}
    weights = [tensor.ByteSize() for tensor in model.graph.initializer if tensor.name.endswith("weight")]
    assert sum(weights) < 0.6 * single.size_bytes
    assert run(tmp_path / "16.onnx", IMAGES)["scores"].dtype == np.float32
    assert {"layer1.0.conv2", "layer2.1.conv3"} <= {node.name for node in model.graph.node}


def test_weights_too_large_for_fp16_are_refused_by_name(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1))
    nn.init.constant_(network[0].weight, 1e6)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match=r"0\.weight contains 1e\+06"):
        resnetx.export(network, tmp_path / "m.onnx", example=torch.zeros(1, 3, 4, 4), precision="fp16")
    assert not list(tmp_path.iterdir())


def test_the_card_says_how_to_build_the_network_again(tmp_path: Path) -> None:
    config = tiny_config(variant="v1")
    result = export(tmp_path / "m.onnx", config, seed=5, opset=19)
    card = read_card(onnx.load(tmp_path / "m.onnx"))
    assert card is not None and card == result.card
    assert (card.config, card.weights.seed, card.image_size, card.opset, card.simplified) == (config, 5, 32, 19, True)
    assert card.preprocessing == IMAGENET and card.labels is None
    parity = json.loads(metadata(onnx.load(tmp_path / "m.onnx"))[PARITY_KEY])
    assert parity["passed"] is True and [check["batch"] for check in parity["checks"]] == [1, 2, 3, 8, 17, 17]
    other = export(tmp_path / "other.onnx", config, seed=6, exporter="torchscript")
    assert other.card.weights.sha256 != card.weights.sha256


def test_nothing_of_this_machine_stands_in_the_file(default: Path) -> None:
    data = default.read_bytes()
    assert str(Path(resnetx.__file__).parent).encode() not in data
    assert b"site-packages" not in data and b".py" not in data


def test_a_weight_may_have_as_many_rows_as_there_are_samples(tmp_path: Path) -> None:
    config = resnet_config(stages=(1, 1), width=4, classes=5, block="basic")
    assert resnetx.export(config, tmp_path / "m.onnx", image_size=32, exporter="torchscript").written


def test_the_same_command_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        command = [sys.executable, "-m", "resnetx", "export", "--stages", "1,1", "--width", "8", "--classes", "10"]
        options = ["--image-size", "32", "--golden", str(tmp_path / f"{name}.npz"), "-o", str(tmp_path / name)]
        done = subprocess.run([*command, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert (tmp_path / "a.onnx.npz").read_bytes() == (tmp_path / "b.onnx.npz").read_bytes()


def test_the_golden_bundle_holds_inputs_and_pytorchs_answers(tmp_path: Path) -> None:
    result = export(tmp_path / "m.onnx", golden=tmp_path / "g.npz", output="top2")
    with np.load(tmp_path / "g.npz", allow_pickle=False) as golden:
        about = json.loads(str(golden["about"]))
        assert about["schema"] == "resnetx.golden/2" and about["weights_sha256"] == result.card.weights.sha256
        assert [len(batch) for _, batch in about["arrangement"]] == [1, 2, 3, 8, 17, 17]
        images, truth = golden["0/input/input"], golden["0/float64/logits"]
        assert images.shape == (8, 3, TINY_SIZE, TINY_SIZE) and truth.dtype == np.float64
        np.testing.assert_allclose(truth, reference(tiny_config(), images), rtol=1e-9)
        np.testing.assert_allclose(golden["0/fp32/logits"], truth, rtol=1e-3, atol=1e-3 * np.abs(truth).max())
        assert {layer["name"] for layer in about["layers"]} >= {"conv1", "layer2.0.conv2", "fc"}
        assert "structure/structure" in golden.files


def break_weight(model: onnx.ModelProto) -> onnx.ModelProto:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "layer2.0.conv2.weight")
    array = onnx.numpy_helper.to_array(tensor).copy()
    array[0] *= -1
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return model


def fix_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """The last convolution's input reshaped to one image: batches above one fail to run or lose images."""
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, -1], np.int64), "one"))
    model.graph.node.insert(
        len(model.graph.node) - 1, onnx.helper.make_node("Reshape", [gemm.input[0], "one"], ["flat"], "flat")
    )
    gemm.input[0] = "flat"
    return model


@pytest.mark.parametrize("output", ["logits", "probabilities", "top1"])
def test_a_file_that_disagrees_with_pytorch_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setattr(conversion_export, "convert_precision", lambda model, precision: break_weight(model))
    (tmp_path / "m.onnx").write_bytes(b"old")
    result = export(tmp_path / "m.onnx", output=output, golden=tmp_path / "g.npz", force=True)
    assert not result.passed and not result.written
    assert (tmp_path / "m.onnx").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_file_that_runs_no_second_image_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion_export, "convert_precision", lambda model, precision: fix_batch(model))
    with pytest.raises(GraphError, match="could not run"):
        export(tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_no_verify_and_no_simplify_do_as_they_say(tmp_path: Path) -> None:
    result = export(tmp_path / "m.onnx", simplify=False, verify=False)
    assert result.parity is None and result.simplification is None and result.written
    assert not result.card.simplified
    assert PARITY_KEY not in metadata(onnx.load(tmp_path / "m.onnx"))


class UNet(nn.Module):
    """Down, up, and a concatenated skip."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.inner = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.head = nn.Conv2d(16, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.down(x)
        return self.head(torch.cat([skip, self.up(torch.relu(self.inner(skip)))], dim=1))


class Dense(nn.Module):
    """Each layer sees all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3 + 4 * index, 4, 3, padding=1) for index in range(3)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.cat([x, torch.relu(layer(x))], dim=1)
        return x.mean((2, 3))


class TwoInTwoOut(nn.Module):
    """Images and class numbers in, a score and the best class out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.fc = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor, kind: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.fc(x.mean((2, 3)) + self.embed(kind))
        return y, y.argmax(1)


@pytest.mark.parametrize("build", [UNet, Dense])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_any_module_goes_the_same_way(tmp_path: Path, build: Callable[[], nn.Module], precision: Any) -> None:
    torch.manual_seed(0)
    module = build().train()
    example = torch.randn(1, 3, 16, 16)
    result = resnetx.export(module, tmp_path / "m.onnx", example=example, precision=precision)
    assert result.passed and result.card.architecture == build.__name__ and result.card.config is None
    assert module.training, "the module is left as it was"
    names = {node.name for node in onnx.load(tmp_path / "m.onnx").graph.node}
    assert {name for name, child in module.named_modules() if isinstance(child, nn.Conv2d)} <= names
    with torch.no_grad():
        expected = module.eval()(torch.cat([example] * 3)).numpy()
    actual = run(tmp_path / "m.onnx", np.concatenate([example.numpy()] * 3))["output"]
    assert relative(actual, expected) < (1e-5 if precision == "fp32" else 1e-2)


def test_several_inputs_and_outputs_integers_among_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    example = (torch.randn(2, 3, 8, 8), torch.tensor([1, 4]))
    result = resnetx.export(TwoInTwoOut(), tmp_path / "m.onnx", example=example)
    session = open_runner(tmp_path / "m.onnx")
    assert [tensor.name for tensor in session.inputs] == ["input0", "input1"]
    assert [tensor.dtype for tensor in session.outputs] == [np.float32, np.int64]
    assert result.passed


def test_a_module_without_an_example_is_asked_for_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="example of its input"):
        resnetx.export(UNet(), tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="a module brings its own"):
        resnetx.export(UNet(), tmp_path / "m.onnx", example=torch.zeros(1, 3, 8, 8), output="top5")


def test_a_module_that_cannot_be_traced_is_a_clear_error(tmp_path: Path) -> None:
    class Untraceable(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(GraphError, match="could not turn Untraceable into ONNX"):
        resnetx.export(Untraceable(), tmp_path / "m.onnx", example=torch.zeros(2, 3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"output": "top11"}, "10 classes"),
        ({"output": "best"}, "no output form"),
        ({"preprocess": "int8"}, "no input form"),
        ({"precision": "fp8"}, "no precision"),
        ({"batch": 0}, "batch of 0"),
        ({"image_size": 8}, "8x8"),
        ({"new_head": True}, "add `weights`"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        export(tmp_path / "m.onnx", **wrong)
    assert not list(tmp_path.iterdir())
