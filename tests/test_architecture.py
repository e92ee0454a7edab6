"""The house rules that a machine can hold: who may import whom, and what the light path may load."""

import ast
import itertools
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import resnetx
from resnetx.runtime.catalog import CATALOG

ROOT = Path(resnetx.__file__).parent
# A package imports from its own folder and from those before it.
ORDER = (
    *("errors", "base", "machine", "model", "weights", "graph", "runtime", "inputs", "doctor", "verification"),
    *("conversion", "benchmark", "tuning", "study", "report", "cli", "api", "testing", "pytest_plugin", "__main__"),
)
# Which package or file may import which heavy library.
HEAVY = {
    "torch": {
        "model",
        "weights",
        "graph/export.py",
        "graph/exporter_error.py",
        "runtime/cudnn",
        "runtime/pytorch",
        "verification/activity.py",
        "verification/channels.py",
        "verification/coverage.py",
        "verification/long_sums.py",
        "verification/network_trace.py",
        "verification/operator_mode.py",
        "verification/pytorch_reference.py",
        "verification/rebuild.py",
        "verification/evaluation",
        "verification/structure/module_structure.py",
        "verification/structure/recording.py",
        "conversion",
        "benchmark/peak_kernels.py",
        "study",
        "api/conversion.py",
    },
    "safetensors": {"weights"},
    "h5py": {"weights"},
    "onnx": {"graph", "runtime", "verification", "conversion", "benchmark/peak_sessions.py"},
    "onnxsim": {"graph"},
    "openvino": {"runtime/openvino"},
    "onnxruntime": {"runtime/ort", "graph/float16.py", "graph/quantization", "conversion/quantization"},
    "pydantic": {"base/validation.py", "benchmark", "verification/golden.py"},
    "sklearn": {"study/digits.py"},
    "matplotlib": {"report/study_picture.py"},
    "jinja2": {"report/html"},
    "rich": {"report", "cli", "testing.py"},
    "typer": {"cli"},
}
LIGHT_FORBIDDEN = ("torch", "onnx", "onnxruntime", "openvino", "numpy", "rich")
MODULES = sorted(ROOT.rglob("*.py"))


def imported(path: Path, *, typing: bool = True) -> set[str]:
    """Every module that the file names in an import, the lazy ones in functions included."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    only_types = {
        id(node)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test) == "TYPE_CHECKING"
        for node in ast.walk(test)
    }
    for node in ast.walk(tree):
        if id(node) in only_types and not typing:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def files_imported(path: Path) -> set[Path]:
    found: set[Path] = set()
    for name in imported(path):
        stem = ROOT.parent.joinpath(*name.split("."))
        candidates = (stem.with_suffix(".py"), stem.parent.with_suffix(".py"), stem / "__init__.py")
        found.update([file for file in candidates if file in MODULES][:1])
    return found


def test_packages_import_only_from_those_above() -> None:
    def place(path: Path) -> int:
        return ORDER.index(path.relative_to(ROOT).parts[0].removesuffix(".py"))

    climbs = [
        f"{path.relative_to(ROOT)} imports {other.relative_to(ROOT)}"
        for path in MODULES
        if path != ROOT / "__init__.py"  # its lazy names are the public face
        for other in files_imported(path) - {ROOT / "__init__.py"}
        if place(other) > place(path)
    ]
    assert climbs == []


def test_no_module_imports_itself_through_others() -> None:
    graph = {path: files_imported(path) for path in MODULES if path != ROOT / "__init__.py"}
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, naming the circle


def test_heavy_libraries_stay_in_their_rooms() -> None:
    strays = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        for name in imported(path, typing=False)
        if (rooms := HEAVY.get(name.partition(".")[0])) is not None
        and not any(path.is_relative_to(ROOT / room) for room in rooms)
    ]
    assert strays == []


def test_no_provider_is_asked_for_by_name_outside_the_runtime() -> None:
    """What a provider can do is asked of its row in the catalog."""
    names = {name for row in CATALOG for name in row.names}

    def named(node: ast.AST) -> bool:
        """Whether it compares with a name or a list of names; an argument of a call is something else."""
        sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node]
        lists = [each.elts for each in sides if isinstance(each, ast.Tuple | ast.List | ast.Set)]
        values = [
            each.value for each in itertools.chain(sides, *lists) if isinstance(each, ast.Constant | ast.MatchValue)
        ]
        values = [each.value if isinstance(each, ast.Constant) else each for each in values]
        return any(isinstance(value, str) and value.lower() in names for value in values)

    branches = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        if not path.is_relative_to(ROOT / "runtime")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare | ast.MatchValue) and named(node)
    ]
    assert branches == []


def test_the_parts_of_a_runner_are_not_probed_for() -> None:
    probes = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("getattr", "hasattr")
        and "runner" in ast.unparse(node.args[0])
    ]
    assert probes == []


def test_only_public_parts_of_onnxruntime_are_used() -> None:
    """An attribute with an underscore is this class's own, or private to somebody else."""
    private = [
        f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}"
        for path in (ROOT / "runtime").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "pytree"))
    ]
    modules = [name for path in MODULES for name in imported(path) if name.startswith("onnxruntime.capi")]
    assert private + modules == []


def test_nothing_sets_a_variable_in_the_environment() -> None:
    """What an engine reads from the environment is given to a child process, or the user is told to set it."""
    writes = re.compile(r"environ(\[[^]]+\] *=[^=]|\.(update|setdefault|clear)\b)|\bputenv\(|\bdel os\.environ")
    found = [str(path.relative_to(ROOT)) for path in MODULES if writes.search(path.read_text())]
    # Telemetry is off while a library is loaded, and the variables are restored: tests/base/test_telemetry.py.
    assert found == ["base/telemetry.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_has_a_job_and_stays_small(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"
    assert len(text.splitlines()) <= 300, f"{path} holds two things"


@pytest.mark.parametrize("code", ["import resnetx", "import resnetx.cli.main"])
def test_the_light_path_is_light(code: str) -> None:
    probe = f"{code}; import sys; print([name for name in {LIGHT_FORBIDDEN} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    [
        *([], ["export"], ["simplify"], ["inspect"], ["verify"], ["bench"], ["profile"], ["tune"], ["compare"]),
        *(
            ["doctor"],
            ["study"],
            ["study", "gradients"],
            ["study", "depth"],
            ["study", "identity"],
            ["study", "transfer"],
        ),
    ],
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
