"""The CI kit: the pytest plugin that pip brings along, run in a test suite of a user's own."""

import importlib.metadata
import shutil
from pathlib import Path

import pytest

import resnetx
from tests.conftest import TINY_SIZE, tiny_config

SUITE = """
def test_parity(resnetx_parity):
    result = resnetx_parity("model.onnx", golden="g.npz")
    print("PROVIDERS", [verdict.provider for verdict in result.verdicts])

def test_fault(resnetx_parity):
    resnetx_parity("model.onnx", golden="g.npz", rtol=1e-12)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made before pytester takes its snapshot of loaded modules: compiled ones cannot be loaded a second time."""
    folder = tmp_path_factory.mktemp("files")
    resnetx.export(tiny_config(), folder / "model.onnx", image_size=TINY_SIZE, golden=folder / "g.npz")
    return folder


@pytest.fixture
def suite(files: Path, pytester: pytest.Pytester) -> pytest.Pytester:
    for path in files.iterdir():
        shutil.copy(path, pytester.path)
    pytester.makepyfile(SUITE)
    return pytester


def test_the_plugin_is_registered() -> None:
    names = {point.name: point.value for point in importlib.metadata.entry_points(group="pytest11")}
    assert names["resnetx"] == "resnetx.pytest_plugin"


def test_the_fixture_passes_and_fails_with_a_table(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess("-s", "-p", "no:xdist", "--resnetx-provider", "cpu")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*PROVIDERS*'cpu'*", "*logits*FAILED*", "*beyond atol 0, rtol 1e-12*"])


def test_a_provider_that_is_not_there_is_an_error_not_a_pass(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess("-p", "no:xdist", "--resnetx-provider", "nonsense")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*nonsense*"])


def test_the_plugin_loads_nothing_heavy_before_it_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\ndef test_light():\n    assert not {'torch', 'onnx', 'onnxruntime'} & set(sys.modules)\n"
    )
    pytester.runpytest_subprocess("-p", "no:xdist").assert_outcomes(passed=1)
