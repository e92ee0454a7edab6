"""resnetx compared with its alternatives in one interleaved run: latency at batch 1 and 8, and throughput.

    make peers                                             # sets up .venv-peers, which holds the peers, and runs this
    python benchmarks/peers.py [--depth 50] [--batch 1,8] [--duration 10] [--rounds 20] [--json FILE]

Every row is a separate process, opened with the API that its users call, fed the same host arrays and compared with
PyTorch in float64. Ratios are our images per second over the peer's, so above 1 ours is faster, with the interval that
`compare` reports. Latency is measured with one caller; throughput with two, each with its own request, for which
OpenVINO's throughput hint is intended. The weights are random, and all INT8 files are calibrated on the same synthetic
images, so that INT8 rows tell speeds, and whether a file computes what it should, but nothing of accuracy.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from peer_files import FLOAT, OURS, OURS_PIXELS, TOOLS, make_files
from peer_runners import PEERS

from resnetx.base.precisions import SessionPrecision
from resnetx.benchmark.case import RunningCase
from resnetx.benchmark.comparison.ratio import contrast_processes
from resnetx.benchmark.options import BenchOptions, resolved
from resnetx.benchmark.plan import BenchModel, PlannedCase, look_into
from resnetx.benchmark.result import BenchCase
from resnetx.benchmark.run import bench_steps, run_cases
from resnetx.benchmark.samples import valid_processes
from resnetx.benchmark.worker import CaseOrder, open_case
from resnetx.benchmark.worker import main as serve
from resnetx.cli.progress import show_progress
from resnetx.graph.card import ModelCard
from resnetx.graph.inspection.inspect import ValueInfo
from resnetx.machine.facts import read_processor
from resnetx.runtime.runner import Runner

BF16 = {"avx512_bf16", "amx_bf16", "bf16"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """Ours has a `provider` of `bench`; a peer has its name in PEERS, and may need a file that its tool `made`."""

    name: str
    provider: str = ""
    file: str = FLOAT
    precision: SessionPrecision = "default"
    options: Mapping[str, str] = field(default_factory=dict)
    made: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rows of one kind, so that a lower precision is not reported as higher speed. The first is ours.

    The closest competitors are adjacent, so that a disturbance affects both.
    """

    title: str
    rows: tuple[Row, ...]
    callers: int = 1


NNCF, NNCF_ONNX, ORT = TOOLS["nncf-openvino"], TOOLS["nncf-onnx"], TOOLS["onnxruntime"]
COMPARISONS = (
    Comparison(
        title="fp32",
        rows=(
            Row(name="openvino", provider="openvino", precision="fp32"),
            Row(name="openvino-native-latency"),
            Row(name="cpu", provider="cpu"),
            Row(name="onnxruntime"),
            Row(name="optimum"),
            Row(name="torch", provider="torch"),
            Row(name="torch-compile", provider="torch-compile"),
        ),
    ),
    Comparison(
        title="bf16",
        rows=(
            Row(name="openvino-bf16", provider="openvino", precision="bf16"),
            Row(name="openvino-native-bf16", precision="bf16"),
            Row(name="torch-bf16", provider="torch", precision="bf16"),
            Row(name="torch-compile-bf16", provider="torch-compile", precision="bf16"),
        ),
    ),
    Comparison(
        title="INT8 on OpenVINO",
        rows=(
            Row(name="openvino-int8", provider="openvino", file=OURS["openvino"]),
            Row(name="nncf-openvino-int8", made=NNCF),
            Row(name="nncf-onnx-int8", made=NNCF_ONNX),
        ),
    ),
    Comparison(
        title="INT8 on ONNX Runtime's cpu provider",
        rows=(Row(name="cpu-int8", provider="cpu", file=OURS["cpu"]), Row(name="onnxruntime-int8", made=ORT)),
    ),
    Comparison(
        title="INT8 from pixels to the five best classes, on OpenVINO",
        rows=(
            Row(name="openvino-int8-pixels", provider="openvino", file=OURS_PIXELS["openvino"]),
            Row(name="nncf-openvino-int8-numpy", file=OURS_PIXELS["openvino"], made=NNCF),
        ),
    ),
    Comparison(
        title="INT8 from pixels to the five best classes, on ONNX Runtime's cpu provider",
        rows=(
            Row(name="cpu-int8-pixels", provider="cpu", file=OURS_PIXELS["cpu"]),
            Row(name="onnxruntime-int8-numpy", file=OURS_PIXELS["cpu"], made=ORT),
        ),
    ),
    Comparison(
        title="fp32",
        rows=(
            Row(
                name="openvino-throughput",
                provider="openvino",
                precision="fp32",
                options={"PERFORMANCE_HINT": "THROUGHPUT"},
            ),
            Row(name="openvino-native-throughput"),
        ),
        callers=2,
    ),
)


def open_row(order: CaseOrder, card: ModelCard | None) -> Runner:
    if order.provider not in PEERS:
        return open_case(order, card)
    begin = time.perf_counter()
    runner = PEERS[order.provider](order)
    runner.facts = replace(runner.facts, opened_s=time.perf_counter() - begin)
    return runner


def why_not(row: Row, problems: Mapping[str, str], instructions: Collection[str]) -> str | None:
    """Why a row cannot run here: its file could not be made, or the processor would emulate its precision."""
    if row.precision == "bf16" and not BF16 & set(instructions):
        return "this processor has no instructions for bf16"
    return problems.get(row.made) or problems.get(row.file)


def planned(row: Row, model: BenchModel, batch: int, options: BenchOptions) -> RunningCase:
    if not row.provider and model.card is not None and model.card.output != "logits":
        # NumPy makes the five best classes of a peer's logits, which are what is verified.
        card = replace(model.card, output="logits")
        shape = (None, model.card.classes)
        model = replace(model, card=card, outputs=(ValueInfo(name="logits", type="float32", shape=shape),))
    plan = PlannedCase(model=model, provider=row.provider or row.name, batch=batch, options=dict(row.options))
    return RunningCase(plan=plan, options=options, name=row.name)


def ratio_of(ours: BenchCase, peer: BenchCase) -> tuple[float, float, float] | None:
    """Our images per second over the peer's, with the interval of `resnetx compare`."""
    contrast = contrast_processes(valid_processes(ours), valid_processes(peer), paired=True)
    return None if contrast is None else (contrast.ratio, contrast.low, contrast.high)


def result_rows(
    cases: Mapping[tuple[int, str], BenchCase],
    batches: Sequence[int],
    shown: Sequence[Comparison],
    why: Mapping[str, str],
) -> list[dict[str, Any]]:
    """A row for each case, by batch and name, and for each that could not run, by its name in `why`."""
    rows = []
    for batch in batches:
        for comparison in shown:
            best = cases.get((batch, comparison.rows[0].name))
            for row in comparison.rows:
                about = {"row": row.name, "batch": batch, "callers": comparison.callers, "kind": comparison.title}
                case = cases.get((batch, row.name))
                rows.append(about | ({"error": why[row.name]} if case is None else _figures(case, best)))
    return rows


def _figures(case: BenchCase, best: BenchCase | None) -> dict[str, Any]:
    works = case.status == "ok"
    return {
        "precision": case.effective_precision,
        "median_ms": case.summary.median_ms,
        "images_per_s": case.summary.images_per_s,
        "ratio": ratio_of(best, case) if works and best and best.status == "ok" else None,
        "parity": None if case.parity is None else case.parity.passed,
        "error": case.error,
    }


def lines_of(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    head = None
    for row in rows:
        callers = f"{row['callers']} caller{'s' * (row['callers'] > 1)}"
        if head != (head := (row["batch"], row["kind"], row["callers"])):
            yield f"\nbatch {row['batch']}, {callers}, {row['kind']}"
        yield _line(row)


def _line(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return f"  {row['row']:27} {row['error'][:90]}"
    ratio = "" if row["ratio"] is None else "ours / this {:.3f} [{:.3f}, {:.3f}]".format(*row["ratio"])
    agrees = {True: "agrees", False: "DISAGREES", None: "not verified"}[row["parity"]]
    figures = f"{row['median_ms']:8.2f} ms {row['images_per_s']:7.1f} img/s"
    return f"  {row['row']:27} {row['precision']:5} {figures}  {ratio}  {agrees}"


def chosen(only: Collection[str]) -> list[Comparison]:
    found = [
        replace(each, rows=tuple(row for row in each.rows if not only or row.name in only)) for each in COMPARISONS
    ]
    return [each for each in found if each.rows]


def main() -> None:
    names = ", ".join(row.name for comparison in COMPARISONS for row in comparison.rows)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--batch", default="1,8")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of timing for each row")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--processes", type=int, help="of each row, one after another")
    parser.add_argument("--samples", type=int, default=256, help="synthetic images to calibrate INT8 on")
    parser.add_argument("--only", default="", help=f"only these rows, by name: {names}")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    options = resolved(
        BenchOptions(
            batches=tuple(int(size) for size in arguments.batch.split(",")),
            duration_s=arguments.duration,
            rounds=arguments.rounds,
            processes=arguments.processes,
        )
    )
    batches = options.batches or ()
    shown = chosen([name for name in arguments.only.split(",") if name])
    rows = [row for comparison in shown for row in comparison.rows]
    with tempfile.TemporaryDirectory() as place, show_progress(timed=True) as watch:
        steps = bench_steps(watch, options)
        steps.begin("making the files")
        folder, needed = Path(place), {name for row in rows for name in (row.file, row.made)}
        problems = make_files(folder, arguments.depth, arguments.samples, needed, steps.detail)
        instructions = read_processor().instruction_sets
        why = {row.name: reason for row in rows if (reason := why_not(row, problems, instructions))}
        looked = {name: look_into(folder / name) for name in {row.file for row in rows if row.name not in why}}
        cases = {
            (batch, row.name): planned(
                row,
                looked[row.file],
                batch,
                replace(options, concurrency=comparison.callers, precision=row.precision),
            )
            for batch in batches
            for comparison in shown
            for row in comparison.rows
            if row.name not in why
        }
        worker = (sys.executable, __file__, "--row")
        result = run_cases([*cases.values()], options, watch=watch, steps=steps, worker=worker)
    print(f"ResNet-{arguments.depth}, {result.machine.get('processor')}, {options.threads} threads")
    for warning in dict.fromkeys(warning for case in result.cases for warning in case.warnings):
        print(f"  {warning}")
    found = result_rows(dict(zip(cases, result.cases, strict=True)), batches, shown, why)
    print("\n".join(lines_of(found)))
    if arguments.json:
        arguments.json.write_text(json.dumps({"rows": found, "benchmark": result.to_json()}) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--row"]:
        serve(open_row)
    else:
        main()
