"""A worker of a benchmark whose speed follows from what it was asked to open. The standard library alone, to be quick.

`FAKE_SPEEDS` in the environment is JSON: images per millisecond of a thread, by `file provider`.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

FASTER = 1.4  # in larger batches


def milliseconds(order: dict[str, Any]) -> float:
    settings = order["settings"]
    speeds = json.loads(os.environ["FAKE_SPEEDS"])
    speed = speeds[f"{Path(order['model']).stem} {order['provider']}"]
    return float(order["batch"] / (speed * settings["threads"] * (FASTER if order["batch"] > 1 else 1)))


def answer(request: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "open":
        state["order"] = request["order"]
        if f"{Path(request['order']['model']).stem} {request['order']['provider']}" not in os.environ["FAKE_SPEEDS"]:
            return {"error": "the provider refuses it", "deliberate": True}
        return {
            "provider": request["order"]["provider"],
            "effective_precision": "int8" if "int8" in request["order"]["model"] else "fp32",
            "placement": [["cpu", 3]],
            "options": {},
            "session_s": 0.25,
            "first_run_ms": 8.0,
        }
    if request["do"] == "verify":
        return {"verdict": {"reference": "a fake", "precision": "fp32", "checks": []}}
    return {"samples_ms": [milliseconds(state["order"])] * 3, "usage": {}}


if __name__ == "__main__":
    memory: dict[str, Any] = {}
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line), memory)) + "\n")
        sys.stdout.flush()
