"""A worker of a benchmark that writes a log, and whose later processes may differ; the batch size says how.

The processes of a case share their temporary folder, in which each finds its number. The standard library alone, to be
quick: `python process_counting_worker.py LOG`.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

PLAIN, CRASHES_LATER, CHANGES_LATER, OTHER_ANSWERS, WRONG_LATER, CACHES = range(1, 7)
CHECK = {"output": "y", "batch": 1, "multiple": 1.0, "allowed": 8.0, "metrics": None, "reason": None}


def number_here() -> tuple[int, bool]:
    """The number of this process in its case, from 0, and whether the one before it still runs."""
    file = Path(os.environ["TMPDIR"]) / "processes"
    before = file.read_text().split() if file.exists() else []
    with file.open("a") as stream:
        stream.write(f"{os.getpid()} ")
    return len(before), bool(before) and Path(f"/proc/{before[-1]}").exists()


def answer(request: dict[str, Any], batch: int, process: int) -> dict[str, Any]:
    later = process > 0
    if request["do"] == "open":
        quick = batch == CACHES and later
        return {
            "provider": request["order"]["provider"],
            "effective_precision": "bf16" if batch == CHANGES_LATER and later else "fp32",
            "placement": [["cpu", 3]],
            "options": {},
            "session_s": 0.5 if quick else 60.0,
            "first_run_ms": 8.0,
            "engine": None if batch != CACHES else "from cache" if later else "built",
            "answers": f"answers {process if batch in (OTHER_ANSWERS, WRONG_LATER) else 0}",
        }
    if request["do"] == "verify":
        return {"verdict": {"checks": [{**CHECK, "passed": not (batch == WRONG_LATER and later)}]}}
    if batch == CRASHES_LATER and process == 1:
        os.abort()
    return {"samples_ms": [10.0 + process, 11.0 + process], "usage": {"peak_memory_mb": 64.0 - process}}


def main() -> None:
    process, previous_runs = number_here()
    batch = 0
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "open":
            batch = request["order"]["batch"]
        entry = {"do": request["do"], "batch": batch, "process": process, "previous_runs": previous_runs}
        with Path(sys.argv[1]).open("a") as log:
            log.write(json.dumps({**entry, "pid": os.getpid()}) + "\n")
        sys.stdout.write(json.dumps(answer(request, batch, process)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
