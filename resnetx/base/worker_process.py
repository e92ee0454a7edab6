"""A child process that answers JSON requests line by line, isolated from its crashes, hangs and memory use."""

import json
import os
import select
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from resnetx.base.isolation import GRACE_S, NO_MEMORY, OUT_OF_MEMORY, IsolatedProcess, Limits
from resnetx.base.progress import OnProgress, Progress, ignore
from resnetx.base.validation import InvalidDataError, validated

T = TypeVar("T")
CHUNK = 1 << 16
# The largest answer: the reference of a big network goes through files.
MAX_ANSWER = 1 << 28


class ChildError(Exception):
    """The child did not answer, or answered with an error. `deliberate` is true if it reported the error itself.

    `kind` is the name of the error's class in the child, or OUT_OF_MEMORY.
    """

    def __init__(self, reason: str, *, timed_out: bool = False, deliberate: bool = False, kind: str = "") -> None:
        super().__init__(reason)
        self.timed_out = timed_out
        self.deliberate = deliberate
        self.kind = kind


class Child:
    """A process that answers; `memory_mb` limits its memory. `close` kills it and everything that it started."""

    def __init__(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], memory_mb: int | None = None
    ) -> None:
        # Every request has a time limit of its own.
        limits = Limits(seconds=0, memory_mb=memory_mb)
        self._process = IsolatedProcess(command, folder=folder, limits=limits, environment=environment, pipes=True)
        self._unread = b""

    def ask(
        self,
        request: Mapping[str, Any],
        kind: type[T],
        *,
        timeout_s: float,
        memory_mb: int | None = None,
        progress: OnProgress = ignore,
    ) -> T:
        """Send a request and return the answer as a `kind`; a child that does not give one is killed.

        `memory_mb` is the limit from now on, where that was not known before the child started. `progress` gets
        what the child tells before its answer.
        """
        if memory_mb is not None:
            self._process.limits = replace(self._process.limits, memory_mb=memory_mb)
            request = {**request, "memory_mb": memory_mb}
        line = json.dumps({**request, "lifetime_s": timeout_s + GRACE_S}).encode() + b"\n"
        deadline = time.monotonic() + timeout_s
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            while (answer := self._line(deadline)) is not None and set(answer) == {"progress"}:
                progress(self._valid(Progress, answer["progress"]))
        except BrokenPipeError:
            answer = None
        except TimeoutError:
            self.close()
            raise ChildError(f"it did not answer within {timeout_s:g} s", timed_out=True) from None
        if answer is None:
            ending = self._process.ending() or "ended without an answer"
            out_of_memory = ending == self._process.too_much_memory
            raise ChildError(f"it {ending}", kind=OUT_OF_MEMORY if out_of_memory else "")
        if "error" in answer:
            raise self._reported(answer)
        return self._valid(kind, answer)

    def _valid(self, kind: type[T], answer: object) -> T:
        try:
            return validated(kind, answer)
        except InvalidDataError as error:
            self.close()
            raise ChildError(f"its answer is invalid: {error}") from None

    def _reported(self, answer: Mapping[str, Any]) -> ChildError:
        text = str(answer["error"])
        if any(sign in text for sign in NO_MEMORY):  # the engine may report it as an error of the model
            return ChildError(f"it {self._process.too_much_memory}", kind=OUT_OF_MEMORY)
        error = ChildError(text, deliberate=bool(answer.get("deliberate")), kind=str(answer.get("kind", "")))
        error.add_note(str(answer.get("details", "")))  # the traceback in the child
        return error

    def close(self) -> None:
        """Kill the process and everything that it started."""
        self._process.close()

    def _line(self, deadline: float) -> dict[str, Any] | None:
        """The next line as a JSON object; None if the child ended or wrote something else."""
        descriptor = self._process.stdout.fileno()
        parts = [self._unread]
        size = 0
        while b"\n" not in parts[-1] and size <= MAX_ANSWER:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            ready, _, _ = select.select([descriptor], [], [], min(left, self._process.look()))
            if not ready:
                continue
            data = os.read(descriptor, CHUNK)
            if not data:
                return None
            parts.append(data)
            size += len(data)
        line, _, self._unread = b"".join(parts).partition(b"\n")
        with suppress(ValueError):
            answer = json.loads(line)
            if isinstance(answer, dict):
                return answer
        return None
