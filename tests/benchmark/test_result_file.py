"""Files of benchmarks that anyone may have written: whatever stands where, they are refused, or can be shown whole."""

import copy
import io
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from resnetx.benchmark.comparison.compare import compare
from resnetx.benchmark.loadgen.result import LoadResult, LoadRun, Probe
from resnetx.benchmark.result import BenchCase, Benchmark, ColdStart, Limits
from resnetx.benchmark.result_file import CHECKS, read_benchmark
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
        replace(FULL, provider="torch", fallback=None, parity={"reference": None, "reason": "there is no card"}),
        replace(FULL, provider="cpu", status="failed", error="it crashed", samples_ms=[], cold=None, parity=None),
        replace(FULL, provider="openvino", samples_ms=[], load=SERVER),
    ),
    settings={"percentiles": [50, 90], "rounds": 6, "interleaved_with": "then", "limits_problem": None, "verify": True},
    base_cases=(FULL,),
)
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


def test_every_field_of_a_case_is_checked() -> None:
    assert set(CHECKS) == {item.name for item in fields(BenchCase)}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("cases", 0, "samples_ms", 2, 1), -1.0, "case 1: samples_ms"),
        (("cases", 0, "samples_ms", 2, 1), float("nan"), "case 1: samples_ms"),
        (("cases", 0, "options", "intra_op_num_threads"), 2, "case 1: options"),
        (("cases", 0, "provider_options"), ["a=1"], "case 1: provider_options"),
        (("cases", 0, "placement", 0, 1), -3, "case 1: placement"),
        (("cases", 0, "parity", "passed"), "yes", "case 1: parity"),
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
    file.write_text(json.dumps(changed((place, "cores"), deep)))
    with pytest.raises(FileError, match=f"{place} has an impossible value"):
        read_benchmark(file)
