"""Wall time and peak memory of the commands `resnetx --help` and `resnetx export` (ResNet-50).

    python benchmarks/startup_and_export.py [--rounds 5]

Each figure is a whole process, medians over interleaved rounds. `--help` is compared with an empty Python program.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HELP = [sys.executable, "-m", "resnetx", "--help"]
EMPTY = [sys.executable, "-c", "pass"]


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter_ns()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter_ns() - started) / 1e9


def peak_mb_of(command: list[str]) -> float:
    """The memory of the process and its children, shared pages counted once. Polling slows it down: not for timing."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0.0
    while child.poll() is None:
        peak = max(peak, sum(map(proportional_mb, family(child.pid))))
        time.sleep(0.01)
    return peak


def family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(grandchild for child in children for grandchild in family(int(child)))]


def proportional_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        export = [sys.executable, "-m", "resnetx", "export", "-o", str(Path(folder) / "r50.onnx")]
        cases = {"python -c pass": EMPTY, "resnetx --help": HELP, "resnetx export (ResNet-50)": export}
        peaks = {name: peak_mb_of(command) for name, command in cases.items()}
        samples: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, command in cases.items():
                samples[name].append(seconds_of(command))
    print(f"{rounds} rounds, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f}")
    print(f"{'command':30}{'median s':>10}{'min':>8}{'max':>8}{'peak MB':>10}")
    for name, seconds in samples.items():
        median = statistics.median(seconds)
        print(f"{name:30}{median:10.3f}{min(seconds):8.3f}{max(seconds):8.3f}{peaks[name]:10.0f}")
    print(json.dumps(samples))


if __name__ == "__main__":
    main()
