"""Wall time and peak memory of `resnetx --help` and of exporting ResNet-50, as a user meets them.

    python benchmarks/startup_and_export.py [--rounds 5]

Each figure is a whole process, medians over interleaved rounds. `--help` stands beside an empty Python program.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

HELP = [sys.executable, "-m", "resnetx", "--help"]
EMPTY = [sys.executable, "-c", "pass"]


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds and peak megabytes of the process and of its largest child."""
    started = time.perf_counter_ns()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.execv(command[0], command)
    _, status, usage = os.wait4(pid, 0)
    seconds = (time.perf_counter_ns() - started) / 1e9
    if status:
        raise SystemExit(f"{command} failed with status {status}")
    return seconds, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        export = [sys.executable, "-m", "resnetx", "export", "-o", str(Path(folder) / "r50.onnx")]
        cases = {"python -c pass": EMPTY, "resnetx --help": HELP, "resnetx export (ResNet-50)": export}
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for command in cases.values():
            measure(command)
        for _ in range(rounds):
            for name, command in cases.items():
                samples[name].append(measure(command))
    print(f"{rounds} rounds, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f}")
    print(f"{'command':30}{'median s':>10}{'min':>8}{'max':>8}{'peak MB':>10}")
    for name, runs in samples.items():
        seconds = [run[0] for run in runs]
        peak = max(run[1] for run in runs)
        print(f"{name:30}{statistics.median(seconds):10.3f}{min(seconds):8.3f}{max(seconds):8.3f}{peak:10.0f}")
    print(json.dumps({name: [run[0] for run in runs] for name, runs in samples.items()}))


if __name__ == "__main__":
    main()
