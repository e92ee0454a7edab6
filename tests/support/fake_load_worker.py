"""A worker of a benchmark under traffic, with a capacity that is known; the batch size says how it ends."""

import json
import os
import signal
import sys
import time
from typing import Any

FINE, CRASHES, HANGS = range(1, 4)
CAPACITY = 137.0


def answer(request: dict[str, Any], state: dict[str, int]) -> dict[str, Any]:
    if request["do"] == "open":
        state["batch"] = request["order"]["batch"]
        return {
            "provider": "cpu",
            "effective_precision": "fp32",
            "placement": [["cpu", 3]],
            "options": {},
            "session_s": 0.25,
            "first_run_ms": 8.0,
        }
    if request["do"] == "prepare":
        return {"samples_per_s": 100.0}
    if state["batch"] == CRASHES:
        os.kill(os.getpid(), signal.SIGSEGV)
    if state["batch"] == HANGS:
        time.sleep(600)
    kept = request["rate"] <= CAPACITY
    return {"run": traffic(request["rate"], kept), "usage": {"peak_memory_mb": 64.0}}


def traffic(rate: float, kept: bool) -> dict[str, Any]:
    return {
        "valid": kept,
        "queries": 1000,
        "samples_per_s": rate,
        "percentiles_ms": {"p50": 1.0, "p99": 14.0 if kept else 90.0},
        "reasons": [],
        "rate": rate,
        "bound_kept": kept,
        "samples_ms": [1.0, 2.0],
    }


if __name__ == "__main__":
    memory: dict[str, int] = {}
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line), memory)) + "\n")
        sys.stdout.flush()
