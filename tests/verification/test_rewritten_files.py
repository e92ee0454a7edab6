"""Layers of files whose nodes were fused or renamed: what is not the same tensor on both sides is not comparable."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

import resnetx
from resnetx.conversion.checked_simplify import simplify_checked
from resnetx.report.console import ReportConsole
from resnetx.report.junit import render_junit
from resnetx.report.verification import render_verification
from resnetx.verification.result import FileVerdict, ProviderVerdict, Verification
from resnetx.verification.verify import VerifyOptions, verify_file
from tests.conftest import TINY_SIZE, tiny_config
from tests.support.honest_files import optimized
from tests.support.onnx_models import serialize
from tests.verification.test_verify import edited

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

# Two layers whose tensors have one shape.
TWINS = ("layer2.1.conv1", "layer2.1.conv2")
Rewrite = Callable[[Path], None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as it was exported, with its golden bundle."""
    folder = tmp_path_factory.mktemp("rewritten")
    options: dict[str, Any] = {"simplify": False, "exporter": "torchscript", "golden": folder / "g.npz"}
    assert resnetx.export(tiny_config(), folder / "m.onnx", image_size=TINY_SIZE, **options).passed
    return folder


def simplified(path: Path) -> None:
    result = simplify_checked(onnx.load(path))
    assert result.applied
    onnx.save(result.model, path)


def basic(path: Path) -> None:
    """As ONNX Runtime writes it to `optimized_model_filepath`."""
    optimized(path, level="basic")


def twins_swapped(path: Path) -> None:
    onnx.save(renamed(onnx.load(path), dict(zip(TWINS, reversed(TWINS), strict=True))), path)


def permuted(path: Path) -> None:
    """Every node has the name of another one, and every inner tensor too."""
    model = onnx.load(path)
    names = [node.name for node in model.graph.node]
    onnx.save(renamed(model, dict(zip(names, np.roll(names, 5).tolist(), strict=True))), path)


def numbered(path: Path) -> None:
    model = onnx.load(path)
    onnx.save(renamed(model, {node.name: f"n{place}" for place, node in enumerate(model.graph.node)}), path)


def renamed(model: ModelProto, names: Mapping[str, str]) -> ModelProto:
    """Nodes and the tensors that bear their names; outputs of the graph keep theirs."""
    kept = {value.name for value in (*model.graph.output, *model.graph.input)}
    of_node = {node.output[0]: node.name for node in model.graph.node if node.output[0] not in kept}
    tensors = {tensor: f"{names[name]}:0" for tensor, name in of_node.items() if name in names}
    for node in model.graph.node:
        node.name = names.get(node.name, node.name)
        node.input[:] = [tensors.get(name, name) for name in node.input]
        node.output[:] = [tensors.get(name, name) for name in node.output]
    del model.graph.value_info[:]
    return model


REWRITES: dict[str, Rewrite] = {
    "simplified": simplified,
    "optimized by ONNX Runtime": basic,
    "twins swapped": twins_swapped,
    "permuted": permuted,
    "numbered": numbered,
}


def sources(folder: Path) -> dict[str, dict[str, Any]]:
    """What a file is compared with: its card's network, a golden bundle, the original file."""
    return {"card": {}, "golden": {"golden": folder / "g.npz"}, "reference": {"reference": folder / "m.onnx"}}


def verify(path: Path, **options: Any) -> Verification:
    return verify_file(path, VerifyOptions(**options))


def rewritten(folder: Path, target: Path, rewrite: Rewrite) -> Path:
    target.write_bytes((folder / "m.onnx").read_bytes())
    rewrite(target)
    return target


def parts_of(result: Verification) -> list[FileVerdict | ProviderVerdict]:
    return [*([] if result.file is None else [result.file]), *result.verdicts]


def shown(result: Verification) -> str:
    console = ReportConsole(width=100, no_color=True)
    with console.capture() as capture:
        console.print(render_verification(result, layers=True))
    return capture.get()


@pytest.mark.parametrize("source", ["card", "golden", "reference"])
@pytest.mark.parametrize("name", REWRITES)
def test_no_layer_of_an_honest_file_is_wrong(folder: Path, tmp_path: Path, name: str, source: str) -> None:
    result = verify(rewritten(folder, tmp_path / "m.onnx", REWRITES[name]), **sources(folder)[source])
    assert result.passed
    compared = max(parts_of(result), key=lambda part: len(part.layers))
    assert len(compared.layers) > 10 and "FAILED" not in shown(result)


@pytest.mark.parametrize("source", ["card", "golden", "reference"])
@pytest.mark.parametrize("name", REWRITES)
def test_a_wrong_weight_of_such_a_file_is_found_and_none_before_it(
    folder: Path, tmp_path: Path, name: str, source: str
) -> None:
    def spoilt(path: Path) -> None:
        edited(path, path, "layer2.0.conv2.weight", 1.01)
        REWRITES[name](path)

    result = verify(rewritten(folder, tmp_path / "m.onnx", spoilt), **sources(folder)[source])
    assert not result.agrees
    order = [node.name for node in onnx.load(folder / "m.onnx").graph.node]
    behind = order[order.index("layer2.0.conv2") :]
    if name in ("simplified", "optimized by ONNX Runtime"):
        assert result.wrong_layer in behind
    elif name == "twins swapped":
        assert result.wrong_layer == "layer2.0.conv2"


def test_what_is_not_comparable_is_counted_and_is_neither_right_nor_wrong(folder: Path, tmp_path: Path) -> None:
    """Two steps that cancel each other: the network has no tensor between them."""

    def doubled(path: Path) -> None:
        model = onnx.load(path)
        model.graph.initializer.append(numpy_helper.from_array(np.float32(2), "two"))
        place = next(at for at, node in enumerate(model.graph.node) if node.name == "layer2.0.conv2")
        node = model.graph.node[place]
        output = node.output[0]
        twice = helper.make_node("Mul", ["single", "two"], ["twice"], name="twice")
        node.output[0] = "single"
        model.graph.node.insert(place + 1, twice)
        model.graph.node.insert(place + 2, helper.make_node("Div", ["twice", "two"], [output], name="half"))
        onnx.save(model, path)

    path = rewritten(folder, tmp_path / "m.onnx", doubled)
    for source in ("golden", "reference"):
        result = verify(path, **sources(folder)[source])
        assert result.passed
        (part,) = (each for each in parts_of(result) if each.left_out)
        assert list(part.left_out) == ["twice"]
        text = shown(result)
        assert "layers stay within the noise floor; 1 is not comparable" in text
        assert [line for line in text.splitlines() if line.startswith("twice ") and line.endswith("not comparable")]
        assert 'skipped="1"' in render_junit(result)
        assert result.to_json()["verdicts"][0]["passed"]


class Strange(nn.Module):
    """Inner tensors without dimensions and without elements."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(x))
        y = y + y.mean()
        y = torch.cat([y, torch.relu(y[:, :0])], 1)
        scores: Tensor = self.fc(y.mean((2, 3)))
        return scores


def test_scalar_and_empty_inner_tensors_are_no_obstacle(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Strange().eval()
    path, golden = tmp_path / "m.onnx", tmp_path / "g.npz"
    for precision in ("fp32", "fp16"):
        options: dict[str, Any] = {"exporter": "torchscript", "simplify": False, "precision": precision}
        assert resnetx.export(module, path, example=torch.zeros(2, 3, 8, 8), golden=golden, **options).passed
        for source in ({}, {"module": module}, {"golden": golden}, {"reference": path}):
            result = verify(path, **source)
            assert result.passed and result.verdicts[0].layers
            assert "FAILED" not in shown(result)


def test_a_graph_of_scalars_and_empty_tensors(tmp_path: Path) -> None:
    """As a file of unknown origin has them, all in one."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("ReduceMean", ["c"], ["s"], name="mean", keepdims=0),
        helper.make_node("Neg", ["s"], ["e"], name="scalar"),
        helper.make_node("Slice", ["c", "zero", "zero", "one"], ["none"], name="slice"),
        helper.make_node("Relu", ["none"], ["still_none"], name="empty"),
        helper.make_node("Concat", ["c", "still_none"], ["k"], name="concat", axis=1),
        helper.make_node("Add", ["k", "e"], ["y"], name="add"),
    ]
    weights = [
        numpy_helper.from_array(np.random.default_rng(0).standard_normal((2, 3, 3, 3)).astype(np.float32), "w"),
        *(numpy_helper.from_array(np.array([value], np.int64), name) for name, value in (("zero", 0), ("one", 1))),
    ]
    inputs = {"x": (TensorProto.FLOAT, ["batch", 3, 8, 8])}
    path = tmp_path / "m.onnx"
    path.write_bytes(
        serialize(nodes, inputs=inputs, outputs={"y": (TensorProto.FLOAT, ["batch", 2, 6, 6])}, weights=weights)
    )
    for source in ({}, {"reference": path}):
        result = verify(path, **source)
        assert result.passed and {layer.name for layer in result.verdicts[0].layers} >= {"conv", "concat", "add"}


@pytest.mark.parametrize("tail", [Tensor.mean, lambda y: (y, y.mean()), lambda y: y.mean((0, 2, 3))])
def test_outputs_without_a_batch_dimension_go_into_a_golden_bundle(tmp_path: Path, tail: Callable[..., Any]) -> None:
    class Tail(Strange):
        def forward(self, x: Tensor) -> Any:
            return tail(self.conv(x))

    path, golden = tmp_path / "m.onnx", tmp_path / "g.npz"
    options: dict[str, Any] = {"exporter": "torchscript", "simplify": False, "golden": golden}
    assert resnetx.export(Tail().eval(), path, example=torch.zeros(2, 3, 8, 8), **options).passed
    assert verify(path, golden=golden).passed


def test_what_samples_share_only_through_the_loudest_is_no_fault(tmp_path: Path) -> None:
    """A scale over the whole batch, as dynamic quantization has it."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("ReduceMax", ["c"], ["s"], name="max", keepdims=0),
        helper.make_node("Div", ["c", "s"], ["y"], name="div"),
    ]
    weight = numpy_helper.from_array(np.random.default_rng(0).standard_normal((2, 3, 3, 3)).astype(np.float32), "w")
    kinds = {"x": (TensorProto.FLOAT, ["batch", 3, 8, 8])}, {"y": (TensorProto.FLOAT, ["batch", 2, 6, 6])}
    path = tmp_path / "m.onnx"
    path.write_bytes(serialize(nodes, inputs=kinds[0], outputs=kinds[1], weights=[weight]))
    assert verify(path).passed and verify(path, reference=path).passed
