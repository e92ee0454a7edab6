"""A provider's outputs beside PyTorch's in float64, on every way to run a model on a GPU.

    python benchmarks/gpu_parity.py fp32.onnx fp16.onnx --json parity.json

For each file and batch size: between host arrays and with arrays on the device, without and with a CUDA graph; for
float32 files in TF32 and, in a process of its own, in true float32. A batch of every size is run with two different
inputs, and one of them twice, through the same session. Where it runs in TF32 it is also compared as if it were
float32, which must fail: a check that passes everything would be no check. Exit status 1 if anything is not as it
should be.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from resnetx.benchmark.messages import TruthOrder
from resnetx.benchmark.reference_files import write_truths
from resnetx.errors import ResnetxError
from resnetx.graph.card import ModelCard, read_card
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.runtime.catalog import engine_of, find_provider, open_runner, scoped_options
from resnetx.runtime.file_precision import stored_precision
from resnetx.runtime.ort.nvidia_providers import TF32_OVERRIDE
from resnetx.runtime.runner import Opening, Runner
from resnetx.verification.golden import read_golden
from resnetx.verification.judge import file_logits, judge
from resnetx.verification.parity import Parity
from resnetx.verification.references import Truth

BATCHES = (1, 2, 8, 64, 256)
# How arrays reach the model: the boundary, and whether a CUDA graph is recorded.
PATHS = {"host": ("host", False), "host-graph": ("host", True), "device": ("device", False), "graph": ("device", True)}
GRAPH_OPTIONS = {"cuda": "enable_cuda_graph", "tensorrt": "trt_cuda_graph_enable", "cudnn": "cuda_graph"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to run a file: the worst multiple of PyTorch's own error, and whether all is as it should be."""

    file: str
    provider: str
    precision: str
    boundary: str
    graph: bool
    batch: int
    multiple: float | None
    as_expected: bool
    seconds: float
    reason: str = ""

    def line(self) -> str:
        multiple = "-" if self.multiple is None else f"{self.multiple:.2f}"
        verdict = "ok" if self.as_expected else "WRONG"
        graph = "graph" if self.graph else "-"
        way = f"{self.boundary:>8}{graph:>7}{self.batch:>6}"
        cells = f"{self.file:8}{self.provider:9}{self.precision:>6}{way}{multiple:>9} {self.seconds:5.1f} s {verdict}"
        return f"{cells} {self.reason}".rstrip()


def truths(model: Path, card: ModelCard | None, batches: Sequence[int], folder: Path) -> dict[int, Truth]:
    """Two different batches of each size, with PyTorch's outputs in float64."""
    graph = read_onnx(model).graph
    precisions = ["fp32", "tf32"] if stored_precision(graph) == "fp32" else [stored_precision(graph)]
    order = TruthOrder(
        model=str(model),
        card=None if card is None else card.to_json(),
        inputs=[value.name for value in graph.input],
        batches=list(batches),
        precisions=precisions,
        folder=str(folder),
    )
    files = write_truths(order)
    if isinstance(files, str):
        raise SystemExit(files)
    found = {}
    for size, path in files.items():
        golden = read_golden(path)
        found[size] = Truth(description="PyTorch", outputs=golden.outputs, samples=golden.samples, probes=[])
    return found


def ways(provider: str, precision: str, paths: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """The precision of the session, the boundary and whether a graph is recorded."""
    gpu = find_provider(provider).gpu
    exact = os.environ.get(TF32_OVERRIDE) == "0"
    for session in (("fp32" if exact else "default"),) if precision == "fp32" and gpu else ("default",):
        for boundary, graph in (PATHS[name] for name in paths):
            if gpu or not graph:
                yield session, boundary, graph


def opening(
    provider: str, session: str, boundary: str, *, graph: bool, batch: int, options: Mapping[str, str]
) -> Opening:
    option = GRAPH_OPTIONS.get(provider)
    return Opening(
        precision=session,  # type: ignore[arg-type]
        options=({option: str(int(graph))} if option else {}) | dict(options),
        batch=batch,
        on_device=boundary == "device",
    )


def rows(
    model: Path,
    providers: Sequence[str],
    batches: Sequence[int],
    paths: Sequence[str],
    options: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Row]:
    """`options` are those of each provider."""
    onnx_model = read_onnx(model)
    card, precision = read_card(onnx_model), stored_precision(onnx_model.graph)
    with tempfile.TemporaryDirectory() as folder:
        known = truths(model, card, sorted(set(batches)), Path(folder))
    every = [(provider, *way) for provider in providers for way in ways(provider, precision, paths)]
    for provider, session, boundary, graph in every:
        engine = engine_of(find_provider(provider))
        hidden = file_logits(onnx_model, partial(open_runner, provider=provider))
        for batch in batches:
            begin = time.perf_counter()
            row = partial(Row, file=model.stem, provider=provider, boundary=boundary, graph=graph, batch=batch)
            try:
                own = (options or {}).get(provider, {})
                how = opening(provider, session, boundary, graph=graph, batch=batch, options=own)
                opened = engine.open(model, how)
                with closing(opened) as runner:
                    multiple, reason = _judged(runner, known[batch], card, hidden)
                    if session == "fp32" and runner.effective_precision != "fp32":
                        reason = f"it computes in {runner.effective_precision}"
            except ResnetxError as error:
                multiple, reason, computed = None, str(error)[:300], session
            else:
                computed = runner.effective_precision
            seconds = time.perf_counter() - begin
            yield row(precision=computed, multiple=multiple, as_expected=not reason, seconds=seconds, reason=reason)


def _judged(runner: Runner, truth: Truth, card: ModelCard | None, hidden: object) -> tuple[float | None, str]:
    """The worst multiple, and what is not as it should be."""

    def judged(precision: str) -> Parity:
        return judge(runner, truth, card, precision=precision, hidden_logits=hidden)[0]  # type: ignore[arg-type]

    parity = judged(runner.effective_precision)
    multiple = max((check.multiple or 0.0 for check in parity.checks), default=None)
    if not parity.passed:
        known = (check.reason for check in parity.checks if not check.passed and check.reason)
        return multiple, next(known, f"it differs by more than {runner.effective_precision} explains")
    if runner.effective_precision == "tf32" and judged("fp32").passed:
        return multiple, "it would pass as float32 too: the check proves nothing, or TF32 is not used"
    return multiple, ""


def in_float32(arguments: argparse.Namespace, models: Sequence[Path]) -> list[Row]:
    """The rows of a process in which nothing computes in TF32."""
    if not models:
        return []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        options = ["--provider", arguments.provider, "--path", arguments.path, "--batch", arguments.batch]
        options += ["--sessions", str(arguments.sessions)]
        options += [word for option in arguments.option for word in ("--option", option)]
        command = [sys.executable, __file__, *map(str, models), *options, "--json", str(file)]
        subprocess.run(command, env={**os.environ, TF32_OVERRIDE: "0"}, check=False)
        if not file.exists():
            raise SystemExit("the process that was to compute in float32 wrote no result")
        return [Row(**row) for row in json.loads(file.read_text())]


# Computes and copies until it is killed, and says when it has begun.
WORK = """
import sys, torch
x = torch.ones(2048, 2048, device=sys.argv[1])
(x @ x).cpu()
print("busy", flush=True)
while True:
    (x @ x).cpu()
"""


@contextmanager
def occupied(device: str) -> Iterator[None]:
    """Another process computes and copies on the device all the while."""
    with subprocess.Popen([sys.executable, "-c", WORK, device], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            if child.stdout.readline() != "busy\n":
                raise SystemExit(f"the process that was to use {device} failed")
            yield
            if child.poll() is not None:
                raise SystemExit(f"the process that was to use {device} ended too soon: nothing was proven")
        finally:
            child.kill()


def stored(model: Path) -> str:
    return stored_precision(read_onnx(model).graph)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--provider", default="cuda,cudnn")
    parser.add_argument("--path", default=",".join(PATHS), help=f"some of {','.join(PATHS)}")
    parser.add_argument("--batch", default=",".join(map(str, BATCHES)))
    parser.add_argument("--option", action="append", default=[], metavar="PROVIDER:KEY=VALUE", help="repeatable")
    parser.add_argument("--busy", action="store_true", help="while another process uses the same device")
    parser.add_argument("--sessions", type=int, default=1, help="how often each way is opened and compared")
    parser.add_argument("--json", type=Path, help="also write the rows as JSON")
    arguments = parser.parse_args()
    found: list[Row] = []
    batches, providers = [int(size) for size in arguments.batch.split(",")], arguments.provider.split(",")
    batches *= arguments.sessions
    options = scoped_options(dict(option.split("=", 1) for option in arguments.option), providers)
    gpu = any(find_provider(name).gpu for name in providers)
    exact = os.environ.get(TF32_OVERRIDE) == "0"
    if not exact and gpu:
        found += in_float32(arguments, [model for model in arguments.models if stored(model) == "fp32"])
    with occupied("cuda" if gpu else "cpu") if arguments.busy else nullcontext():
        for model in arguments.models:
            for row in rows(model, providers, batches, arguments.path.split(","), options):
                print(row.line(), flush=True)
                found.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in found], indent=2) + "\n")
    wrong = sum(not row.as_expected for row in found)
    print(f"{len(found)} ways to run, {wrong} not as they should be")
    sys.exit(1 if wrong or not found else 0)


if __name__ == "__main__":
    main()
