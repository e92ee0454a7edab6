"""The house rules that a machine can hold: who may import whom, and what the light path may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import resnetx

ROOT = Path(resnetx.__file__).parent
ORDER = ("model", "graph", "runtime", "measure", "report", "cli")
# Modules that compose the stages; the packages below the command line know nothing of them.
COMPOSING = {
    "api",
    "bench",
    "pipeline",
    "rebuild",
    "simplification",
    "subject",
    "testing",
    "truth",
    "verifying",
}
FOUNDATION = {"errors", "files"}
# Which package may import which heavy library; graph has torch in one file, runtime in four.
HEAVY = {
    "torch": {
        "model",
        "graph/export.py",
        "runtime/reference.py",
        "runtime/torch_runner.py",
        "runtime/peaks.py",
        "runtime/trial.py",
    },
    "safetensors": {"model"},
    "h5py": {"model"},
    "onnx": {"graph", "runtime"},
    "onnxsim": {"graph"},
    "onnxruntime": {"runtime", "graph/precision.py"},
    "rich": {"report", "cli"},
    "typer": {"cli"},
}
LIGHT_FORBIDDEN = ("torch", "onnx", "onnxruntime", "numpy", "rich")
MODULES = sorted(path for package in ORDER for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names.update({node.module} if node.module != "resnetx" else {f"resnetx.{a.name}" for a in node.names})
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_left(path: Path) -> None:
    relative = path.relative_to(ROOT)
    package = relative.parts[0]
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "resnetx":
            target = rest.partition(".")[0]
            allowed = {*ORDER[: ORDER.index(package) + 1], *FOUNDATION, "__version__"}
            assert target in allowed | (COMPOSING if package == "cli" else set()), f"{relative} imports {name}"
        elif top in HEAVY:
            assert HEAVY[top] & {package, str(relative)}, f"{relative} imports {name}"


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_has_a_job_and_stays_small(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"
    assert len(text.splitlines()) <= 300, f"{path} holds two things"


@pytest.mark.parametrize("code", ["import resnetx", "import resnetx.cli.main"])
def test_the_light_path_is_light(code: str) -> None:
    probe = f"{code}; import sys; print([name for name in {LIGHT_FORBIDDEN} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command", [[], ["export"], ["simplify"], ["inspect"], ["verify"], ["bench"], ["compare"], ["doctor"]]
)
def test_help_loads_nothing_heavy(command: list[str]) -> None:
    probe = (
        f"import sys; sys.argv = ['resnetx', *{command}, '--help']\n"
        "from resnetx.cli.main import main\n"
        "try: main()\n"
        f"except SystemExit as end: print(end.code, [name for name in {LIGHT_FORBIDDEN} if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True).stdout
    assert "Usage: resnetx" in output
    assert output.splitlines()[-1] == "0 []"
