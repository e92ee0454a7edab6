"""`resnetx verify`: the truth from every source, the verdict, the first wrong layer, and bad input."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import resnetx
from resnetx.errors import FileError, ResnetxError, UsageError
from resnetx.graph.card import CARD_KEY, read_card
from resnetx.testing import ParityError, assert_parity
from resnetx.verification.parity import Tolerance
from resnetx.verification.result import Verification
from resnetx.verification.verify import VerifyOptions, verify_file
from tests.cli.test_main import run
from tests.conftest import TINY_SIZE, random_network, tiny_config
from tests.conversion.test_export import TwoInTwoOut, UNet
from tests.support.images import synthetic_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that most tests only read."""
    folder = tmp_path_factory.mktemp("verify")
    for name, options in {
        "logits": {"golden": folder / "logits.npz"},
        "top3": {"output": "top3", "preprocess": "uint8", "exporter": "torchscript"},
        "fp16": {"precision": "fp16"},
        "fixed": {"batch": 4, "exporter": "torchscript"},
        "other": {"seed": 9, "golden": folder / "other.npz", "exporter": "torchscript"},
    }.items():
        assert resnetx.export(tiny_config(), folder / f"{name}.onnx", image_size=TINY_SIZE, **options).passed  # type: ignore[arg-type]
    return folder


def edited(source: Path, target: Path, tensor: str, factor: float) -> Path:
    """A copy whose one weight tensor is multiplied by `factor`."""
    model = onnx.load(source)
    weight = next(item for item in model.graph.initializer if item.name == tensor)
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(factor), tensor))
    onnx.save(model, target)
    return target


def verify(path: Path, **options: Any) -> Verification:
    return verify_file(path, VerifyOptions(**options))


@pytest.mark.parametrize("name", ["logits", "top3", "fp16", "fixed"])
def test_an_honest_file_passes(folder: Path, name: str) -> None:
    result = verify(folder / f"{name}.onnx")
    assert result.passed and result.verdicts[0].deterministic
    assert result.verdicts[0].precision == ("fp16" if name == "fp16" else "fp32")
    assert result.verdicts[0].parity.batches == ((4,) if name == "fixed" else (1, 2, 3, 8, 17))
    assert sum(count for _, count in result.verdicts[0].placement) > 0


@pytest.mark.parametrize("name", ["logits", "top3"])
@pytest.mark.parametrize("factor", [1.0001, -1.0])
def test_a_changed_weight_fails_and_its_layer_is_named(folder: Path, tmp_path: Path, name: str, factor: float) -> None:
    path = edited(folder / f"{name}.onnx", tmp_path / "m.onnx", "layer2.0.conv2.weight", factor)
    result = verify(path)
    assert not result.passed and result.file is not None
    fault, structure = result.file.first_fault, result.file.structure
    assert fault is not None and structure is not None
    assert (fault.name, fault.original) == ("layer2.0.conv2", "res3a_branch2b")
    assert [each.layer for each in structure.differences] == ["layer2.0.conv2"]
    names = [layer.name for layer in result.file.layers]
    assert names.index("conv1") < names.index("layer1.0.relu_2") < names.index("fc")


def test_golden_and_reference_say_the_same_as_pytorch(folder: Path, tmp_path: Path) -> None:
    healthy = folder / "logits.onnx"
    wrong = edited(healthy, tmp_path / "m.onnx", "layer1.0.conv3.weight", 1.001)
    for source in ({"golden": folder / "logits.npz"}, {"reference": healthy}):
        assert verify(healthy, **source).passed
        assert not verify(wrong, **source).passed
    for source in ({"golden": folder / "logits.npz"}, {"reference": healthy}):
        assert verify(wrong, **source).wrong_layer == "layer1.0.conv3"


def test_a_foreign_file_without_a_card_is_compared_with_another(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "logits.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    assert verify(tmp_path / "foreign.onnx", reference=folder / "logits.onnx").passed
    alone = verify(tmp_path / "foreign.onnx")
    assert alone.passed and alone.file is None and "no network is known" in alone.reference
    assert alone.verdicts[0].layers and alone.verdicts[0].graph is not None
    with pytest.raises(UsageError, match="needs a model card"):
        verify(tmp_path / "foreign.onnx", weights="w.pt")


def test_an_explicit_tolerance_replaces_the_noise_floor(folder: Path, tmp_path: Path) -> None:
    path = edited(folder / "logits.onnx", tmp_path / "m.onnx", "fc.weight", 1.0001)
    assert not verify(path).passed
    assert verify(path, tolerance=Tolerance(rtol=1e-2, atol=1e-2)).passed
    assert not verify(path, tolerance=Tolerance(rtol=1e-7)).passed


def test_weights_are_found_again_by_the_card_and_told_apart_by_their_digest(tmp_path: Path) -> None:
    torch.save(random_network(tiny_config()).state_dict(), tmp_path / "w.pt")
    torch.save(random_network(tiny_config(), 1).state_dict(), tmp_path / "other.pt")
    resnetx.export(None, tmp_path / "m.onnx", weights=tmp_path / "w.pt", image_size=TINY_SIZE)
    assert verify(tmp_path / "m.onnx").passed
    (tmp_path / "w.pt").rename(tmp_path / "moved.pt")
    with pytest.raises(UsageError, match="which does not exist here"):
        verify(tmp_path / "m.onnx")
    assert verify(tmp_path / "m.onnx", weights=str(tmp_path / "moved.pt")).passed
    with pytest.raises(UsageError, match="are not those of the model"):
        verify(tmp_path / "m.onnx", weights=str(tmp_path / "other.pt"))


def test_a_new_head_is_rebuilt_from_its_seed(tmp_path: Path) -> None:
    torch.save(random_network(tiny_config()).state_dict(), tmp_path / "w.pt")
    options: dict[str, Any] = {"weights": tmp_path / "w.pt", "classes": 4, "new_head": True, "seed": 3}
    resnetx.export(None, tmp_path / "m.onnx", image_size=TINY_SIZE, **options)
    assert verify(tmp_path / "m.onnx").passed


def test_the_users_own_photographs_are_the_inputs(folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    from resnetx.inputs.image_folder import read_images

    for number, size in enumerate([(64, 48), (31, 90), (200, 200)]):
        pixels = np.random.default_rng(number).integers(0, 255, (*size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    images = read_images(tmp_path, read_card(onnx.load(folder / "top3.onnx")), folder / "top3.onnx")
    assert images.shape == (3, TINY_SIZE, TINY_SIZE, 3) and images.dtype == np.uint8
    assert verify(folder / "top3.onnx", images=images).passed
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nonsense")
    with pytest.raises(FileError, match=r"broken\.png cannot be read"):
        read_images(tmp_path, read_card(onnx.load(folder / "top3.onnx")), folder / "top3.onnx")


def test_a_photograph_that_would_grow_without_bound_is_refused(folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    from resnetx.inputs.image_folder import read_images

    for name, size in (("a", (40, 40)), ("b", (1, 4_000_000))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    with pytest.raises(FileError, match=r"b\.png is 1x4000000 pixels, too narrow"):
        read_images(tmp_path, read_card(onnx.load(folder / "top3.onnx")), folder / "top3.onnx")


def quantized(source: Path, target: Path, size: int = TINY_SIZE) -> Path:
    """The runtime's own static quantization, calibrated on smooth images."""
    import onnxruntime.quantization as quantization

    from resnetx.inputs.synthetic import network_input
    from resnetx.machine.facts import read_processor
    from resnetx.model.preprocessing import IMAGENET
    from tests.support.images import synthetic_images

    class Images(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(np.split(network_input(synthetic_images(32, size, seed=1), IMAGENET), 8))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"input": batch}

    quantization.quantize_static(
        source,
        target,
        Images(),
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        # Without VNNI instructions, products of full 8-bit ranges overflow the 16-bit sums of x86 processors.
        reduce_range=not {"avx512_vnni", "avx_vnni"} & set(read_processor().instruction_sets),
    )
    return target


def test_an_int8_file_is_held_to_its_signal_over_its_error(folder: Path, tmp_path: Path) -> None:
    path = quantized(folder / "logits.onnx", tmp_path / "int8.onnx")
    images = synthetic_images(8, TINY_SIZE)
    result = verify(path, images=images)
    checks = result.verdicts[0].parity.checks
    assert result.passed and result.verdicts[0].precision == "int8"
    assert all(check.metrics is not None and 15 < check.metrics.sqnr_db < 60 for check in checks)
    for source in ({"golden": folder / "logits.npz"}, {"reference": folder / "logits.onnx"}):
        assert verify(path, **source).passed
    model = onnx.load(path)
    scale = next(
        item for item in model.graph.initializer if "layer2.0.conv2" in item.name and item.name.endswith("scale")
    )
    scale.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(scale) * np.float32(2), scale.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    assert not verify(tmp_path / "wrong.onnx", images=images).passed


def test_nan_fails_whatever_the_tolerance(folder: Path, tmp_path: Path) -> None:
    path = edited(folder / "logits.onnx", tmp_path / "m.onnx", "fc.weight", float("nan"))
    for tolerance in (None, Tolerance(atol=1e30)):
        result = verify(path, tolerance=tolerance)
        assert not result.passed
        assert "NaN" in str(result.verdicts[0].parity.checks[0].reason)


def test_json_and_junit_carry_the_verdict(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = edited(folder / "logits.onnx", tmp_path / "<m&>.onnx", "layer1.0.conv1.weight", 1.01)
    files = ["--json", tmp_path / "r.json", "--junit", tmp_path / "r.xml"]
    assert run(monkeypatch, "verify", path, "--layers", *files) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "FAILED" in shown and "layer1.0.conv1 / res2a_branch2a" in shown
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["schema"] == "resnetx.verify/3" and result["passed"] is False
    assert result["file"]["first_fault"] == "layer1.0.conv1"
    file, provider = ElementTree.parse(tmp_path / "r.xml").getroot()
    failed = [case.attrib["name"] for case in file if case.find("failure") is not None]
    assert failed == ["weights and graph", "logits batch 8 in float64", "layers"]
    assert "layer1.0.conv1" in file[0][0].attrib["message"]
    # The runtime computes the file, but the file is not the network.
    failed = [case.attrib["name"] for case in provider if len(case)]
    again = "logits batch 17, run 2 in another order"
    assert failed == [*(f"logits batch {size}" for size in (1, 2, 3, 8, 17)), again]
    assert run(monkeypatch, "verify", folder / "logits.onnx", *files) == 0
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())
    assert ElementTree.parse(tmp_path / "r.xml").getroot()[0].attrib["failures"] == "0"


def test_a_golden_bundle_needs_no_torch(folder: Path) -> None:
    arguments = ["resnetx", "verify", str(folder / "logits.onnx"), "--golden", str(folder / "logits.npz")]
    code = f"import sys; sys.modules['torch'] = None; from resnetx.cli.main import main; sys.argv = {arguments}; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "PASSED" in done.stdout


def test_a_golden_bundle_of_another_network_or_cut_short_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is of another network"):
        verify(folder / "logits.onnx", golden=folder / "other.npz")
    data = (folder / "logits.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(data[: len(data) // 2])
    (tmp_path / "pickled.npz").write_bytes(b"")
    np.savez(tmp_path / "objects.npz", about=np.array([{"schema": 1}], dtype=object), allow_pickle=True)  # type: ignore[arg-type]
    for name in ("cut.npz", "pickled.npz", "objects.npz"):
        with pytest.raises(FileError, match="not a golden file"):
            verify(folder / "logits.onnx", golden=tmp_path / name)
    with pytest.raises(FileError, match="no golden file"):
        verify(folder / "logits.onnx", golden=tmp_path / "absent.npz")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batches": (0,)}, "must be 1 or more"),
        ({"golden": Path("g.npz"), "reference": Path("o.onnx")}, "one reference at a time"),
        ({"providers": ("cpux",)}, "cpux"),
        ({"providers": ("cuda",)}, "cuda"),
    ],
)
def test_what_cannot_run_says_why(folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ResnetxError, match=message):
        verify(folder / "logits.onnx", **options)


def test_a_reference_with_other_outputs_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the reference"):
        verify(folder / "logits.onnx", reference=folder / "top3.onnx")
    with pytest.raises(UsageError, match="batches of 4 only"):
        verify(folder / "fixed.onnx", batches=(1, 2))


def test_a_card_that_lies_about_the_network_is_caught(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "logits.onnx")
    for entry in model.metadata_props:
        if entry.key == CARD_KEY:
            entry.value = entry.value.replace('"variant":"v1.5"', '"variant":"v1"')
    card = read_card(model)
    assert card is not None and card.config is not None and card.config.variant == "v1"
    onnx.save(model, tmp_path / "m.onnx")
    assert verify(tmp_path / "m.onnx").wrong_layer == "layer2.0.conv1"


@pytest.mark.parametrize("build", [UNet, TwoInTwoOut])
def test_any_module_and_its_file_can_be_verified(tmp_path: Path, build: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = build()
    images = torch.randn(2, 3, 8, 8)
    example = (images,) if build is UNet else (images, torch.tensor([1, 4]))
    resnetx.export(module, tmp_path / "m.onnx", example=example)
    assert assert_parity(tmp_path / "m.onnx", module, layers=build is UNet).passed
    other = build()
    with pytest.raises(ParityError, match="FAILED") as caught:
        assert_parity(tmp_path / "m.onnx", other)
    assert "times the reference's own fp32 error" in str(caught.value) and not caught.value.result.passed


def test_a_module_that_does_not_take_the_inputs_is_told_so(tmp_path: Path) -> None:
    resnetx.export(UNet().eval(), tmp_path / "m.onnx", example=torch.randn(2, 3, 8, 8))
    with pytest.raises(
        UsageError, match=r"TwoInTwoOut cannot be the reference: .*it raised TypeError.* Pass the module"
    ):
        resnetx.verify(tmp_path / "m.onnx", TwoInTwoOut())
    with pytest.raises(UsageError, match=r"Conv2d cannot be the reference.*raised RuntimeError"):
        resnetx.verify(tmp_path / "m.onnx", nn.Conv2d(5, 2, 3))
