"""Files with inputs that have no batch dimension, such as a factor or a table, in any place among the inputs."""

from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from resnetx.verification.verify import VerifyOptions, verify_file

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporter

SHAPES = {"number": (), "one": (1,), "vector": (4,), "table": (4, 1, 1)}


class Scaled(nn.Module):
    """`first`: the input without a batch dimension comes first."""

    def __init__(self, *, first: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.classifier = nn.Linear(4, 5)
        self.first = first

    def forward(self, *inputs: Tensor) -> Tensor:
        factor, images = inputs if self.first else inputs[::-1]
        found = torch.relu(self.conv(images))
        factor = factor.reshape(-1, 1, 1) if factor.dim() == 1 else factor
        scores: Tensor = self.classifier((found * factor).mean((2, 3)))
        return scores


def exported(module: Scaled, path: Path, shape: tuple[int, ...], *, batch: int | None = None) -> Path:
    pair = (torch.full(shape, 0.5), torch.randn(batch or 2, 3, 16, 16))
    names = ["factor", "images"]
    torch.onnx.export(
        module,
        pair if module.first else pair[::-1],
        str(path),
        dynamo=False,
        input_names=names if module.first else names[::-1],
        output_names=["scores"],
        dynamic_axes=None if batch else {"images": {0: "batch"}, "scores": {0: "batch"}},
    )
    return path


@pytest.mark.parametrize("first", [False, True], ids=["last", "first"])
@pytest.mark.parametrize("kind", SHAPES)
def test_such_a_file_is_verified_with_its_network_and_without(tmp_path: Path, kind: str, first: bool) -> None:
    module = Scaled(first=first).eval()
    path = exported(module, tmp_path / "m.onnx", SHAPES[kind])
    for options in (VerifyOptions(), VerifyOptions(module=module)):
        verdict = verify_file(path, options)
        assert verdict.passed
        assert verdict.verdicts[0].parity.batches == (1, 2, 3, 8, 17)
        assert verdict.verdicts[0].layers


@pytest.mark.parametrize("first", [False, True], ids=["last", "first"])
def test_with_a_fixed_batch(tmp_path: Path, first: bool) -> None:
    module = Scaled(first=first).eval()
    path = exported(module, tmp_path / "m.onnx", (), batch=3)
    verdict = verify_file(path, VerifyOptions(module=module))
    assert verdict.passed
    assert verdict.verdicts[0].parity.batches == (3,)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_wrong_weight_of_such_a_file_is_found(tmp_path: Path, kind: str) -> None:
    module = Scaled(first=True).eval()
    model = onnx.load(exported(module, tmp_path / "m.onnx", SHAPES[kind]))
    weight = next(each for each in model.graph.initializer if each.name == "conv.weight")
    array = numpy_helper.to_array(weight).copy()
    array[1, 2, 0, 0] *= 1.01
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    verdict = verify_file(tmp_path / "wrong.onnx", VerifyOptions(module=module))
    assert not verdict.passed and verdict.file is not None
    assert "conv" in str(verdict.file.wrong_layer)
