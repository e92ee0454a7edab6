"""A reference that does not move with its inputs proves nothing, in every command that compares with one."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

import resnetx
from resnetx.benchmark import run as benchmarking
from resnetx.benchmark.run import passed, run_benchmark
from resnetx.conversion.quantization.quantize import QuantizeOptions, quantize_file
from resnetx.errors import UsageError
from resnetx.testing import ParityError, assert_parity
from resnetx.verification.result import Verification
from resnetx.verification.verify import VerifyOptions, verify_file
from tests.benchmark.test_run import QUICK, shown
from tests.cli.test_main import run
from tests.conftest import TINY_SIZE, random_network, tiny_config
from tests.support import peers
from tests.support.onnx_models import serialize

IMAGES = torch.zeros(2, 3, 16, 16)


def constant_network(path: Path, *, channels: int, bias: float = 0.0, classes: int = 5) -> Path:
    """A convolution, and a classifier of zeros: whatever the convolution finds, the outputs are the bias."""
    random = np.random.default_rng(channels)
    weights = {
        "w": random.standard_normal((channels, 3, 3, 3)),
        "v": np.zeros((channels, classes)),
        "b": np.full(classes, bias),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v", "b"], ["y"], name="fc"),
    ]
    path.write_bytes(
        serialize(
            nodes,
            inputs={"x": (TensorProto.FLOAT, ["batch", 3, 16, 16])},
            outputs={"y": (TensorProto.FLOAT, ["batch", classes])},
            weights=[numpy_helper.from_array(each.astype(np.float32), name) for name, each in weights.items()],
        )
    )
    return path


class Transformer(nn.Module):
    """One block over patches, and a head that starts at zero, as vision transformers have it."""

    def __init__(self, tail: Callable[[Tensor], Any] | None = None) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, 0.25)
        self.tail = tail

    def forward(self, x: Tensor) -> Any:
        tokens = self.norm(self.patches(x).flatten(2).transpose(1, 2))
        tokens = tokens + torch.relu(self.mix(tokens))
        scores = self.head(tokens.mean(1))
        return scores if self.tail is None else self.tail(scores)


class Nothing(nn.Module):
    """Its outputs have nothing to do with its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ones(x.shape[0], 4)


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarking, "measured_limits", lambda threads, gpu: None)


def built(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()


def verify(path: Path, **options: Any) -> Verification:
    return verify_file(path, VerifyOptions(**options))


def test_two_constant_networks_prove_nothing_of_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = (constant_network(tmp_path / f"{width}.onnx", channels=width) for width in (4, 7))
    files = ["--json", tmp_path / "r.json", "--junit", tmp_path / "r.xml"]
    for more in ([], ["--reference", theirs]):
        assert run(monkeypatch, "verify", ours, *more, *files) == 2
        text = " ".join(capsys.readouterr().out.split())
        assert "NOTHING COULD BE PROVEN: the output 'y' of the reference is the same for all" in text
        assert "PASSED" not in text and "FAILED" not in text
        result = json.loads((tmp_path / "r.json").read_text())
        assert result["passed"] is False and "is the same for all" in result["unproven"]
        suites = ElementTree.parse(tmp_path / "r.xml").getroot()
        assert sum(int(suite.attrib["errors"]) for suite in suites) == 1
        assert sum(int(suite.attrib["failures"]) for suite in suites) == 0
    other = constant_network(tmp_path / "other.onnx", channels=7, bias=1.0)
    assert run(monkeypatch, "verify", ours, "--reference", other) == 1  # another constant is a difference


def test_a_head_of_zeros_is_exported_because_the_rest_was_compared_and_verification_proves_nothing(
    tmp_path: Path,
) -> None:
    module = built(Transformer)
    result = resnetx.export(module, tmp_path / "m.onnx", example=IMAGES)
    assert result.passed and result.written and "is the same for all" in str(result.unproven)
    found = verify(tmp_path / "m.onnx", module=module)
    assert found.agrees and not found.passed and found.usable
    assert found.file is not None and found.file.shows_inside
    with pytest.raises(ParityError, match="NOTHING COULD BE PROVEN"):
        assert_parity(tmp_path / "m.onnx", module)
    model = onnx.load(tmp_path / "m.onnx")
    bias = next(each for each in model.graph.initializer if each.name == "head.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.01), bias.name))
    onnx.save(model, tmp_path / "m.onnx")
    assert not verify(tmp_path / "m.onnx", module=module).agrees
    nn.init.normal_(module.head.weight)  # type: ignore[union-attr, arg-type]
    assert resnetx.export(module, tmp_path / "trained.onnx", example=IMAGES).unproven is None
    assert verify(tmp_path / "trained.onnx", module=module).passed


def test_an_export_of_which_nothing_was_compared_is_not_written(tmp_path: Path) -> None:
    files = {"path": tmp_path / "m.onnx", "golden": tmp_path / "g.npz"}
    result = resnetx.export(built(Nothing), example=IMAGES, **files)
    assert not result.written and not result.passed and result.agrees and result.unproven is not None
    assert not list(tmp_path.iterdir())
    assert resnetx.export(built(Nothing), tmp_path / "m.onnx", example=IMAGES, verify=False).written


def test_a_checkpoint_whose_classifier_is_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = random_network(tiny_config())
    nn.init.zeros_(network.get_submodule("fc").weight)  # type: ignore[arg-type]
    torch.save(network.state_dict(), tmp_path / "w.pt")
    golden, path = tmp_path / "g.npz", tmp_path / "m.onnx"
    arguments = ["--weights", tmp_path / "w.pt", "--image-size", str(TINY_SIZE), "--golden", golden, "-o", path]
    assert run(monkeypatch, "export", *arguments) == 0
    assert "end to end nothing is proven: the output 'logits'" in " ".join(capsys.readouterr().out.split())
    for more in ([], ["--golden", golden]):
        assert run(monkeypatch, "verify", path, *more) == 2
        assert "NOTHING COULD BE PROVEN" in capsys.readouterr().out
    # Converted, its layers are compared with those of the source.
    assert run(monkeypatch, "convert", path, "-o", tmp_path / "h.onnx") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "NOTHING COULD BE PROVEN" in said and "h.onnx was written: its weights and inner tensors agree." in said


def test_a_benchmark_of_a_constant_network_is_not_verified(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "m.onnx", channels=4)
    result = run_benchmark([path], QUICK)
    (case,) = result.cases
    assert not passed(result) and case.status == "ok"
    assert case.parity is not None and not case.parity.passed
    assert str(case.parity.reason).startswith("nothing could be proven: the output 'y' of the reference")
    assert "not verified" in shown(result)
    assert passed(run_benchmark([path], replace(QUICK, verify=False)))


@pytest.mark.parametrize(
    ("tail", "remark", "proven"),
    [
        (lambda y: (y.softmax(1), torch.arange(6.0) + 0 * y.sum()), "output1 is the same for all", True),
        (lambda y: (y, y.argmax(1) * 0), "output1 is the same for all", True),
        (lambda y: (y, torch.sqrt(-1 - y * y)), "output1 has no finite value for any", True),
        (lambda y: torch.sqrt(-1 - y * y), "output' of the reference has no finite value for any", False),
        (lambda y: y.argmax(1) * 0, "output' of the reference is the same for all", False),
        (lambda y: torch.sigmoid(y * 0 + 40), "output' of the reference is the same for all", False),
    ],
    ids=["constant grid", "constant class", "NaN beside", "NaN alone", "constant class alone", "saturated"],
)
def test_constants_beside_what_moves_are_told_and_alone_prove_nothing(
    tmp_path: Path, tail: Callable[[Tensor], Any], remark: str, proven: bool
) -> None:
    module = built(lambda: Transformer(tail))
    nn.init.normal_(module.head.weight)  # type: ignore[union-attr, arg-type]
    resnetx.export(module, tmp_path / "m.onnx", example=IMAGES, verify=False)
    found = verify(tmp_path / "m.onnx", module=module)
    assert found.agrees and found.passed is proven
    assert remark in " ".join([*found.remarks, str(found.unproven)])


def test_a_tolerance_wider_than_the_outputs_move_proves_nothing(tmp_path: Path) -> None:
    """As with probabilities of many classes, all of which are below a usual tolerance."""
    resnetx.export(tiny_config(), tmp_path / "m.onnx", image_size=TINY_SIZE, verify=False)
    assert assert_parity(tmp_path / "m.onnx", atol=1e-2).passed
    with pytest.raises(ParityError, match=r"NOTHING COULD BE PROVEN: .* for all 8 inputs, within"):
        assert_parity(tmp_path / "m.onnx", atol=1e30)


def test_an_input_that_no_output_depends_on_is_told(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    kind = (TensorProto.FLOAT, ["batch", 3, 8, 8])
    weight = numpy_helper.from_array(np.random.default_rng(0).standard_normal((2, 3, 3, 3)).astype(np.float32), "w")
    out = (TensorProto.FLOAT, ["batch", 2, 6, 6])
    path = tmp_path / "m.onnx"
    path.write_bytes(serialize(nodes, inputs={"x": kind, "mask": kind}, outputs={"y": out}, weights=[weight]))
    found = verify(path)
    assert found.passed and found.remarks == ("no output of the file depends on the input mask",)


def test_one_image_shows_no_movement_and_says_so(tmp_path: Path) -> None:
    resnetx.export(tiny_config(), tmp_path / "m.onnx", image_size=TINY_SIZE, verify=False)
    image = np.random.default_rng(0).integers(0, 255, (1, TINY_SIZE, TINY_SIZE, 3), np.uint8)
    found = verify(tmp_path / "m.onnx", images=image)
    assert found.passed and "all inputs are the same" in found.remarks[0]


def test_an_int8_file_of_a_constant_network_is_refused(tmp_path: Path) -> None:
    path = constant_network(tmp_path / "m.onnx", channels=4)
    np.savez(tmp_path / "s.npz", x=np.random.default_rng(0).standard_normal((40, 3, 16, 16)).astype(np.float32))
    with pytest.raises(UsageError, match="Nothing could be proven: the scores of the float network are the same"):
        quantize_file(path, tmp_path / "q.onnx", QuantizeOptions(calibrate=tmp_path / "s.npz", target="cpu"))
    assert not (tmp_path / "q.onnx").exists()


def test_a_product_before_its_bias_is_a_step_and_not_wrong(tmp_path: Path) -> None:
    """Biases of a new ViT are so small that the products before them resemble the layers themselves."""
    peers.declare_torchvision_operators()
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    sizes = {"image_size": 64, "patch_size": 16, "num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64}
    network = models.VisionTransformer(**sizes, num_classes=7).eval()
    result = resnetx.export(network, tmp_path / "m.onnx", example=torch.randn(2, 3, 64, 64))
    assert result.written and result.unproven is not None
    assert result.file is not None and "encoder.layers.encoder_layer_0.mlp.0" in result.file.left_out
