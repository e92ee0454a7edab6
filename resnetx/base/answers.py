"""The child's side of `worker_process`: its requests, its answers, and nothing else on the pipe between."""

import json
import os
import sys
import traceback
from dataclasses import asdict
from typing import IO, Any

from resnetx.base.child_start import limit_memory
from resnetx.base.progress import OnProgress
from resnetx.errors import ResnetxError


def open_answers() -> IO[bytes]:
    """The pipe to the parent. Libraries may write to standard output at any time, so it leads to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def read_request() -> dict[str, Any]:
    """The next request, whose memory limit holds from now on."""
    request: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    if request.get("memory_mb"):
        limit_memory(request["memory_mb"])
    return request


def send(answers: IO[bytes], answer: object) -> None:
    answers.write(json.dumps(answer, default=_plain).encode() + b"\n")
    answers.flush()


def teller(answers: IO[bytes]) -> OnProgress:
    """What sends progress to the parent."""
    return lambda event: send(answers, {"progress": asdict(event)})


def error_answer(error: Exception) -> dict[str, Any]:
    """An error for the parent; `kind` names its class."""
    deliberate = isinstance(error, ResnetxError)
    text = str(error) if deliberate else f"{type(error).__name__}: {str(error).strip()[:300]}"
    details = "".join(traceback.format_exception(error))
    return {"error": text, "kind": type(error).__name__, "deliberate": deliberate, "details": details}


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's, paths as text."""
    return value.item() if hasattr(value, "item") else str(value)
