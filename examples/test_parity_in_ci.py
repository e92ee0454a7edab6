"""A parity test for CI: the file that is deployed computes what the network of this commit computes.

pytest examples/test_parity_in_ci.py                                  # on ONNX Runtime's cpu provider
pytest examples/test_parity_in_ci.py --resnetx-provider cpu,openvino  # on each runtime that is deployed
"""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import resnetx
from resnetx.testing import ParityError


def network() -> nn.Module:
    """Stands for the network of your project, with its trained weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    ).eval()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands for the file that your last release contains, and beside it the bundle that was written with it."""
    path = tmp_path_factory.mktemp("release") / "model.onnx"
    golden = path.with_suffix(".npz")
    result = resnetx.export(network(), path, example=torch.zeros(2, 3, 32, 32), golden=golden)
    assert result.passed
    return path


def test_the_file_computes_the_network(deployed: Path, resnetx_parity: Callable[..., object]) -> None:
    resnetx_parity(deployed, network())


def test_the_file_is_right_where_torch_is_not_installed(deployed: Path, resnetx_parity: Callable[..., object]) -> None:
    """The golden bundle stands for the network: this test also runs in the image that serves the file."""
    resnetx_parity(deployed, golden=deployed.with_suffix(".npz"))


def test_one_wrong_weight_is_found(deployed: Path, resnetx_parity: Callable[..., object], tmp_path: Path) -> None:
    """A test that cannot fail proves nothing: change one number of one filter by a tenth of a percent."""
    model = onnx.load(deployed)
    (filters,) = (each for each in model.graph.initializer if list(each.dims) == [16, 8, 3, 3])
    values = numpy_helper.to_array(filters).copy()
    values[3, 2, 1, 1] *= 1.001
    filters.CopyFrom(numpy_helper.from_array(values, filters.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    with pytest.raises(ParityError, match="FAILED"):
        resnetx_parity(tmp_path / "wrong.onnx", network())
