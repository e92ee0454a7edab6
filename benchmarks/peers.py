"""Our rows beside what a user would pick instead, in one interleaved run: latency at batch 1 and 8, and throughput.

    make peers                                             # sets up .venv-peers, which holds the peers, and runs this
    python benchmarks/peers.py [--depth 50] [--batch 1,8] [--duration 10] [--rounds 20] [--json FILE]

Every row is a process of its own, opened by what its users call, fed the same host arrays and held against PyTorch in
float64. Ratios are images a second of ours over the peer's, above 1 is ours faster, with the interval that `compare`
would give.
One caller at a time tells latency; two at a time, with a request each, what OpenVINO's throughput hint is made for.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from threading import local
from typing import Any

import numpy as np

import resnetx
from resnetx.benchmark.case import RunningCase
from resnetx.benchmark.comparison.ratio import contrast_rounds
from resnetx.benchmark.plan import BenchOptions, PlannedCase, look_into
from resnetx.benchmark.result import BenchCase
from resnetx.benchmark.run import run_cases
from resnetx.benchmark.summary import summarize, valid_rounds
from resnetx.benchmark.worker import CaseOrder, open_runner
from resnetx.benchmark.worker import main as serve
from resnetx.cli.live_view import watch_benchmark
from resnetx.graph.card import ModelCard
from resnetx.runtime.runner import Runner, TensorInfo

CALLERS = 2
# What is ours in each comparison: the same kind of row, so that a precision is not taken for speed.
OURS = {"latency": "openvino", "throughput": "openvino-throughput"}


class PeerRunner:
    """A peer's own call, with the face that the harness knows."""

    def __init__(self, name: str, call: Callable[[np.ndarray], np.ndarray], precision: str, order: CaseOrder) -> None:
        self.provider = name
        self.effective_precision = precision
        self.placement = ((name, 1),)
        self.options: dict[str, str] = {}
        self.inputs, self.outputs = (
            tuple(TensorInfo(tensor, np.dtype(kind), tuple(shape)) for tensor, kind, shape in tensors)
            for tensors in (order.inputs, order.outputs)
        )
        self._call = call

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {self.outputs[0].name: self._call(feeds[self.inputs[0].name])}


def plain_onnxruntime(order: CaseOrder) -> PeerRunner:
    import onnxruntime as ort

    session = ort.InferenceSession(order.model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return PeerRunner("onnxruntime", lambda images: session.run(None, {name: images})[0], "fp32", order)


def optimum(order: CaseOrder) -> PeerRunner:
    """The class that Optimum's documentation puts in the place of transformers' own."""
    from optimum.onnxruntime import ORTModelForImageClassification

    with tempfile.TemporaryDirectory() as folder:
        _as_transformers(Path(order.model), Path(folder))
        model = ORTModelForImageClassification.from_pretrained(folder)
    return PeerRunner("optimum", lambda images: model(pixel_values=images).logits, "fp32", order)


def _as_transformers(source: Path, folder: Path) -> None:
    """Our file under the names that Optimum looks for, with transformers' configuration of a ResNet beside it."""
    import onnx
    from transformers import ResNetConfig

    model = onnx.load(source)
    old, model.graph.input[0].name = model.graph.input[0].name, "pixel_values"
    for node in model.graph.node:
        node.input[:] = ["pixel_values" if name == old else name for name in node.input]
    onnx.save(model, folder / "model.onnx")
    ResNetConfig(num_labels=1000).save_pretrained(folder)


def native_openvino(order: CaseOrder, hint: str) -> PeerRunner:
    """OpenVINO by itself, shapes fixed, as its benchmark_app does it; every calling thread has a request of its own."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(order.model)
    model.reshape([order.batch, *order.inputs[0][2][1:]])
    compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": hint})
    own = local()

    def call(images: np.ndarray) -> np.ndarray:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        return np.array(own.request.infer({0: images}, share_inputs=True, share_outputs=True)[0])

    precision = {"bf16": "bf16", "f32": "fp32"}[compiled.get_property("INFERENCE_PRECISION_HINT").to_string()]
    runner = PeerRunner(f"openvino-native-{hint.lower()}", call, precision, order)
    names = ("NUM_STREAMS", "INFERENCE_NUM_THREADS", "OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    runner.options = {name: str(compiled.get_property(name)) for name in names}
    return runner


PEERS: dict[str, Callable[[CaseOrder], PeerRunner]] = {
    "onnxruntime": plain_onnxruntime,
    "optimum": optimum,
    "openvino-native-latency": lambda order: native_openvino(order, "LATENCY"),
    "openvino-native-throughput": lambda order: native_openvino(order, "THROUGHPUT"),
}
# Our own rows: a provider of bench and its options.
ROWS: dict[str, tuple[str, Mapping[str, str]]] = {
    "openvino": ("openvino", {}),
    "cpu": ("cpu", {}),
    "torch": ("torch", {}),
    "torch-compile": ("torch-compile", {}),
    "torch-compile-bf16": ("torch-compile", {"precision": "bf16"}),
    "openvino-throughput": ("openvino", {"PERFORMANCE_HINT": "THROUGHPUT"}),
}
# The closest race side by side: what disturbs one disturbs the other.
LATENCY = (
    *("openvino", "openvino-native-latency", "cpu", "onnxruntime", "optimum"),
    *("torch", "torch-compile", "torch-compile-bf16"),
)
THROUGHPUT = ("openvino-throughput", "openvino-native-throughput")


def open_row(order: CaseOrder, card: ModelCard | None) -> tuple[Runner, float]:
    begin = time.perf_counter()
    if order.provider in PEERS:
        return PEERS[order.provider](order), time.perf_counter() - begin
    name = order.provider
    runner, seconds = open_runner(replace(order, provider=ROWS[name][0]), card)
    runner.provider = name
    return runner, seconds


def planned(model: Path, options: BenchOptions, only: list[str]) -> list[RunningCase]:
    looked = look_into(model)
    return [
        RunningCase(
            plan=PlannedCase(
                model=looked, provider=name, batch=batch, options=dict(ROWS[name][1]) if name in ROWS else {}
            ),
            options=replace(options, concurrency=callers),
        )
        for batch in options.batches or ()
        for callers, names in ((1, LATENCY), (CALLERS, THROUGHPUT))
        for name in names
        if not only or name in only
    ]


def ratio_of(ours: BenchCase, peer: BenchCase) -> tuple[float, float, float] | None:
    """How many times as many images a second ours gets through, and its interval, as `resnetx compare` finds it."""
    contrast = contrast_rounds(valid_rounds(ours), valid_rounds(peer), paired=True)
    return None if contrast is None else (contrast.ratio, contrast.low, contrast.high)


def show(cases: tuple[BenchCase, ...]) -> list[dict[str, Any]]:
    rows = []
    for batch in dict.fromkeys(case.batch for case in cases):
        for kind, callers in (("latency", 1), ("throughput", CALLERS)):
            here = [case for case in cases if (case.batch, case.concurrency) == (batch, callers)]
            best = next((case for case in here if case.provider == OURS[kind] and case.status == "ok"), None)
            print(f"\nbatch {batch}, {callers} caller{'s' * (callers > 1)}")
            for case in here:
                rows.append(_row(case, best))
                print(_line(rows[-1]))
    return rows


def _row(case: BenchCase, best: BenchCase | None) -> dict[str, Any]:
    figures = summarize(case, None)
    return {
        "row": case.provider,
        "batch": case.batch,
        "callers": case.concurrency,
        "precision": case.effective_precision,
        "median_ms": figures.median_ms,
        "images_per_s": figures.images_per_s,
        "ratio": ratio_of(best, case) if best and case.status == "ok" else None,
        "parity": None if case.parity is None else case.parity.get("passed"),
        "error": case.error,
    }


def _line(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return f"  {row['row']:27} {row['error'][:90]}"
    ratio = "" if row["ratio"] is None else "ours / this {:.3f} [{:.3f}, {:.3f}]".format(*row["ratio"])
    agrees = {True: "agrees", False: "DISAGREES", None: "not verified"}[row["parity"]]
    figures = f"{row['median_ms']:8.2f} ms {row['images_per_s']:7.1f} img/s"
    return f"  {row['row']:27} {row['precision']:5} {figures}  {ratio}  {agrees}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--batch", default="1,8")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of timing for each row")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="", help="some of the rows, by name: " + ", ".join((*LATENCY, *THROUGHPUT)))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    options = BenchOptions(
        batches=tuple(int(size) for size in arguments.batch.split(",")),
        duration_s=arguments.duration,
        rounds=arguments.rounds,
    )
    worker, only = (sys.executable, __file__, "--row"), [name for name in arguments.only.split(",") if name]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        resnetx.export(resnetx.resnet_config(arguments.depth), model, verify=False)
        with watch_benchmark() as watch:
            result = run_cases(planned(model, options, only), options, watch=watch, worker=worker)
    print(f"ResNet-{arguments.depth}, {result.machine.get('processor')}, {options.threads_in_force()} threads")
    for warning in dict.fromkeys(warning for case in result.cases for warning in case.warnings):
        print(f"  {warning}")
    rows = show(result.cases)
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": rows, "benchmark": result.to_json()}) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--row"]:
        serve(open_row)
    else:
        main()
