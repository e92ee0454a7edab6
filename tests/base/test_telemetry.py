"""ONNX Runtime's telemetry: off wherever resnetx loads the library, without a trace in the environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnetx.base.telemetry import NO_TELEMETRY, without_telemetry

# The library does without telemetry where these are set.
HIDING = (*NO_TELEMETRY, "CI", "ORT_RUNNING_UNIT_TESTS")


def files_after(code: str, folder: Path) -> list[str]:
    """The files that a process with a new home and temporary folder leaves."""
    kept = {name: value for name, value in os.environ.items() if name not in HIDING}
    own = {
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TMPDIR": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Whatever would be sent goes to a port that nobody listens on.
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    code = f"import os; before = dict(os.environ)\n{code}\nassert dict(os.environ) == before"
    subprocess.run([sys.executable, "-c", code], env=kept | own, check=True, cwd=folder)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "code",
    [
        "from resnetx.runtime.catalog import open_runner, find_provider, engine_of; engine_of(find_provider('cpu'))",
        "import onnx; from resnetx.graph.float16 import convert_precision\n"
        "convert_precision(onnx.ModelProto(graph=onnx.GraphProto()), 'fp16')",
        # onnxscript, which the exporter uses, imports it.
        "import sys, resnetx; from tests.conftest import TINY_SIZE, tiny_config\n"
        "del os.environ['ORT_DISABLE_TELEMETRY']\n"  # set for the tests
        "resnetx.export(tiny_config(), 'm.onnx', image_size=TINY_SIZE, simplify=False, verify=False)\n"
        "os.unlink('m.onnx'); assert 'onnxruntime' in sys.modules",
    ],
)
def test_loading_the_library_leaves_nothing_behind(tmp_path: Path, code: str) -> None:
    assert files_after(code, tmp_path) == []


def test_a_loaded_library_has_telemetry_off_after_the_variable_is_gone(tmp_path: Path) -> None:
    """The library reads the variable once: a session that is opened later starts nothing."""
    code = (
        "from resnetx.runtime.catalog import open_runner\n"
        "from tests.support.onnx_models import small_classifier\n"
        "open_runner(small_classifier())"
    )
    assert files_after(code, tmp_path) == []


def test_the_files_that_are_avoided_are_those_of_the_library(tmp_path: Path) -> None:
    """If this fails, the library no longer writes them, and the tests above say nothing."""
    assert ".ses" in files_after("import onnxruntime", tmp_path)


@pytest.mark.parametrize("before", [None, "0"])
def test_the_environment_is_restored(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = NO_TELEMETRY
    if before is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, before)
    with pytest.raises(ZeroDivisionError), without_telemetry():
        assert os.environ[name] == "1"
        raise ZeroDivisionError
    assert os.environ.get(name) == before
