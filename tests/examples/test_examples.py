"""Each program in examples/ runs as its first lines say, and does what it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.slow


def run(command: list[str], folder: Path) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in (str(EXAMPLES.parent), *sys.path) if path),
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_are_run_here() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert names == {"test_parity_in_ci.py", "finetune_timm.py", "own_unet.py"}


def test_parity_in_ci(tmp_path: Path) -> None:
    """In a project of its own, whose pytest knows nothing of ours."""
    program = tmp_path / "test_parity_in_ci.py"
    program.write_bytes((EXAMPLES / program.name).read_bytes())
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "--resnetx-provider", "cpu,openvino"]
    assert "3 passed" in run(command, tmp_path)


def test_finetune_timm(tmp_path: Path) -> None:
    # torchvision, which timm imports, lacks its compiled operators here.
    program = (
        "import runpy, sys, tests.support.peers; "
        f"sys.argv = ['finetune_timm.py', '--out', 'digits', '--steps', '25']; "
        f"runpy.run_path({str(EXAMPLES / 'finetune_timm.py')!r}, run_name='__main__')"
    )
    shown = run([sys.executable, "-c", program], tmp_path)
    share = re.search(r"right on (\d+\.\d)% of 360 images", shown)
    assert share is not None and float(share[1]) > 50  # a tenth is chance
    assert re.search(r"The first is 'digit \d'; it is a \d", shown)
    assert {path.name for path in (tmp_path / "digits").iterdir()} == {"digits.pt", "labels.txt", "digits.onnx"}


def test_own_unet(tmp_path: Path) -> None:
    shown = run([sys.executable, str(EXAMPLES / "own_unet.py")], tmp_path)
    assert shown.count("verified") == 2 and shown.count("ok") == 2 and "4096 pixels" in shown
    half = onnx.load(tmp_path / "unet" / "unet-fp16.onnx")
    assert any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in half.graph.initializer)
