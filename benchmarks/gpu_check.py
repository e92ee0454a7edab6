"""Everything to try on a machine with a GPU: what runs there, whether it is right, and how fast, in one folder.

    PYTHONPATH=. python benchmarks/gpu_check.py --out results             # on a machine with an NVIDIA GPU
    PYTHONPATH=. python benchmarks/gpu_check.py --out trial --provider cpu --small --duration 0.2 --rounds 2

It calls `resnetx` as a user would: doctor; verify in float32 and in the provider's default precision; bench of
PyTorch and the provider between host arrays, and with device-resident ones with and without a CUDA graph; TensorRT
where it works. A step that fails is reported, and the others go on. It needs no installation: a checkout and the
packages of the machine are enough, and without onnxsim the graph stays as exported. Exit status 1 if anything failed.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from resnetx.benchmark.result import BenchCase, Benchmark
from resnetx.benchmark.result_file import read_benchmark

ROOT = Path(__file__).resolve().parent.parent
SMALL = ("--stages", "1,1,1,1", "--width", "16", "--image-size", "64")
# How long a step may take until Ctrl-C, on which bench writes its results so far, and how long from then until a kill.
STEP_S, ENDING_S = 540.0, 30.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run, for how long, and where to store the results."""

    provider: str
    out: Path
    model: Path
    batches: str
    duration: str
    rounds: str
    processes: str

    @property
    def on_gpu(self) -> bool:
        return self.provider != "cpu"


class Steps:
    """Runs commands, writes all their output to one log, and records which failed."""

    def __init__(self, log: Path, ends_at: float) -> None:
        self._log = log
        self._ends_at = ends_at
        self.failed: list[str] = []
        log.write_text("")

    def run(self, name: str, *arguments: str, must: bool = True) -> bool:
        left = min(STEP_S, self._ends_at - time.monotonic())
        if left <= 0:
            self.failed.append(f"{name} (no time left)")
            return False
        command = [sys.executable, "-m", "resnetx.cli.main", *arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        print(f"{name} ...", flush=True)
        begin = time.monotonic()
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, status = _ending(child, left)
        with self._log.open("a") as stream:
            stream.write(f"$ resnetx {' '.join(arguments)}\n{output}\n[{status}, {time.monotonic() - begin:.0f} s]\n\n")
        if must and status != "exit 0":
            self.failed.append(name)
            print("  " + "\n  ".join([*output.strip().splitlines()[-6:], status]), flush=True)
        return status == "exit 0"


def _ending(child: subprocess.Popen[bytes], left: float) -> tuple[str, str]:
    """Its output, and how it ended."""
    for seconds, end in ((left, signal.SIGINT), (ENDING_S, signal.SIGKILL), (ENDING_S, signal.SIGKILL)):
        try:
            output, _ = child.communicate(timeout=seconds)
            words = "out of time, " if end is signal.SIGKILL else ""
            return output.decode(errors="replace"), f"{words}exit {child.returncode}"
        except subprocess.TimeoutExpired:
            child.send_signal(end)
    return "", "out of time, and did not end"


def check(plan: Plan, steps: Steps) -> list[tuple[str, Benchmark]]:
    """Run every step in order, and return the benchmarks that were written."""
    steps.run("doctor", "doctor", "--provider", plan.provider)
    has_tensorrt = plan.on_gpu and steps.run("doctor, TensorRT", "doctor", "--provider", "tensorrt", must=False)
    _verify(plan, steps, "float32")
    if plan.on_gpu:
        _verify(plan, steps, "tf32", "--provider-option", "use_tf32=1")
    # Every provider that runs on the device, and PyTorch on the same device.
    providers = ["torch", plan.provider, *(["tensorrt"] if has_tensorrt else [])]
    device = ["--provider-option", "torch:device=cuda"] if plan.on_gpu else []
    runs = [("host arrays", "host", providers, device)]
    if plan.on_gpu:
        no_graph = ["--provider-option", "cuda:enable_cuda_graph=0"]
        runs.append(("device arrays, CUDA graph", "device", providers, device))
        runs.append(("device arrays, no graph", "device", [plan.provider], no_graph))
        half = ["--provider-option", "torch:precision=fp16"]
        trt = ["--provider-option", "tensorrt:trt_fp16_enable=1"] if has_tensorrt else []
        runs.append(("half precision", "device", ["torch", *providers[2:]], [*device, *half, *trt]))
    else:
        runs.append(("device arrays", "device", providers, device))
    found = []
    for name, boundary, chosen, options in runs:
        file = plan.out / f"bench-{name.replace(', ', '-').replace(' ', '-')}.json"
        arguments = ["--provider", ",".join(chosen), "--batch", plan.batches, "--boundary", boundary, *options]
        length = ["--duration", plan.duration, "--rounds", plan.rounds, "--processes", plan.processes]
        steps.run(f"bench, {name}", "bench", str(plan.model), *arguments, *length, "--json", str(file))
        if file.exists():
            found.append((name, read_benchmark(file)))
    return found


def _verify(plan: Plan, steps: Steps, how: str, *options: str) -> None:
    file = plan.out / f"verify-{how}.json"
    arguments = ["--provider", plan.provider, *options, "--json", str(file)]
    steps.run(f"verify, {how}", "verify", str(plan.model), *arguments)


def export(model: Path, steps: Steps, *, small: bool) -> bool:
    """ResNet-50 with random weights; unsimplified where onnxsim is not installed."""
    simplify = () if importlib.util.find_spec("onnxsim") else ("--no-simplify",)
    return steps.run("export", "export", "-o", str(model), *(SMALL if small else ()), *simplify)


def rows(name: str, run: Benchmark) -> list[str]:
    return [_row(name, case) for case in run.cases]


def _row(name: str, case: BenchCase) -> str:
    summary = case.summary
    figures = (summary.median_ms, summary.images_per_s, summary.joules_per_image, case.gpu_memory_mb)
    words = ["-" if figure is None else f"{figure:.4g}" for figure in figures]
    share = "-" if summary.limit_fraction is None else f"{summary.limit_fraction:.0%}"
    verdict = "-" if case.parity is None else "ok" if case.parity.passed else "WRONG"
    verdict = case.status if case.status != "ok" else verdict
    cells = (case.provider, case.effective_precision, str(case.batch), *words, share, verdict)
    return f"{name:26}" + " ".join(f"{cell:>8}" for cell in cells)


def peaks(run: Benchmark) -> str:
    """The peaks of the machine, measured in the same run."""
    limits = {} if run.limits is None else {k: v for k, v in vars(run.limits).items() if isinstance(v, float)}
    return ", ".join(f"{name} {value:.4g}" for name, value in limits.items()) or "no limits were measured"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results; created if missing")
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--model", type=Path, help="an exported file, instead of ResNet-50 with random weights")
    parser.add_argument("--batch", default="1,32")
    parser.add_argument("--duration", default="5", help="seconds of timing for each case")
    parser.add_argument("--rounds", default="10")
    parser.add_argument("--processes", default="5", help="of each case; starting one on a GPU takes seconds")
    parser.add_argument("--small", action="store_true", help="a tiny network, to try this script")
    parser.add_argument("--minutes", type=float, default=30, help="start no new step after this time")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    ends_at = time.monotonic() + 60 * arguments.minutes
    steps = Steps(arguments.out / "log.txt", ends_at)
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or Path(folder) / "resnet50.onnx"
        if arguments.model is None and not export(model, steps, small=arguments.small):
            sys.exit(1)
        plan = Plan(
            provider=arguments.provider,
            out=arguments.out,
            model=model,
            batches=arguments.batch,
            duration=arguments.duration,
            rounds=arguments.rounds,
            processes=arguments.processes,
        )
        runs = check(plan, steps)
    heads = ("provider", "prec", "batch", "ms", "img/s", "J/img", "GPU MB", "limit", "parity")
    table = ["", f"{'':26}" + " ".join(f"{head:>8}" for head in heads)]
    table += [line for name, run in runs for line in rows(name, run)]
    table += [f"peaks: {peaks(run)}" for _, run in runs[:1]]
    table += [f"FAILED: {'; '.join(steps.failed)}"] if steps.failed else []
    print("\n".join(table))
    (arguments.out / "summary.json").write_text(json.dumps({"table": table, "failed": steps.failed}, indent=2) + "\n")
    sys.exit(1 if steps.failed else 0)


if __name__ == "__main__":
    main()
