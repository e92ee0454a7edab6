"""Everything to try on a machine with a GPU: what runs there, whether it is right, and how fast, in one folder.

    make gpu                                                            # on a machine with an NVIDIA GPU
    python benchmarks/gpu_check.py --out trial --provider cpu --small --duration 0.2 --rounds 2

Doctor, the tests of `tests/gpu`, verification in every precision, `gpu_parity.py`, benchmarks beside PyTorch eager and
compiled, and `gpu_variants.py`; the same for TensorRT where it works, in INT8 too, with an empty cache of engines and
then with what that left. A step that fails is reported, and the others go on. It needs no installation: a checkout and
packages in PYTHONPATH are enough, and without onnxsim the graph stays as exported. Exit status 1 if anything failed.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from logged_steps import Steps

from resnetx.benchmark.result import BenchCase, Benchmark
from resnetx.benchmark.result_file import read_benchmark

SMALL = ("--stages", "1,1,1,1", "--width", "16", "--image-size", "64")
RESNETX = ("-m", "resnetx.cli.main")
STEPS = ("doctor", "tests", "verify", "parity", "variants", "bench")
# The files that are measured, and how each is exported.
FILES: dict[str, tuple[str, ...]] = {
    "fp32": (),
    "fp16": ("--precision", "fp16"),
    "pixels": ("--precision", "fp16", "--preprocess", "uint8"),
}
# Made of fp32, for those of the providers that compute in integers.
INT8, INTEGERS = "int8", ("tensorrt", "cpu")
SAMPLES = "64"
BUSY_SESSIONS = "10"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to run, for how long, and where to store the results."""

    provider: str
    out: Path
    models: Path
    steps: tuple[str, ...]
    batches: str
    length: tuple[str, ...]
    compile_modes: tuple[str, ...]
    rounds: str
    round_s: str

    @property
    def on_gpu(self) -> bool:
        return self.provider != "cpu"

    def model(self, name: str) -> str:
        return str(self.models / f"{name}.onnx")


def check(plan: Plan, steps: Steps) -> list[tuple[str, Benchmark]]:
    """Run the steps in order, and return the benchmarks that were written."""
    has_tensorrt = plan.on_gpu and steps.run(
        "doctor, TensorRT", *RESNETX, "doctor", "--provider", "tensorrt", must=False
    )
    providers = [plan.provider, *(["cudnn"] if plan.on_gpu else []), *(["tensorrt"] if has_tensorrt else [])]
    if not has_tensorrt:
        print("TensorRT does not work here and was not tested", flush=True)
    files = {name: providers for name in FILES}
    measured = {"verify", "parity", "bench"} & set(plan.steps)
    integers = [name for name in providers if name in INTEGERS and measured]
    if integers and (Path(plan.model(INT8)).exists() or quantize(plan, steps)):
        files[INT8] = integers
    if "doctor" in plan.steps:
        steps.run("doctor", *RESNETX, "doctor", "--provider", plan.provider)
    if "tests" in plan.steps:
        pytest = ("-m", "pytest", "-p", "no:cacheprovider", "-q", "-o", "filterwarnings=", "tests/gpu")
        steps.run("tests", *pytest, shown=1)
    if "verify" in plan.steps:
        _verify(plan, steps, files)
    if "parity" in plan.steps:
        for name, able in files.items():
            script = ("benchmarks/gpu_parity.py", plan.model(name), "--provider", ",".join(able))
            batches = () if plan.on_gpu else ("--batch", plan.batches)
            steps.run(f"parity {name}", *script, *batches, "--json", str(plan.out / f"parity-{name}.json"), shown=80)
        _busy(plan, steps)
    if "variants" in plan.steps:
        modes = [word for mode in plan.compile_modes for word in ("--compile", mode)]
        script = ("benchmarks/gpu_variants.py", plan.model("fp16"), "--provider", plan.provider)
        length = ("--batch", plan.batches, "--rounds", plan.rounds, "--seconds", plan.round_s)
        file = plan.out / "variants.json"
        steps.run("variants", *script, *length, *modes, "--kernels", "--json", str(file), shown=150)
        host = (script[0], plan.model("fp16"), plan.model("pixels"), *script[2:], *length, "--host")
        steps.run("variants, host arrays", *host, "--json", str(plan.out / "variants-host.json"), shown=60)
    return _benchmarks(plan, steps, files) if "bench" in plan.steps else []


def quantize(plan: Plan, steps: Steps) -> bool:
    options = ("--target", "tensorrt", "--calibrate", "synthetic", "--method", "minmax", "--samples", SAMPLES)
    return steps.run("quantize", *RESNETX, "quantize", plan.model("fp32"), "-o", plan.model(INT8), *options)


def _busy(plan: Plan, steps: Steps) -> None:
    """`cuda` has answered NaN in float16 while others used the GPU, with the search that is not our default."""
    ways: dict[str, tuple[str, ...]] = {"busy": ()}
    if plan.on_gpu:
        ways["busy, exhaustive search"] = ("--option", "cuda:cudnn_conv_algo_search=EXHAUSTIVE")
    for name, options in ways.items():
        script = ("benchmarks/gpu_parity.py", plan.model("fp16"), "--provider", plan.provider, *options)
        often = ("--busy", "--sessions", BUSY_SESSIONS, "--path", "graph,device", "--batch", "1")
        file = plan.out / f"parity-{name.replace(', ', '-').replace(' ', '-')}.json"
        steps.run(f"parity fp16, {name}", *script, *often, "--json", str(file), must=not options, shown=3)


def _verify(plan: Plan, steps: Steps, files: dict[str, list[str]]) -> None:
    for name, providers in files.items():
        for provider in providers:
            command = ("verify", plan.model(name), "--provider", provider)
            steps.run(f"verify {name}, {provider}", *RESNETX, *command, shown=2)
    if plan.on_gpu:
        tf32 = ("--provider", "cuda", "--provider-option", "cuda:use_tf32=1")
        steps.run("verify fp32, cuda in TF32", *RESNETX, "verify", plan.model("fp32"), *tf32, shown=2)


def _benchmarks(plan: Plan, steps: Steps, files: dict[str, list[str]]) -> list[tuple[str, Benchmark]]:
    providers, integers = files["fp16"], files.get(INT8, [])
    torch = ["torch", *(["torch-compile"] if plan.compile_modes else [])]
    gpu = [f"{name}:device=cuda" for name in torch] if plan.on_gpu else []
    half = [f"{name}:precision=fp16" for name in torch] if plan.on_gpu else []
    half += ["tensorrt:trt_fp16_enable=1"] if "tensorrt" in providers else []
    modes = [f"torch-compile:mode={mode}" for mode in plan.compile_modes[-1:]]
    runs: list[tuple[str, list[str], list[str], str, list[str]]] = [
        ("device, fp16", ["fp16"], [*torch, *providers], "device", [*gpu, *half, *modes]),
        ("device, fp32 and TF32", ["fp32"], [*torch[:1], *providers], "device", gpu[:1]),
        ("host, floats and pixels", ["fp16", "pixels"], providers, "host", []),
    ]
    if integers:
        # What is not in INT8 is in float16 there, as in the row beside it.
        precisions = ["tensorrt:trt_fp16_enable=1"] if "tensorrt" in integers else []
        runs.append(("device, INT8", ["fp16", INT8], integers, "device", precisions))
    if "tensorrt" in providers:
        runs.append(("device, engines of before", ["fp16"], ["tensorrt"], "device", half[-1:]))
    found = []
    for name, models, chosen, boundary, options in runs:
        file = plan.out / f"bench-{name.replace(', ', '-').replace(' ', '-')}.json"
        told = [word for option in options for word in ("--provider-option", option)]
        command = ("bench", *(plan.model(each) for each in models), "--provider", ",".join(chosen), *told)
        page = ("--html", str(file.with_suffix(".html")))
        steps.run(
            f"bench, {name}",
            *(*RESNETX, *command, "--batch", plan.batches, "--boundary", boundary),
            *(*plan.length, "--json", str(file), *page),
        )
        if file.exists():
            found.append((name, read_benchmark(file)))
    return found


def export(models: Path, steps: Steps, *, small: bool) -> bool:
    """ResNet-50 with random weights as each of the files; unsimplified where onnxsim is not installed."""
    simplify = () if importlib.util.find_spec("onnxsim") else ("--no-simplify",)
    size = SMALL if small else ()

    def one(name: str) -> bool:
        target = ("export", "-o", str(models / f"{name}.onnx"))
        return steps.run(f"export {name}", *RESNETX, *target, *size, *simplify, *FILES[name])

    with ThreadPoolExecutor(len(FILES)) as together:
        return all(list(together.map(one, FILES)))


def rows(name: str, run: Benchmark) -> list[str]:
    return [_row(name, case) for case in run.cases]


def _row(name: str, case: BenchCase) -> str:
    summary = case.summary
    figures = (summary.median_ms, summary.images_per_s, summary.joules_per_image, case.gpu_memory_mb)
    words = ["-" if figure is None else f"{figure:.4g}" for figure in figures]
    share = "-" if summary.limit_fraction is None else f"{summary.limit_fraction:.0%}"
    verdict = "-" if case.parity is None else "ok" if case.parity.passed else "WRONG"
    verdict = case.status if case.status != "ok" else verdict
    cells = (case.effective_precision, str(case.batch), *words, share, verdict)
    return f"{name:24}{Path(case.model).stem:8}{case.provider:14}" + " ".join(f"{cell:>7}" for cell in cells)


def engines(run: Benchmark) -> list[str]:
    """Where the engines of each case came from, and the seconds that opening took."""
    starts = [(case, [each for each in (case.cold, *case.restarts) if each]) for case in run.cases]
    return [
        f"{Path(case.model).stem}, {case.provider}, batch {case.batch}: "
        + ", ".join(f"{start.engine} in {start.session_s:.1f} s" for start in each)
        for case, each in starts
        if any(start.engine for start in each)
    ]


def peaks(run: Benchmark) -> str:
    """The peaks of the machine, measured in the same run."""
    limits = {} if run.limits is None else {k: v for k, v in vars(run.limits).items() if isinstance(v, float)}
    return ", ".join(f"{name} {value:.4g}" for name, value in limits.items()) or "no limits were measured"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder for the results; created if missing")
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--models", type=Path, help="folder of fp32.onnx, fp16.onnx and pixels.onnx; made if missing")
    parser.add_argument("--steps", default=",".join(STEPS), help=f"some of {','.join(STEPS)}")
    parser.add_argument("--batch", default="1,64,256")
    parser.add_argument("--compile", action="append", default=[], help="modes of torch.compile; the last one in bench")
    parser.add_argument("--duration", default="5", help="seconds of timing for each case")
    parser.add_argument("--rounds", default="10")
    parser.add_argument("--processes", default="5", help="of each case; starting one on a GPU takes seconds")
    parser.add_argument("--round-seconds", default="0.2", help="of a row in gpu_variants.py")
    parser.add_argument("--small", action="store_true", help="a tiny network, to try this script")
    parser.add_argument("--minutes", type=float, default=60, help="start no new step after this time")
    parser.add_argument("--step-minutes", type=float, default=30, help="the time limit of a step")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        ends_at, step_s = time.monotonic() + 60 * arguments.minutes, 60 * arguments.step_minutes
        steps = Steps(arguments.out / "log.txt", Path(folder) / "cache", ends_at, step_s)
        models = arguments.models or Path(folder)
        models.mkdir(parents=True, exist_ok=True)
        exported = all((models / f"{name}.onnx").exists() for name in FILES)
        if not exported and not export(models, steps, small=arguments.small):
            sys.exit(1)
        plan = Plan(
            provider=arguments.provider,
            out=arguments.out.absolute(),
            models=models.absolute(),
            steps=tuple(arguments.steps.split(",")),
            batches=arguments.batch,
            length=(
                *("--duration", arguments.duration, "--rounds", arguments.rounds),
                *("--processes", arguments.processes),
            ),
            compile_modes=tuple(arguments.compile),
            rounds=arguments.rounds,
            round_s=arguments.round_seconds,
        )
        runs = check(plan, steps)
    heads = ("prec", "batch", "ms", "img/s", "J/img", "GPU MB", "limit", "parity")
    table = [f"{'':24}{'file':8}{'provider':14}" + " ".join(f"{head:>7}" for head in heads)] if runs else []
    table += [line for name, run in runs for line in rows(name, run)]
    table += [f"engine of {line}" for _, run in runs for line in engines(run)]
    table += [f"peaks: {peaks(run)}" for _, run in runs[:1]]
    table += [f"FAILED: {'; '.join(steps.failed)}"] if steps.failed else []
    print("\n".join(table))
    summary = {"table": table, "failed": steps.failed}
    (arguments.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    sys.exit(1 if steps.failed else 0)


if __name__ == "__main__":
    main()
