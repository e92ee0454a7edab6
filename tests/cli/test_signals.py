"""Every command ends on SIGINT, SIGTERM and SIGHUP with its status, and leaves neither files nor children."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnetx.cli.signals import interruptible

TINY = ["--stages", "1,1", "--width", "8", "--classes", "10", "--image-size", "32"]
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.parametrize(("number", "status"), STATUS.items())
def test_a_signal_is_an_interruption_with_its_status(number: signal.Signals, status: int) -> None:
    # A background job of a shell begins with SIGINT ignored.
    inherited = signal.signal(number, signal.default_int_handler)
    before = signal.getsignal(number)
    cleaned = []
    with pytest.raises(SystemExit) as end, interruptible():
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), number)  # a second one, which would interrupt this
            cleaned.append(True)
    assert end.value.code == status and cleaned
    assert signal.signal(number, inherited) is before


def test_an_interrupted_exec_does_not_change_the_status() -> None:
    """Python would exit by SIGINT, whatever the status."""
    code = (
        "import os, signal, sys; from resnetx.cli.signals import interruptible\n"
        "with interruptible(): exec('os.kill(os.getpid(), signal.SIGTERM)')"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 143


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup sets it
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def children_with(marker: str) -> list[int]:
    """Processes whose environment has the marker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for children in /proc")
@pytest.mark.slow
@pytest.mark.parametrize("number", STATUS)
def test_a_command_ends_at_any_moment_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    rng = random.Random(int(number))
    private, out = tmp_path / "tmp", tmp_path / "out"
    private.mkdir()
    out.mkdir()
    for _ in range(2):
        marker = f"RESNETX_TEST={number.value}-{rng.getrandbits(64)}"
        name, _, value = marker.partition("=")
        child = subprocess.Popen(
            [sys.executable, "-m", "resnetx", "export", *TINY, "-o", str(out / "m.onnx")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(private), name: value},
        )
        time.sleep(rng.uniform(1, 12))
        child.send_signal(number)
        _, shown = child.communicate(timeout=60)
        assert child.returncode in (0, STATUS[number], -number), shown
        assert "Traceback" not in shown
        assert [path.name for path in out.iterdir()] in ([], ["m.onnx"])
        assert not [path for path in private.iterdir() if path.name.startswith("resnetx-")]
        deadline = time.monotonic() + 5
        while children_with(marker) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert children_with(marker) == []
