"""Runs the steps of a longer check one by one: each with a time limit, all their output in one log."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# How long a step has from Ctrl-C, on which bench writes its results so far, until it is killed.
ENDING_S = 30.0


class Steps:
    """Runs commands, writes all their output to one log, and records which failed. `cache` is theirs alone."""

    def __init__(self, log: Path, cache: Path, ends_at: float, step_s: float) -> None:
        self._log = log
        self._cache = cache
        self._ends_at = ends_at
        self._step_s = step_s
        self.failed: list[str] = []
        log.write_text("")

    def run(self, name: str, *arguments: str, must: bool = True, shown: int = 0) -> bool:
        """Run Python with these arguments; `shown` lines of its output are printed, and more of a failure."""
        left = min(self._step_s, self._ends_at - time.monotonic())
        if left <= 0:
            self.failed.append(f"{name} (no time left)")
            return False
        folders = (str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", ""))
        own = {"PYTHONPATH": os.pathsep.join(folders), "PYTHONUNBUFFERED": "1", "RESNETX_CACHE": str(self._cache)}
        begin = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **own},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, status = _ending(child, left)
        seconds = time.monotonic() - begin
        with self._log.open("a") as stream:
            stream.write(f"$ python {' '.join(arguments)}\n{output}\n[{status}, {seconds:.0f} s]\n\n")
        wrong = must and status != "exit 0"
        if wrong:
            self.failed.append(name)
        lines = output.strip().splitlines()[-(max(shown, 25) if wrong else shown) :] if wrong or shown else []
        print(
            "".join([f"{name}: {status}, {seconds:.0f} s\n", *(f"  {line[:160]}\n" for line in lines)]),
            end="",
            flush=True,
        )
        return status == "exit 0"


def _ending(child: subprocess.Popen[bytes], left: float) -> tuple[str, str]:
    """Its output, and how it ended."""
    for seconds, end in ((left, signal.SIGINT), (ENDING_S, signal.SIGKILL), (ENDING_S, signal.SIGKILL)):
        try:
            output, _ = child.communicate(timeout=seconds)
            words = "out of time, " if end is signal.SIGKILL else ""
            return output.decode(errors="replace"), f"{words}exit {child.returncode}"
        except subprocess.TimeoutExpired:
            child.send_signal(end)
    return "", "out of time, and did not end"
