"""What was tried to make a GPU faster: the same network under other options, interleaved in one process.

    python benchmarks/gpu_variants.py fp16.onnx --batch 1,256 --json variants.json

Every row is timed in turns, with arrays on the device; the ratio is the median of the rounds' ratios to the first
row, PyTorch's eager one. `--kernels` lists those in which `cuda` and the fastest other row spend their time, as CUPTI
counts them. `--compile MODE` adds torch.compile, which takes minutes in the mode max-autotune.
"""

import argparse
import json
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorrt_runner
from onnx import helper, numpy_helper
from tensorrt_runner import TensorrtRunner

from resnetx.benchmark.limits import GPU_SIZES, best_rate
from resnetx.benchmark.peak_kernels import gpu_products, on_gpu, operations
from resnetx.graph.card import read_card
from resnetx.graph.inspection.inspect import inspect_model
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.timed import timed_feeds
from resnetx.runtime.catalog import engine_of, find_provider, open_runner
from resnetx.runtime.cudnn.session import CudnnSession
from resnetx.runtime.runner import Call, Opening, Runner
from resnetx.verification.rebuild import rebuild

FAST = {"prefer_nhwc": "1", "fuse_conv_bias": "1"}
CUDA: dict[str, dict[str, str]] = {
    "as resnetx sets it": {},
    "NCHW": {"prefer_nhwc": "0", "fuse_conv_bias": "0"},
    "NHWC": {"prefer_nhwc": "1", "fuse_conv_bias": "0"},
    "NHWC, bias fused": FAST,
    "NHWC, bias fused, exhaustive search": FAST | {"cudnn_conv_algo_search": "EXHAUSTIVE"},
    "NHWC, bias fused, no graph": FAST | {"enable_cuda_graph": "0"},
}
SHOWN_KERNELS = 12


@dataclass
class Variant:
    """One row: what is run, and the time of each round."""

    name: str
    batch: int
    runner: Runner
    calls: Sequence[Call]
    rounds: list[float] = field(default_factory=list)

    def time(self, seconds: float) -> None:
        times = []
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            call = self.calls[len(times) % len(self.calls)]
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
        self.rounds.append(1e3 * statistics.median(times))

    @property
    def ms(self) -> float:
        return statistics.median(self.rounds)


def padded(model: onnx.ModelProto, channels: int = 8) -> bytes:
    """The model with zeros as further channels of its images: tensor cores take channels in eights."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    first = next(node for node in graph.node if node.op_type == "Conv")
    weight = next(tensor for tensor in graph.initializer if tensor.name == first.input[1])
    array = numpy_helper.to_array(weight)
    more = channels - array.shape[1]
    weight.CopyFrom(numpy_helper.from_array(np.pad(array, ((0, 0), (0, more), (0, 0), (0, 0))), weight.name))
    graph.initializer.append(numpy_helper.from_array(np.int64([0, 0, 0, 0, 0, more, 0, 0]), "more_channels"))
    pad = helper.make_node("Pad", [first.input[0], "more_channels"], ["padded_images"])
    first.input[0] = "padded_images"
    graph.node.insert(list(graph.node).index(first), pad)
    return changed.SerializeToString()


def host_openers(paths: Sequence[Path], provider: str) -> dict[str, Callable[[int], Runner]]:
    """Sessions that take arrays in host memory, without and with a CUDA graph."""

    def session(path: Path, name: str, options: Mapping[str, str], batch: int) -> Runner:
        return engine_of(find_provider(name)).open(path, Opening(precision="default", batch=batch, options=options))

    found = {}
    for path in paths:
        ways: dict[str, tuple[str, dict[str, str]]] = {provider: (provider, {})}
        if find_provider(provider).gpu:
            ways[f"{provider}, no graph"] = (provider, {"enable_cuda_graph": "0"})
            ways["cudnn"] = ("cudnn", {})
        found |= {f"{way}, {path.stem}, host arrays": partial(session, path, *how) for way, how in ways.items()}
    return found


def openers(path: Path, provider: str, compiled: Sequence[str]) -> dict[str, Callable[[int], Runner]]:
    """What opens each row for a batch size."""
    model = read_onnx(path)
    card = read_card(model)
    assert card is not None
    infos = open_runner(path)
    gpu = find_provider(provider).gpu

    def session(source: Path | bytes, options: Mapping[str, str], batch: int, name: str = provider) -> Runner:
        opening = Opening(precision="default", options=options if gpu else {}, batch=batch, on_device=True)
        return engine_of(find_provider(name)).open(source, opening)

    def module(name: str, options: Mapping[str, str], batch: int) -> Runner:
        device = {"device": "cuda", "precision": card.precision} if gpu else {}
        opening = Opening(
            precision="default",
            options=device | dict(options),
            batch=batch,
            on_device=True,
            inputs=infos.inputs,
            outputs=infos.outputs,
        )
        return engine_of(find_provider(name)).open(lambda: rebuild(card), opening)

    found: dict[str, Callable[[int], Runner]] = {"torch": partial(module, "torch", {})}
    found |= {f"torch-compile, {mode}": partial(module, "torch-compile", {"mode": mode}) for mode in compiled}
    if gpu:
        found["cudnn"] = partial(session, path, {}, name="cudnn")
        found["cudnn, PyTorch's kernels"] = partial(session, path, {"search": "0"}, name="cudnn")
    if gpu and tensorrt_runner.problem() is None:
        found["TensorRT by itself"] = lambda batch: TensorrtRunner(path, infos.inputs, infos.outputs, batch)
    found |= {f"{provider}, {name}": partial(session, path, options) for name, options in CUDA.items()}
    return found | {f"{provider}, NHWC, bias fused, 8 channels": partial(session, padded(model), FAST)}


def opened(path: Path, make: Mapping[str, Callable[[int], Runner]], batch: int, *, host: bool) -> list[Variant]:
    """Every row that can be opened, with its inputs at hand: on the device, or in host memory."""
    variants = []
    card = read_card(read_onnx(path))
    assert card is not None
    first: np.ndarray | None = None
    for name, function in make.items():
        begin = time.perf_counter()
        try:
            runner = function(batch)
            own = replace(card, input="uint8") if runner.inputs[0].dtype == np.uint8 else card
            feeds = timed_feeds(runner.inputs, own, batch=batch)
            calls = [partial(runner.run, feed) if host else runner.bind(feed) for feed in feeds]
            for call in [*calls, *calls]:
                call()
            answer = next(iter(runner.run(feeds[0]).values()))
        except Exception as error:  # a row that fails is told, and the others go on
            print(f"  FAILED {name}, batch {batch}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            continue
        first = answer if first is None else first
        off = float(np.abs(answer - first).max() / np.abs(first).max())
        variants.append(Variant(name, batch, runner, calls))
        words = f"in {time.perf_counter() - begin:.1f} s, differs from the first by {off:.1e}"
        print(f"  opened {name}, batch {batch}, {words}", flush=True)
    return variants


def kernels(variant: Variant) -> list[tuple[str, int, float]]:
    """The kernels of one run: their names, how many, and their milliseconds."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    if not torch.cuda.is_available():
        return []
    runs = 4
    with profile(activities=[ProfilerActivity.CUDA]) as taken:
        for number in range(runs):
            variant.calls[number % len(variant.calls)]()
        torch.cuda.synchronize()
    counts: Counter[str] = Counter()
    times: Counter[str] = Counter()
    for event in taken.events():
        if event.device_type.name == "CUDA":
            name = short_name(event.name)
            counts[name] += 1
            times[name] += event.device_time
    return [(name, round(counts[name] / runs), took / runs / 1e3) for name, took in times.most_common()]


def short_name(kernel: str) -> str:
    """A kernel without its template arguments, which fill a screen."""
    text = re.sub(r"\(anonymous namespace\)::|^void ", "", kernel)
    return re.sub(r"[<(].*", "", text)[:70] if not text.startswith(("sm", "cudnn", "cutlass")) else text[:70]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.onnx", help="several with --host only")
    parser.add_argument("--host", action="store_true", help="arrays in host memory, of each of the models")
    parser.add_argument("--provider", default="cuda")
    parser.add_argument("--batch", default="1,256")
    parser.add_argument("--compile", action="append", default=[], metavar="MODE", help="also torch.compile; repeatable")
    parser.add_argument("--only", default="", metavar="REGEX", help="rows whose names match; the first is the base")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a round of a row")
    parser.add_argument("--kernels", action="store_true", help="list the kernels of the fastest rows")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model, provider = arguments.models[0], arguments.provider
    make = host_openers(arguments.models, provider) if arguments.host else openers(model, provider, arguments.compile)
    macs = inspect_model(read_onnx(model)).macs
    make = {name: function for name, function in make.items() if re.search(arguments.only, name)}
    found: list[dict[str, Any]] = []
    precision = "fp16" if read_card(read_onnx(model)).precision == "fp16" else "tf32"  # type: ignore[union-attr]
    peak = _peak(precision) if find_provider(arguments.provider).gpu else None
    print(f"peak of {precision} products: {'unknown' if peak is None else f'{peak / 1e3:.0f} TFLOP/s'}", flush=True)
    for batch in (int(size) for size in arguments.batch.split(",")):
        variants = opened(model, make, batch, host=arguments.host)
        for number in range(arguments.rounds):
            for variant in variants if number % 2 == 0 else variants[::-1]:
                variant.time(arguments.seconds)
        base = variants[0]
        for variant in variants:
            ratio = statistics.median(a / b for a, b in zip(base.rounds, variant.rounds, strict=True))
            share = None if peak is None or macs is None else 2 * macs * batch / variant.ms * 1e3 / (peak * 1e9)
            found.append({"name": variant.name, "batch": batch, "ms": variant.ms, "ratio": ratio, "share": share})
            if isinstance(variant.runner, CudnnSession):
                found[-1]["ways"] = dict(variant.runner.ways.chosen())
            of_peak = "" if share is None else f"{share:5.0%} of the peak"
            speed = f"{variant.ms:9.3f} ms {1e3 * batch / variant.ms:9.0f} img/s"
            print(f"{batch:4} {variant.name:44}{speed}{ratio:7.2f} x the first {of_peak}", flush=True)
        own = [each for each in variants if each.name.startswith(arguments.provider)]
        fastest = min(own or variants, key=lambda each: each.ms)
        others = [each for each in variants if not each.name.startswith(arguments.provider)]
        for variant in (fastest, *sorted(others, key=lambda each: each.ms)[:1]) if arguments.kernels else ():
            rows = kernels(variant)
            found[-1].setdefault("kernels", {})[variant.name] = rows
            print(f"  kernels of {variant.name}, batch {batch}: {sum(ms for *_, ms in rows):.3f} ms")
            for name, count, ms in rows[:SHOWN_KERNELS]:
                print(f"    {ms:8.3f} ms {count:4} x {name}", flush=True)
        for variant in variants:
            variant.runner.close()
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def _peak(precision: str) -> float | None:
    products = partial(gpu_products, precision)  # type: ignore[arg-type]
    with on_gpu(precision):  # type: ignore[arg-type]
        tasks = [(operations(size), partial(products, size)) for size in GPU_SIZES]
        return best_rate(tasks, clock=time.perf_counter_ns, budget_s=1.0)


if __name__ == "__main__":
    main()
