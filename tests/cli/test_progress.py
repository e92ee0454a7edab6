"""What a user sees while a command runs: in a terminal, without one, and with everything turned off."""

import io
import os
import pty
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from resnetx.base.progress import Progress, Steps
from resnetx.cli.live_view import LiveView
from resnetx.cli.progress import Lines, show_progress
from tests.cli.test_main import TINY, run
from tests.support.onnx_models import small_classifier
from tests.support.sample_benchmark import sample_benchmark

STEP = re.compile(r"\[\d+:\d\d\] step (\d+) of (\d+): (.+)")


def steps_of(text: str) -> list[str]:
    """The steps in the lines, which are numbered from 1 to the last."""
    found = [match for line in text.splitlines() if (match := STEP.fullmatch(line))]
    names = list(dict.fromkeys(match[3].partition(": ")[0] for match in found))
    numbers = list(dict.fromkeys((int(match[1]), int(match[2])) for match in found))
    assert numbers == [(number, len(numbers)) for number in range(1, len(numbers) + 1)], text
    return names


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("progress") / "m.onnx"
    path.write_bytes(small_classifier())
    return path


def test_without_a_terminal_each_step_is_a_line(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def steps(*arguments: str | Path) -> list[str]:
        assert run(monkeypatch, *arguments) == 0
        return steps_of(capsys.readouterr().err)

    ours = tmp_path / "ours.onnx"
    assert steps("export", *TINY, "-o", ours, "--exporter", "torchscript", "--opset", "17") == [
        "building the network",
        "exporting ResNet-8 v1.5 (bottleneck, stages 1,1, width 8) (opset 17, torchscript)",
        "simplifying",
        "verifying against PyTorch in float64",
    ]
    assert steps("verify", ours, "--batch", "1") == [
        f"reading {ours}",
        "computing the reference",
        "comparing the file with the network",
        "verifying on cpu",
    ]
    assert steps("simplify", ours, "-o", tmp_path / "s.onnx") == [
        "reading ours.onnx",
        "simplifying ours.onnx",
        "comparing the numbers before and after",
    ]
    assert steps("convert", ours, "-o", tmp_path / "h.onnx") == [
        f"reading {ours}",
        "ranges of the tensors",
        "converting",
        f"verifying against {ours}",
    ]
    quantize = ("quantize", ours, "-o", tmp_path / "q.onnx", "--calibrate", "synthetic", "--samples", "8")
    assert steps(*quantize, "--target", "cpu") == [
        f"reading {ours}",
        "reading the calibration data",
        "ranges of the tensors",
        "choosing the method",
        "measuring the INT8 network",
    ]
    assert steps("doctor", "--provider", "cpu") == ["checking shared libraries", "reading the machine", "testing cpu"]
    assert steps("profile", ours, "--provider", "cpu", "--duration", "0.1", "--threads", "1") == [
        f"reading {ours}",
        "opening the model on cpu",
        "timing on cpu",
        "measuring the limits of the machine",
    ]


def test_quiet_commands_say_nothing(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "verify", model, "--batch", "1", "--quiet") == 0
    shown = capsys.readouterr()
    assert shown.err == shown.out == ""


def test_a_long_step_goes_on_telling(capsys: pytest.CaptureFixture[str]) -> None:
    deadline = time.monotonic() + 60
    with Lines(every_s=0.01) as lines:
        steps = Steps(lines.progress, 1)
        steps.begin("timing")
        steps.detail("round 3 of 20")
        text = ""
        while "round 3 of 20" not in text and time.monotonic() < deadline:
            time.sleep(0.01)
            text += capsys.readouterr().err
    assert text.splitlines()[0] == "[0:00] step 1 of 1: timing"
    assert text.splitlines()[-1] == "[0:00] step 1 of 1: timing: round 3 of 20"


def test_details_alone_are_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Hundreds of samples would fill a log."""
    with Lines() as lines:
        steps = Steps(lines.progress, 1)
        steps.begin("ranges")
        for number in range(300):
            steps.detail(f"sample {number}")
    assert capsys.readouterr().err.splitlines() == ["[0:00] step 1 of 1: ranges"]


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_where_nothing_can_be_drawn_there_are_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], term: str
) -> None:
    monkeypatch.setenv("TERM", term)
    with show_progress() as watch:
        watch.progress(Progress(text="reading"))
    assert capsys.readouterr().err == "[0:00] reading\n"


# In a terminal.


def drawn(view_width: int, *events: Progress, table: bool = False, height: int = 40) -> list[str]:
    """What a terminal of this size shows at the end, before it is removed."""
    console = Console(width=view_width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
    view = LiveView(console, ticking=True)
    for event in events:
        view.progress(event)
    if table:
        view.cases(sample_benchmark().cases)
    console.print(view, end="")
    return str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]


def test_bytes_are_drawn_for_downloads_only() -> None:
    plain = drawn(80, Progress(text="simplifying", step=2, steps=4))
    assert plain == ["[0:00] step 2 of 4: simplifying"]
    steps: list[Progress] = []
    counted = Steps(steps.append, 4)
    counted.begin("loading the weights")
    counted.download("w.safetensors", 1_500_000, 6_000_000)
    title, detail, bar = drawn(80, *steps)
    assert title == "[0:00] step 1 of 4: loading the weights"
    assert detail == "  downloading w.safetensors: 1.5 MB of 6.0 MB"
    assert set(bar.strip()) <= set("━╸╺ ") and "━" in bar


def test_a_benchmark_fits_in_80_columns_and_its_step_stays_in_sight() -> None:
    event = Progress(
        text="timing",
        step=5,
        steps=6,
        detail="round 3 of 20, process 2 of 10, case 12 of 18, resnet152-trained-on-flowers.onnx on openvino, batch 8; "
        "about 12:34 left",
        share=0.3,
    )
    lines = drawn(80, event, table=True)
    assert all(len(line) <= 80 for line in lines)
    assert lines[0] == "[0:00] step 5 of 6: timing" and "about 12:34 left" in " ".join(" ".join(lines[:4]).split())
    assert sum("openvino" in line for line in lines) >= 6 and any(line.startswith("model ") for line in lines)


def in_a_terminal(command: list[str], columns: int = 80) -> tuple[int, str]:
    """The exit status, and all that a terminal of this width gets."""
    import fcntl
    import termios

    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env={**environment, "TERM": "xterm-256color"}
    )
    os.close(child)
    parts = []
    while True:
        try:
            part = os.read(parent, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(parent)
    return process.wait(), b"".join(parts).decode(errors="replace")


def test_a_real_terminal_shows_the_steps_and_then_the_result_alone(model: Path) -> None:
    command = [sys.executable, "-m", "resnetx", "verify", str(model), "--batch", "1"]
    status, text = in_a_terminal(command)
    assert status == 0
    before, _, after = text.rpartition("\x1b[2K")
    # A long path stands on a line of its own.
    assert "] step 1 of 4: reading" in before and "bytes" not in text
    assert "PASSED" in after and "step " not in after, "what was drawn is removed"
