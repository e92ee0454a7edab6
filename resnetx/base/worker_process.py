"""A child process that answers JSON requests line by line, isolated from its crashes, hangs and memory use."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from resnetx.base.text import readable
from resnetx.base.validation import InvalidDataError, validated

T = TypeVar("T")
STDERR_TAIL = 4096
CHUNK = 1 << 16
# A child ends by itself this long after its parent's timeout, in case the parent is gone.
GRACE_S = 30
NO_MEMORY = ("bad_alloc", "MemoryError", "Failed to allocate memory", "Cannot allocate memory", "out of memory")


class ChildError(Exception):
    """The child did not answer, or answered with an error. `deliberate` is true if it reported the error itself."""

    def __init__(self, reason: str, *, timed_out: bool = False, deliberate: bool = False) -> None:
        super().__init__(reason)
        self.timed_out = timed_out
        self.deliberate = deliberate


class Child:
    """One process in its own process group, so that Ctrl-C reaches only the parent; `close` kills it."""

    def __init__(self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> None:
        self._log = folder / "stderr.txt"
        with self._log.open("wb") as errors:
            self._process = subprocess.Popen(
                list(command),
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._unread = b""

    def ask(self, request: Mapping[str, Any], kind: type[T], *, timeout_s: float) -> T:
        """Send a request and return the answer as a `kind`; a child that does not give one is killed."""
        line = json.dumps({**request, "lifetime_s": timeout_s + GRACE_S}).encode() + b"\n"
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(line)
            self._process.stdin.flush()
            answer = self._line(time.monotonic() + timeout_s)
        except BrokenPipeError:
            answer = None
        except TimeoutError:
            self.close()
            raise ChildError(f"it did not answer within {timeout_s:g} s", timed_out=True) from None
        if answer is None:
            raise ChildError(self._ending())
        if "error" in answer:
            raise ChildError(str(answer["error"]), deliberate=bool(answer.get("deliberate")))
        try:
            return validated(kind, answer)
        except InvalidDataError as error:
            self.close()
            raise ChildError(f"its answer is invalid: {error}") from None

    def close(self) -> None:
        """Kill the process and everything that it started."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _line(self, deadline: float) -> dict[str, Any] | None:
        """The next line as a JSON object; None if the child ended or wrote something else."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        parts = [self._unread]
        while b"\n" not in parts[-1]:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            data = os.read(descriptor, CHUNK)
            if not data:
                return None
            parts.append(data)
        line, _, self._unread = b"".join(parts).partition(b"\n")
        with suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict):
                return answer
        return None

    def _ending(self) -> str:
        """How the process ended, as text."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        status = self._process.poll()
        self.close()
        tail = self._stderr_tail()
        if any(sign in tail for sign in NO_MEMORY):
            return f"it ran out of memory: {readable(tail)}"
        if status is None:
            how = "it wrote something that is not an answer"
        elif status == -signal.SIGKILL:
            how = "it was killed (signal 9), as the system does if memory runs out"
        elif status < 0:
            how = f"it crashed ({signal.Signals(-status).name})"
        else:
            how = f"it ended with exit status {status}"
        last = next((line for line in reversed(tail.splitlines()) if line.strip()), "")
        return f"{how}: {readable(last)}" if last else how

    def _stderr_tail(self) -> str:
        with self._log.open("rb") as stream:
            stream.seek(max(0, self._log.stat().st_size - STDERR_TAIL))
            return stream.read().decode(errors="replace")
