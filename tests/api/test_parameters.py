"""Errors of the public functions name parameters; those of the commands name options."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import resnetx
from resnetx.api.parameters import in_python, parameter_of
from resnetx.errors import ResnetxError, UsageError
from resnetx.testing import assert_parity

FUNCTIONS = {name: getattr(resnetx, name) for name, module in resnetx._LAZY.items() if module.startswith("resnetx.api")}
ROOT = Path(resnetx.__file__).parent
# Options that only the commands have: what they build stands in a config, in Python.
COMMANDS_ONLY = {"depth", "stages", "width", "block", "plain", "textbook-last-filters", "json", "help", "against"}
# Other programs' options, and those of pytest.
FOREIGN = {"force-reinstall", "no-deps", "format", "query-gpu", "resnetx-provider"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--batch takes 1 to 4096; found 0.", "`batches` takes 1 to 4096; found 0."),
        ("Leave --provider-option out.", "Leave `provider_options` out."),
        ("allow more with --timeout.", "allow more with `timeout_s`."),
        ("which --no-verify turns off", "which `verify=False` turns off"),
        ("what `resnetx bench --json` wrote", "what `resnetx bench --json` wrote"),
        ("run resnetx export --golden", "run resnetx export --golden"),
        ("pip install --no-deps x", "pip install --no-deps x"),
        ("a--batch and ---", "a--batch and ---"),
    ],
)
def test_options_become_parameters(text: str, said: str) -> None:
    assert in_python(text, inspect.signature(resnetx.bench).parameters) == said


def test_every_option_that_a_message_names_is_a_parameter_of_some_function() -> None:
    """Also of functions that are added: what a caller cannot set is no advice."""
    parameters = [name for function in FUNCTIONS.values() for name in inspect.signature(function).parameters]
    unknown = {
        f"{path.relative_to(ROOT)}: --{option}"
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).parts[0] not in ("cli", "report", "doctor", "study", "api", "pytest_plugin.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for option in re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z])", node.value)
        if parameter_of(option, parameters) is None and option not in COMMANDS_ONLY | FOREIGN
    }
    assert unknown == set()


def test_errors_of_functions_speak_of_their_parameters(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^`batches` takes 1 to 4096; found 0"):
        resnetx.bench(tmp_path / "m.onnx", batches=[0])
    with pytest.raises(UsageError, match="Give one of `weights`, `golden` and `reference`"):
        assert_parity(tmp_path / "m.onnx", golden="a.npz", reference="b.onnx")
    with pytest.raises(UsageError, match="leave `exporter` out to use torchscript"):
        resnetx.export(resnetx.resnet_config(18), tmp_path / "m.onnx", opset=13, exporter="dynamo")


def test_what_is_raised_is_otherwise_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(ResnetxError) as error:
        resnetx.inspect(tmp_path / "absent.onnx")
    assert type(error.value).__name__ == "FileError" and "There is no file" in str(error.value)
    assert isinstance(error.value.__cause__, FileNotFoundError)
