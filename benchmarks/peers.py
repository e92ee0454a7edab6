"""resnetx compared with its alternatives in one interleaved run: latency at batch 1 and 8, and throughput.

    make peers                                             # sets up .venv-peers, which holds the peers, and runs this
    python benchmarks/peers.py [--depth 50] [--batch 1,8] [--duration 10] [--rounds 20] [--json FILE]

Every row is a separate process, opened with the API that its users call, fed the same host arrays and compared with
PyTorch in float64. Ratios are our images per second over the peer's, so above 1 ours is faster, with the interval that
`compare` reports. Latency is measured with one caller; throughput with two, each with its own request, for which
OpenVINO's throughput hint is intended.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import local
from typing import Any

import numpy as np

import resnetx
from resnetx.benchmark.case import RunningCase
from resnetx.benchmark.comparison.ratio import contrast_processes
from resnetx.benchmark.options import BenchOptions, resolved
from resnetx.benchmark.plan import PlannedCase, look_into
from resnetx.benchmark.result import BenchCase
from resnetx.benchmark.run import run_cases
from resnetx.benchmark.samples import valid_processes
from resnetx.benchmark.worker import CaseOrder, open_case, opening_of
from resnetx.benchmark.worker import main as serve
from resnetx.cli.live_view import watch_benchmark
from resnetx.graph.card import ModelCard
from resnetx.runtime.runner import Call, Facts, Feeds, Runner

CALLERS = 2
# Our row in each comparison. It is of the same kind, so that a lower precision is not reported as higher speed.
OURS = {"latency": "openvino", "throughput": "openvino-throughput"}


class PeerRunner(Runner):
    """A peer's own call behind the harness's interface."""

    def __init__(
        self,
        name: str,
        call: Callable[[np.ndarray], np.ndarray],
        precision: str,
        order: CaseOrder,
        options: Mapping[str, str] | None = None,
    ) -> None:
        opening = opening_of(order)
        super().__init__(
            Facts(
                provider=name,
                inputs=opening.inputs,
                outputs=opening.outputs,
                placement=((name, 1),),
                effective_precision=precision,
                options=options or {},
            )
        )
        self._call = call

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        return {self.outputs[0].name: self._call(feeds[self.inputs[0].name])}

    def bind(self, feeds: Feeds) -> Call:
        return partial(self.run, feeds)

    def close(self) -> None:
        del self._call


def plain_onnxruntime(order: CaseOrder) -> PeerRunner:
    import onnxruntime as ort

    session = ort.InferenceSession(order.model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return PeerRunner("onnxruntime", lambda images: session.run(None, {name: images})[0], "fp32", order)


def optimum(order: CaseOrder) -> PeerRunner:
    """The class that Optimum's documentation recommends instead of that of transformers."""
    from optimum.onnxruntime import ORTModelForImageClassification

    with tempfile.TemporaryDirectory() as folder:
        _as_transformers(Path(order.model), Path(folder))
        model = ORTModelForImageClassification.from_pretrained(folder)
    return PeerRunner("optimum", lambda images: model(pixel_values=images).logits, "fp32", order)


def _as_transformers(source: Path, folder: Path) -> None:
    """Save our file under the names that Optimum expects, with transformers' configuration of a ResNet."""
    import onnx
    from transformers import ResNetConfig

    model = onnx.load(source)
    old, model.graph.input[0].name = model.graph.input[0].name, "pixel_values"
    for node in model.graph.node:
        node.input[:] = ["pixel_values" if name == old else name for name in node.input]
    onnx.save(model, folder / "model.onnx")
    ResNetConfig(num_labels=1000).save_pretrained(folder)


def native_openvino(order: CaseOrder, hint: str) -> PeerRunner:
    """OpenVINO without ONNX Runtime, with static shapes as in its benchmark_app; each calling thread has a request."""
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
    names = ("NUM_STREAMS", "INFERENCE_NUM_THREADS", "OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    options = {name: str(compiled.get_property(name)) for name in names}
    return PeerRunner(f"openvino-native-{hint.lower()}", call, precision, order, options)


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
# The closest competitors are adjacent, so that a disturbance affects both.
LATENCY = (
    *("openvino", "openvino-native-latency", "cpu", "onnxruntime", "optimum"),
    *("torch", "torch-compile", "torch-compile-bf16"),
)
THROUGHPUT = ("openvino-throughput", "openvino-native-throughput")


def open_row(order: CaseOrder, card: ModelCard | None) -> Runner:
    begin, name = time.perf_counter(), order.provider
    if name in PEERS:
        runner: Runner = PEERS[name](order)
        runner.facts = replace(runner.facts, opened_s=time.perf_counter() - begin)
    else:
        runner = open_case(replace(order, provider=ROWS[name][0]), card)
        runner.provider = name
    return runner


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
    """Our images per second over the peer's, with the interval of `resnetx compare`."""
    contrast = contrast_processes(valid_processes(ours), valid_processes(peer), paired=True)
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
    figures = case.summary
    return {
        "row": case.provider,
        "batch": case.batch,
        "callers": case.concurrency,
        "precision": case.effective_precision,
        "median_ms": figures.median_ms,
        "images_per_s": figures.images_per_s,
        "ratio": ratio_of(best, case) if best and case.status == "ok" else None,
        "parity": None if case.parity is None else case.parity.passed,
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
    parser.add_argument("--only", default="", help="only these rows, by name: " + ", ".join((*LATENCY, *THROUGHPUT)))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    options = resolved(
        BenchOptions(
            batches=tuple(int(size) for size in arguments.batch.split(",")),
            duration_s=arguments.duration,
            rounds=arguments.rounds,
        )
    )
    worker, only = (sys.executable, __file__, "--row"), [name for name in arguments.only.split(",") if name]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        resnetx.export(resnetx.resnet_config(arguments.depth), model, verify=False)
        with watch_benchmark() as watch:
            result = run_cases(planned(model, options, only), options, watch=watch, worker=worker)
    print(f"ResNet-{arguments.depth}, {result.machine.get('processor')}, {options.threads} threads")
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
