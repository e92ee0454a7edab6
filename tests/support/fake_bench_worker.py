"""A worker of a benchmark that fails on order: the batch size says how. The standard library alone, to be quick."""

import json
import os
import signal
import sys
import time
from typing import Any

FINE, CRASHES, HANGS, NO_MEMORY, KILLED, DECLINES, BABBLES, EXITS = range(1, 9)


def answer(request: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "open":
        state["batch"] = request["order"]["batch"]
        if state["batch"] == DECLINES:
            return {"error": "the provider is not here", "deliberate": True}
        return {
            "provider": request["order"]["provider"],
            "effective_precision": "fp32",
            "placement": [["cpu", 3]],
            "options": {"threads": "1"},
            "session_s": 0.25,
            "first_run_ms": 8.0,
        }
    state["rounds"] = state.get("rounds", 0) + 1
    if state["rounds"] == 2:
        misbehave(state["batch"])
    return {"samples_ms": [1.0, 2.0, 3.0], "usage": {"peak_memory_mb": 64.0}}


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def misbehave(batch: int) -> None:
    if batch == CRASHES:
        os.kill(os.getpid(), signal.SIGSEGV)
    elif batch == HANGS:
        time.sleep(600)
    elif batch == NO_MEMORY:
        sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
        sys.stderr.flush()
        os.abort()
    elif batch == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    elif batch == BABBLES:
        say("this is not JSON")
    elif batch == EXITS:
        sys.exit("a library gave up \x1b[31m")


if __name__ == "__main__":
    memory: dict[str, Any] = {}
    for line in sys.stdin:
        say(json.dumps(answer(json.loads(line), memory)))
