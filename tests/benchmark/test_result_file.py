"""Files of benchmarks that anyone may have written: whatever stands where, they are refused, or can be shown whole."""

import copy
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from resnetx.benchmark.comparison.compare import compare
from resnetx.benchmark.loadgen.result import LoadResult, LoadRun, Probe
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.result import AgainstRun, BenchCase, Benchmark, ColdStart, Limits, Verdict
from resnetx.benchmark.result_file import read_benchmark
from resnetx.benchmark.summary import summarized
from resnetx.errors import FileError, ResnetxError
from resnetx.report.bench import render_bench
from resnetx.report.comparison import render_comparison
from resnetx.report.html.page import render_html
from tests.support.sample_benchmark import sample_parity

ROUNDS = [[10.0 + 0.1 * (-1) ** number, 11.0, 10.5] for number in range(6)]
FULL = BenchCase(
    model="m.onnx",
    provider="cuda",
    batch=8,
    threads=2,
    options={"intra_op_num_threads": "2"},
    provider_options={"use_tf32": "0"},
    model_sha256="0" * 64,
    fallback="libcudart.so.13 is missing",
    placement=[("cpu", 120), ("other", 3)],
    parity=sample_parity(8, passed=False),
    cold=ColdStart(session_s=0.5, first_run_ms=12.0),
    macs=10**9,
    samples_ms=ROUNDS,
    peak_memory_mb=400.0,
    gpu_memory_mb=900.0,
    energy_j=12.5,
    warnings=["Samples drift."],
)
SERVER = LoadResult(
    scenario="server",
    duration_s=10.0,
    run=LoadRun(
        valid=False,
        queries=400,
        samples_per_s=39.0,
        percentiles_ms={"p50": 9.0, "p99": 14.0},
        reasons=["too short"],
        rate=40.0,
        bound_kept=True,
        samples_ms=[9.0, 14.0],
    ),
    latency_bound_ms=15.0,
    searched=True,
    probes=[Probe(rate=40.0, kept=True, p99_ms=14.0)],
    unofficial="unofficial: 10 s of 600 s",
)
RUN = Benchmark(
    created="then",
    machine={"processor": "A", "cores": 2, "gpus": [{"name": "G"}], "versions": {"onnxruntime": "1.31.1"}},
    limits=Limits(threads=2, fp32_gflops=370.0, bf16_gflops=2500.0, int8_gops=3700.0, bandwidth_gb_s=20.0),
    cases=(
        FULL,
        replace(FULL, provider="torch", fallback=None, parity=Verdict(reason="it could not be computed")),
        replace(FULL, provider="cpu", status="failed", error="it crashed", samples_ms=[], cold=None, parity=None),
        replace(FULL, provider="openvino", samples_ms=[], load=SERVER),
    ),
    settings=BenchOptions(percentiles=(50, 90), rounds=6, batches=(8,), provider_options={"use_tf32": "0"}),
    base_cases=(FULL,),
    limits_problem="it crashed",
    interleaved_with="then",
    against=AgainstRun(file="base.json", notes=("it is not here any more",)),
)
RUN = summarized(RUN)
WHOLE = json.loads(json.dumps(RUN.to_json()))
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**19, -(10**400), 1e308, 5e-324, float("nan"), float("inf"), float("-inf")]),
    st.text(max_size=5),
    st.sampled_from(["\x1b[31m", "<b>", "device", "\ud800"]),
    st.recursive(
        st.none() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=4,
    ),
)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every node below the root."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


def changed(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    data: dict[str, Any] = copy.deepcopy(WHOLE)
    node: Any = data
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return data


def show(run: Benchmark) -> None:
    """Everything that is made of a benchmark."""
    console = Console(width=80, file=io.StringIO())
    console.print(render_bench(run))
    render_html(run)
    for old, new in ((run, run), (RUN, run), (run, RUN)):
        try:
            comparison = compare(old, new, any_machine=True)
        except ResnetxError:
            continue
        console.print(render_comparison(comparison))
        render_html(run, comparison)


@given(path=st.sampled_from(list(places(WHOLE))), value=JUNK)
@settings(max_examples=150, deadline=None)
def test_junk_anywhere_is_refused_by_name_or_can_be_shown(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[Any, ...], value: object
) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzzed.json"
    file.write_text(json.dumps(changed(path, value)))
    try:
        run = read_benchmark(file)
    except FileError as error:
        assert "fuzzed.json" in str(error)
        return
    show(run)


def test_a_whole_file_is_read_back_and_shown(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(WHOLE))
    run = read_benchmark(file)
    assert run == RUN
    show(run)


# As `resnetx bench --json` wrote it before settings were the plan.
VERSION_1 = {
    "schema": "resnetx.bench/1",
    "created": "2026-03-01T12:00:00+00:00",
    "machine": {"processor": "A"},
    "limits": {"threads": 2, "fp32_gflops": 370.0},
    "cases": [
        {
            **{"model": "m.onnx", "provider": "cpu", "batch": 1, "threads": 2, "samples_ms": [[2.0, 4.0]] * 5},
            "parity": {"reference": "PyTorch in float64", **WHOLE["cases"][0]["parity"]},
            "latency_ms": {"median": 3.0},
        },
        {
            **{"model": "f.onnx", "provider": "cpu", "batch": 1, "threads": 2, "samples_ms": [[2.0]]},
            "parity": {"reference": None, "reason": "the file has no card"},
        },
    ],
    "settings": {
        **{"providers": ["cpu"], "batches": None, "rounds": None, "duration_s": 5.0, "percentiles": [50, 75]},
        **{"limits_problem": None, "interleaved_with": "before", "against": {"file": "b.json", "notes": ["x"]}},
    },
}


def test_a_file_of_the_first_version_is_read(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text(json.dumps(VERSION_1))
    run = read_benchmark(file)
    first, second = run.cases
    assert first.parity is not None and not first.parity.passed and first.parity.checks[0].multiple == 412.0
    assert second.parity == Verdict(reason="the file has no card")
    assert first.summary.median_ms == 3.0 and list(first.summary.percentiles_ms or {}) == ["p50", "p75"]
    assert run.settings == BenchOptions(providers=("cpu",), duration_s=5.0, percentiles=(50, 75), processes=1)
    assert run.interleaved_with == "before" and run.against == AgainstRun(file="b.json", notes=("x",))
    show(run)
    for schema in ("resnetx.bench/4", None, 3, ["resnetx.bench/3"], {"resnetx.bench/3": 1}):
        file.write_text(json.dumps(VERSION_1 | {"schema": schema}))
        with pytest.raises(FileError, match=f"has the schema {re.escape(repr(str(schema)))}"):
            read_benchmark(file)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("cases", 0, "samples_ms", 2, 1), -1.0, "case 1: samples_ms"),
        (("cases", 0, "samples_ms", 2, 1), float("nan"), "case 1: samples_ms"),
        (("cases", 0, "options", "intra_op_num_threads"), 2, "case 1: options"),
        (("cases", 0, "provider_options"), ["a=1"], "case 1: provider_options"),
        (("cases", 0, "placement", 0, 1), -3, "case 1: placement"),
        (("cases", 0, "parity", "checks", 0, "passed"), "yes", "case 1: parity"),
        (("cases", 0, "parity"), "yes", "case 1: parity"),
        (("cases", 0, "parity", "checks", 0, "multiple"), [], "case 1: parity"),
        (("cases", 0, "cold", "session_s"), "long", "case 1: cold"),
        (("cases", 0, "cold"), {"session_s": 1.0}, "not a benchmark"),
        (("cases", 0, "peak_memory_mb"), "much", "case 1: peak_memory_mb"),
        (("cases", 0, "warnings", 0), {}, "case 1: warnings"),
        (("cases", 0, "model_sha256"), 7, "case 1: model_sha256"),
        (("base_cases", 0, "batch"), 0, "base case 1: batch"),
        (("base_cases",), 3, "not a benchmark"),
        (("machine",), [["cores", 2]], "not a benchmark"),
        (("settings",), "none", "not a benchmark"),
        (("settings", "percentiles"), [1] * 101, "settings: percentiles"),
        (("settings", "rounds"), "many", "settings: rounds"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, path: tuple[Any, ...], value: object, said: str) -> None:
    file = tmp_path / "strange.json"
    file.write_text(json.dumps(changed(path, value)))
    with pytest.raises(FileError) as refusal:
        read_benchmark(file)
    assert said in str(refusal.value) and "strange.json" in str(refusal.value)


@pytest.mark.parametrize("place", ["machine", "settings"])
def test_what_nests_without_end_is_refused(tmp_path: Path, place: str) -> None:
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    file = tmp_path / "deep.json"
    file.write_text(json.dumps(changed((place, "cores" if place == "machine" else "batches"), deep)))
    with pytest.raises(FileError, match=f"{place}.* has an invalid value"):
        read_benchmark(file)
