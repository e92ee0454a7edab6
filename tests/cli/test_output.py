"""What the program prints, where it can't be printed, and what it says when something unexpected happens."""

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from resnetx.cli.main import main

RESNETX = [sys.executable, "-m", "resnetx"]
CHECK = ["doctor", "--provider", "cpu"]


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = f'set -o pipefail; resnetx() {{ {sys.executable} -m resnetx "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=os.environ | environment, timeout=120
    )


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["resnetx", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


@pytest.mark.parametrize("arguments", ["--help", "export --help", "--version", "doctor --provider cpu --json -"])
def test_a_reader_that_leaves_is_no_error(arguments: str) -> None:
    done = shell(f"resnetx {arguments} | head -c 1")
    assert done.returncode == 0 and all("] step " in line for line in done.stderr.splitlines())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "arguments", ["--help", "--version", "doctor --provider cpu --json -", "doctor --provider cpu"]
)
def test_output_that_cannot_be_written_is_an_error(arguments: str) -> None:
    done = shell(f"resnetx {arguments} > /dev/full")
    assert done.returncode == 2
    assert "No space left" in done.stderr and "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(tmp_path: Path, closed: str) -> None:
    (tmp_path / "m.onnx").write_bytes(b"none")
    assert shell(f"resnetx --version {closed}").returncode == 0
    assert shell(f"resnetx inspect {tmp_path / 'm.onnx'} {closed}").returncode == 2
    assert (tmp_path / "m.onnx").read_bytes() == b"none"


@pytest.mark.parametrize("columns", ["0", "1", "19", "100000"])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_any_terminal_will_do(columns: str, encoding: str) -> None:
    done = shell("resnetx doctor --provider cpu; resnetx export --depth 1", COLUMNS=columns, PYTHONIOENCODING=encoding)
    assert done.returncode == 2 and "no ResNet of depth" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr and done.stdout


class Unshowable(Exception):
    def __str__(self) -> str:
        raise ValueError


class Panic(BaseException):
    """As a library written in Rust raises it."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("divided\x1b[2J by\nnothing"), "ZeroDivisionError (divided?[2J by nothing)"),
        (MemoryError(), "not enough memory"),
        (RecursionError("too deep"), "nested too deep"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), "UnicodeDecodeError"),
        (KeyError("x" * 100_000), "KeyError"),
        (AssertionError(), "AssertionError"),
        (Unshowable(), "Unshowable"),
        (Panic("at the disco"), "at the disco"),
        (OSError(5, "Input/output error"), "Input/output error"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("debug", ["", "1"])
def test_anything_unexpected_is_one_paragraph_and_exit_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, words: str, debug: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setenv("RESNETX_DEBUG", debug)
    monkeypatch.setattr("resnetx.doctor.checkup.examine", fail)
    assert run(monkeypatch, *CHECK) == 2
    shown = capsys.readouterr()
    paragraph = " ".join(shown.err.split())
    assert words in paragraph and "RESNETX_DEBUG=1" in paragraph and shown.out == ""
    assert ("Traceback" in shown.err) == bool(debug)
    assert shown.err.replace("\n", "").isprintable()
    assert debug or len(shown.err) < 4000


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no\x1b[2Jsuch"],
        ["export", "--variant", "\x1b]0;t\x07"],
        ["export", "--depth", "\x9b2J"],
        ["export", "--stages", "\u202e1,2"],
        ["export", "--stages", "9" * 100_000],
        ["export", "--batch", "9" * 100_000],
        ["export", "--depth", "9" * 100_000],
        ["export", "--seed", "-1"],
        ["export", "--seed", "9" * 30],
        ["export", "--weights", "x" * 100_000],
        ["export", "--weights", "\udcff\x1b.pt"],
        ["verify", "\x1b[2Jabsent\r.onnx"],
        ["verify", "absent.onnx", "--seed", "-1"],
        ["verify", "absent.onnx", "--atol", "nan"],
        ["verify", "absent.onnx", "--rtol", "inf"],
        ["simplify", "absent.onnx", "-o", "out.onnx", "--timeout", "nan"],
        ["simplify", "absent.onnx", "-o", "out.onnx", "--timeout", "1e999"],
        ["verify", "x" * 100_000],
        ["inspect", "\u200b\u2066" + "y" * 5000],
        ["bench", "absent.onnx", "--batch", "9" * 5000],
        ["bench", "absent.onnx", "--provider-option", "\x1b" * 10_000],
        ["profile", "\x1b[2Jabsent.onnx", "--threads", "1"],
        ["profile", "absent.onnx", "--provider", "\x1b" * 10_000],
        ["compare", "\x1b[2J", "\x1b[2J"],
        ["nothing" * 100_000],
    ],
    ids=lambda value: " ".join(value)[:30].encode("unicode_escape").decode(),
)
def test_no_argument_controls_the_terminal_or_fills_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and "resnetx: " in shown.err
    assert shown.err.replace("\n", "").isprintable() and len(shown.err) < 4000
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "-o", ""],
        ["export", "--output", ""],
        ["export", "--json="],
        ["verify", ""],
        ["verify", "m.onnx", "--images", ""],
        ["export", "--weights", ""],
        ["compare", "", ""],
    ],
)
def test_an_empty_argument_is_never_a_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert "argument is empty" in capsys.readouterr().err


def noisy_warning() -> None:
    warnings.warn("a\x1b[2Jb", stacklevel=1)


def noisy_log() -> None:
    import logging

    logging.getLogger("somebody.else").propagate = True
    logging.lastResort.handle(logging.makeLogRecord({"msg": "a\x1b[2Jb", "levelno": 40}))  # type: ignore[union-attr]


def noisy_thread() -> None:
    def fail() -> None:
        raise ValueError("a\x1b[2Jb")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


@pytest.mark.parametrize("noise", [noisy_warning, noisy_log, noisy_thread])
@pytest.mark.filterwarnings("default")
def test_what_libraries_say_is_one_printable_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], noise: Callable[[], None]
) -> None:
    def examine(*_: object, **__: object) -> None:
        noise()
        raise ZeroDivisionError

    monkeypatch.setattr("resnetx.doctor.checkup.examine", examine)
    assert run(monkeypatch, *CHECK) == 2
    shown = capsys.readouterr().err
    assert "a?[2Jb" in shown and "\x1b" not in shown


def test_the_streams_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sys.stdout, sys.stderr, warnings.showwarning
    assert run(monkeypatch, "--version") == 0
    assert (sys.stdout, sys.stderr, warnings.showwarning) == before
