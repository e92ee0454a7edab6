"""`--json -`, `--quiet`, `--version`, helps and completions, which mean the same in every command."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import resnetx
from resnetx.cli.app import app
from resnetx.cli.main import main
from tests.conftest import TINY_SIZE, tiny_config

# A command of each kind, on a file m.onnx and a benchmark b.json.
QUICK = "--batch 1 --duration 0.1"
COMMANDS = {
    "export": "export --stages 1,1 --width 8 --classes 10 --image-size 32 -o out.onnx",
    "simplify": "simplify m.onnx -o out.onnx",
    "convert": "convert m.onnx -o out.onnx",
    "quantize": "quantize m.onnx -o out.onnx --calibrate synthetic --samples 8",
    "inspect": "inspect m.onnx --layers",
    "verify": "verify m.onnx --batch 1,2",
    "bench": f"bench m.onnx --provider cpu {QUICK} --rounds 2 --processes 1 --no-verify",
    "profile": f"profile m.onnx --provider cpu {QUICK}",
    "compare": "compare b.json b.json",
    "doctor": "doctor --provider cpu",
}
NAMES = sorted(command.name or "" for command in app.registered_commands)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["resnetx", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    assert resnetx.export(tiny_config(), folder / "m.onnx", image_size=TINY_SIZE).passed
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(patch, *COMMANDS["bench"].split(), "--json", "b.json") in (0, 1)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_json_on_standard_output_is_all_that_stands_there(
    files: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(files)
    (files / "out.onnx").unlink(missing_ok=True)
    assert run(monkeypatch, *COMMANDS[name].split(), "--json", "-") in (0, 1)
    printed = capfd.readouterr().out
    assert json.loads(printed)["schema"].startswith("resnetx.")
    assert not (files / "-").exists()
    (files / "out.onnx").unlink(missing_ok=True)
    assert run(monkeypatch, *COMMANDS[name].split(), "--json", "r.json") in (0, 1)
    assert json.loads((files / "r.json").read_text())["schema"] == json.loads(printed)["schema"]
    text = capfd.readouterr().out
    assert text.strip() and all(line == line.rstrip() for line in text.splitlines())


def test_every_command_but_tune_is_tried() -> None:
    assert {*COMMANDS, "tune"} == set(NAMES)


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("name", ["inspect", "verify", "doctor"])
def test_quiet_is_quiet(
    files: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str, place: str
) -> None:
    monkeypatch.chdir(files)
    line = COMMANDS[name].split()
    assert run(monkeypatch, *(["--quiet", *line] if place == "before" else [*line, "-q"])) == 0
    assert capfd.readouterr() == ("", "")
    assert run(monkeypatch, "-q", *line, "--json", "-") == 0
    assert json.loads(capfd.readouterr().out)
    assert run(monkeypatch, "--quiet", "inspect", "absent.onnx") == 2
    assert "no file absent.onnx" in capfd.readouterr().err
    assert run(monkeypatch, *line) == 0
    assert capfd.readouterr().out  # the next run of the program is not quiet


def test_two_reports_cannot_share_standard_output(
    files: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(files)
    assert run(monkeypatch, "verify", "m.onnx", "--json", "-", "--junit", "-") == 2
    assert "--json and --junit cannot both be standard output" in " ".join(capfd.readouterr().err.split())
    assert run(monkeypatch, "verify", "m.onnx", "--batch", "1", "--junit", "-") == 0
    assert capfd.readouterr().out.startswith("<?xml")


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_both_names_of_the_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert run(monkeypatch, option) == 0
    assert capsys.readouterr().out == f"resnetx {resnetx.__version__}\n"


@pytest.mark.parametrize("name", ["", *NAMES])
def test_a_help_has_no_types_of_python_and_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(monkeypatch, *filter(None, [name]), "--help") == 0
    text = capsys.readouterr().out
    assert not re.search(r"\b(TEXT|INTEGER|FLOAT|PATH|BOOLEAN|FILENAME|None|True|False|int|str|Path)\b", text)
    assert not re.search("RANGE|<path>|<list|9223372036854775807", text) and max(map(len, text.splitlines())) <= 80
    assert "--quiet" in text


@pytest.mark.parametrize(
    ("words", "expected"), [("resnetx ver", ["verify"]), ("resnetx export --prec", ["--precision"])]
)
def test_the_shell_completes(words: str, expected: list[str]) -> None:
    asked = {"_RESNETX_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    command = [sys.executable, "-m", "resnetx"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | asked)
    assert done.stdout.split() == expected and done.stderr == ""


def test_the_completion_for_a_shell_is_shown(tmp_path: Path) -> None:
    shell = f"{sys.executable} -m resnetx --show-completion"
    done = subprocess.run(["bash", "-c", f"{shell}; exit $?"], capture_output=True, text=True)
    assert done.returncode == 0 and "_RESNETX_COMPLETE=complete_bash" in done.stdout
    installed = subprocess.run(
        ["bash", "-c", f"{shell.replace('show', 'install')}; exit $?"],
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    assert installed.returncode == 0 and list(tmp_path.rglob("*resnetx*")), installed.stderr
