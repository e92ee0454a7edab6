"""Each command in an environment that never had torch: it works, or one sentence says that it needs torch."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import resnetx
from tests.conftest import TINY_SIZE, tiny_config

pytestmark = pytest.mark.slow

Run = Callable[..., str]
QUICK_BENCH = ("--processes", "1", "--rounds", "3", "--duration", "0.2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files from a machine with torch: one with a card and a golden bundle, and one that says nothing of itself."""
    folder = tmp_path_factory.mktemp("files")
    result = resnetx.export(tiny_config(), folder / "own.onnx", image_size=TINY_SIZE, golden=folder / "own.npz")
    assert result.passed
    model = onnx.load(folder / "own.onnx")
    del model.metadata_props[:]
    onnx.save(model, folder / "foreign.onnx")
    return folder


@pytest.fixture
def run(slim_python: Path, folder: Path, tmp_path: Path) -> Run:
    """A command line in that environment: its exit status, and all that it wrote as one line."""

    def run(*command: object, status: int) -> str:
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [slim_python, *map(str, command)], cwd=tmp_path, env=inherited, capture_output=True, text=True
        )
        words = " ".join((done.stdout + done.stderr).split())
        assert done.returncode == status, words
        assert "Traceback" not in words and "ModuleNotFoundError" not in words and "unexpected" not in words
        return words

    return run


def test_it_has_the_wheel_and_no_torch(run: Run, folder: Path) -> None:
    probe = (
        "import importlib.util as u, resnetx, onnxruntime, openvino, onnxsim; "
        "print([u.find_spec(name) for name in ('torch', 'torchvision', 'timm', 'transformers')], resnetx.__file__)"
    )
    words = run("-c", probe, status=0)
    assert words.startswith("[None, None, None, None]") and "slim" in words


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("inspect {0}/own.onnx --layers", "layer1.0.conv1"),
        ("verify {0}/own.onnx --golden {0}/own.npz", "PASSED"),
        ("verify {0}/own.onnx --golden {0}/own.npz --provider openvino", "PASSED"),
        ("verify {0}/foreign.onnx", "no network is known"),
        ("verify {0}/foreign.onnx --reference {0}/own.onnx", "PASSED"),
        ("simplify {0}/foreign.onnx -o simple.onnx", "simple.onnx"),
        ("convert {0}/own.onnx -o half.onnx", "PASSED"),
        ("quantize {0}/own.onnx -o int8.onnx --calibrate synthetic --samples 16 --target cpu", "int8.onnx"),
        ("profile {0}/own.onnx --provider cpu --duration 0.2", "layer1.0.conv1"),
        ("profile {0}/own.onnx --provider openvino --duration 0.2", "layer1.0.conv1"),
        ("doctor", "pip install torch"),
    ],
)
def test_what_needs_no_torch_works(run: Run, folder: Path, command: str, words: str) -> None:
    assert words in run("-m", "resnetx", *command.format(folder).split(), status=0)


def test_bench_and_compare(run: Run, folder: Path, tmp_path: Path) -> None:
    """A file with a card is verified too: against itself, not optimized, and the result says so."""
    files, providers = [folder / "own.onnx", folder / "foreign.onnx"], "cpu,openvino"
    command = ("bench", *files, "--provider", providers, *QUICK_BENCH, "--json", "bench.json")
    run("-m", "resnetx", *command, status=0)
    benchmark = json.loads((tmp_path / "bench.json").read_text())
    assert [case["status"] for case in benchmark["cases"]] == ["ok"] * 4
    assert all("the file itself, not optimized" in case["parity"]["reference"] for case in benchmark["cases"])
    assert benchmark["limits"]["fp32_gflops"] > 0 and benchmark["limits"]["bandwidth_gb_s"] is None
    assert "UNDECIDED: 4 of 4" in run("-m", "resnetx", "compare", "bench.json", "bench.json", status=0)


def test_tune(run: Run, folder: Path, tmp_path: Path) -> None:
    command = ("tune", folder / "foreign.onnx", "-o", "tuned", "--provider", "cpu", "--duration", "0.2")
    run("-m", "resnetx", *command, status=0)
    assert (tmp_path / "tuned" / "tuned.json").is_file()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("export --stages 1,1,1,1 --width 8 --image-size 32", "resnetx export needs PyTorch"),
        ("verify {0}/own.onnx", "or give the golden bundle that was written at export with --golden"),
        ("profile {0}/own.onnx --provider torch", "torch"),
    ],
)
def test_what_needs_torch_says_so_in_one_sentence(run: Run, folder: Path, command: str, words: str) -> None:
    answer = run("-m", "resnetx", *command.format(folder).split(), status=2)
    assert words in answer and "pip install torch" in answer
    assert len(answer) < 400


def test_from_python(run: Run, folder: Path) -> None:
    program = f"""
import resnetx
from resnetx.errors import MissingExtraError
assert resnetx.verify({str(folder / "own.onnx")!r}, golden={str(folder / "own.npz")!r}).passed
try:
    resnetx.export(None, "x.onnx", weights="w.pt")
except MissingExtraError as error:
    print(error)
"""
    assert (
        run("-c", program, status=0) == "resnetx.export needs PyTorch, which is not installed here: pip install torch."
    )
