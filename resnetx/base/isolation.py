"""Runs programs in child processes, isolated from their crashes, hangs, memory use and forks; all limits are here."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from resnetx.base.child_start import VARIABLE
from resnetx.base.process_tree import kill_tree, memory_mb, process_tree
from resnetx.base.telemetry import NO_TELEMETRY
from resnetx.base.text import readable

# -P: a file `onnx.py` in the working folder must not be imported instead of the library.
PYTHON = (sys.executable, "-P", "-W", "ignore", "-m", "resnetx.base.child_start")
STDERR_TAIL = 4096
# A child ends by itself this long after its time is over, if its parent does not end it.
GRACE_S = 30
MAX_PROCESSES = 256
# While memory grows, it is looked at this often; a graph can fill some 5 GB in a second. Otherwise less often, because
# looking takes time from what is measured.
LOOK_S = 0.02
SELDOM_S = 0.1
GROWTH_MB = 1.0
# Looking for the processes that a child started takes longer.
TREE_S = 1.0
NO_MEMORY = ("bad_alloc", "MemoryError", "Failed to allocate memory", "Cannot allocate memory", "out of memory")

# The kind of an error that means one of these.
OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`memory_mb` counts the process and everything that it starts, without the files of libraries; None: no limit."""

    seconds: float
    memory_mb: int | None = None
    processes: int = MAX_PROCESSES


class IsolatedProcess:
    """A process in its own group, so that Ctrl-C reaches only the parent. `close` kills it and all that it started."""

    def __init__(
        self, command: Sequence[str], *, folder: Path, limits: Limits, environment: Mapping[str, str], pipes: bool
    ) -> None:
        self.limits = limits
        self._log = folder / "stderr.txt"
        self._exceeded: str | None = None
        self._tree: list[int] = []
        self._tree_read_at = self._memory_mb = 0.0
        self._pause_s = LOOK_S
        pipe = subprocess.PIPE if pipes else subprocess.DEVNULL
        # A process that answers requests limits its time for each of them.
        seconds = None if pipes else limits.seconds + GRACE_S
        order = {"parent": os.getpid(), "memory_mb": limits.memory_mb, "seconds": seconds}
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                list(command),
                cwd=None if pipes else folder,
                env={**environment, **NO_TELEMETRY, VARIABLE: json.dumps(order)},
                stdin=pipe,
                stdout=pipe,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def look(self) -> float:
        """Kill the process if it exceeds a limit; return after how many seconds to look again."""
        now = time.monotonic()
        if not self._tree or now - self._tree_read_at > TREE_S:
            self._tree, self._tree_read_at = process_tree(self.pid), now
        memory = memory_mb(self._tree)
        if len(self._tree) > self.limits.processes:
            self._exceed(f"exceeded its limit of {self.limits.processes} processes")
        elif self.limits.memory_mb is not None and memory > self.limits.memory_mb:
            self._exceed(self.too_much_memory)
        grows = abs(memory - self._memory_mb) > GROWTH_MB
        self._pause_s = LOOK_S if grows else min(2 * self._pause_s, SELDOM_S)
        self._memory_mb = memory
        return self._pause_s

    def wait(self, deadline: float) -> None:
        """Wait until the process ends; a TimeoutError after the deadline, which is of `time.monotonic`."""
        while True:
            try:
                self._process.wait(min(self.look(), max(0.0, deadline - time.monotonic())))
                return
            except subprocess.TimeoutExpired:
                if time.monotonic() >= deadline:
                    raise TimeoutError from None

    def close(self) -> None:
        if self._process.poll() is None:
            kill_tree(self.pid)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def ending(self) -> str | None:
        """How the process ended, in words that continue a sentence about it; None if it ended well."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        status = self._process.poll()
        self.close()
        if self._exceeded is not None:
            return self._exceeded
        tail = self._stderr_tail()
        if status == 0:
            return None
        if any(sign in tail for sign in NO_MEMORY):
            return self.too_much_memory
        last = next((line for line in reversed(tail.splitlines()) if line.strip()), "")
        if status is None:
            how = "wrote something that is not an answer"
        elif status == -signal.SIGKILL:
            how = "was killed (signal 9), as the system does if memory runs out"
        elif status < 0:
            how = f"crashed ({_signal_name(-status)})"
        else:
            how = f"failed with exit status {status}"
        return f"{how}: {readable(last)}" if last else how

    @property
    def too_much_memory(self) -> str:
        limit = self.limits.memory_mb
        return "ran out of memory" if limit is None else f"exceeded its memory limit of {limit} MB"

    def _exceed(self, reason: str) -> None:
        self._exceeded = reason
        kill_tree(self.pid)

    def _stderr_tail(self) -> str:
        with self._log.open("rb") as stream:
            stream.seek(max(0, self._log.stat().st_size - STDERR_TAIL))
            return stream.read().decode(errors="replace")


def run_isolated(command: Sequence[str], *, folder: Path, limits: Limits) -> str | None:
    """Run `command` in `folder` and return what went wrong as text ("crashed (SIGSEGV)"), or None.

    The process is killed on a timeout and if this process is interrupted. Its temporary files are written to `folder`,
    which the caller removes.
    """
    deadline = time.monotonic() + limits.seconds
    process = IsolatedProcess(
        command, folder=folder, limits=limits, environment=neutral_environment(folder), pipes=False
    )
    try:
        process.wait(deadline)
        return process.ending()
    except TimeoutError:
        return f"took longer than {limits.seconds:g} s"
    finally:
        process.close()


def private_environment(folder: Path) -> dict[str, str]:
    """The user's environment, with `folder` for temporary files."""
    return {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}


def neutral_environment(folder: Path) -> dict[str, str]:
    """An environment in which the result depends only on the file: without the variables that configure libraries."""
    own = private_environment(folder)
    return {name: value for name, value in own.items() if not name.startswith(("ONNXSIM_", "ORT_"))}


def _signal_name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
