"""`resnetx bench --scenario`: MLPerf's LoadGen around a real session, the search for a rate, and what people see."""

import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import resnetx
from resnetx.base.vocabulary import Scenario
from resnetx.benchmark import run as benchmarking
from resnetx.benchmark.comparison.compare import compare
from resnetx.benchmark.loadgen import options
from resnetx.benchmark.loadgen.result import (
    MOST_SAMPLES,
    LoadResult,
    LoadRun,
    Probe,
    highest_rate,
    least_queries,
    sustained,
    thinned,
    unofficial,
)
from resnetx.benchmark.loadgen.session import Load
from resnetx.benchmark.loadgen.system_under_test import Feeder, System
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.result import BenchCase, Benchmark
from resnetx.benchmark.result_file import parse_benchmark
from resnetx.benchmark.run import interrupted, passed, run_benchmark
from resnetx.benchmark.summary import summarize, summarized
from resnetx.errors import FileError, UsageError
from resnetx.report.bench import render_bench
from resnetx.report.bench_rows import bench_rows
from resnetx.report.html.page import render_html
from resnetx.report.rerun_command import bench_command
from resnetx.runtime.catalog import open_runner
from tests.cli.test_main import run
from tests.conftest import TINY_SIZE, tiny_config
from tests.support import fake_load_worker as fake
from tests.support.onnx_models import small_classifier
from tests.support.sample_benchmark import sample_benchmark
from tests.support.watching import interrupting_when

needs_loadgen = pytest.mark.skipif(
    find_spec(options.PACKAGE) is None, reason="mlcommons_loadgen is not installed: pip install 'resnetx[loadgen]'"
)
RAISING = (sys.executable, "-P", "-W", "ignore", str(Path(fake.__file__).with_name("raising_bench_worker.py")))
FAKE = (sys.executable, str(Path(fake.__file__)))
QUICK = BenchOptions(providers=("cpu",), duration_s=0.2, warmup=1, threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("load")
    assert resnetx.export(tiny_config(), folder / "ours.onnx", image_size=TINY_SIZE).passed
    (folder / "foreign.onnx").write_bytes(small_classifier())
    (folder / "fixed.onnx").write_bytes(small_classifier(batch=4))
    return folder


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarking, "measured_limits", lambda *_, **__: None)


def traffic(scenario: Scenario, **changes: Any) -> BenchOptions:
    return replace(QUICK, scenario=scenario, **changes)


def loaded(case: BenchCase) -> LoadResult:
    assert case.status == "ok" and case.error is None, case.error
    assert case.load is not None
    return case.load


def shown(benchmark: Benchmark) -> str:
    console = Console(width=80, file=io.StringIO())
    console.print(render_bench(benchmark))
    text = str(console.file.getvalue())  # type: ignore[attr-defined]
    assert all(len(line) <= 80 for line in text.splitlines())
    return " ".join(text.split())


@needs_loadgen
@pytest.mark.parametrize(
    ("scenario", "provider"),
    [("single-stream", "cpu"), ("multi-stream", "openvino"), ("offline", "cpu"), ("offline", "openvino")],
)
def test_what_loadgen_played_on_is_what_is_verified(folder: Path, scenario: Scenario, provider: str) -> None:
    result = run_benchmark([folder / "ours.onnx", folder / "fixed.onnx"], traffic(scenario, providers=(provider,)))
    assert passed(result) and len(result.cases) == 2
    for case in result.cases:
        load = loaded(case)
        assert case.samples_ms == [] and case.peak_memory_mb is not None and case.peak_memory_mb > 10
        assert load.scenario == scenario and load.figure is not None and load.figure > 0
        assert load.run.samples_per_s is not None and load.run.samples_per_s > 0
        assert load.run.queries >= least_queries(scenario, 0.2)
        assert load.unofficial is not None and load.unofficial.startswith("unofficial: 0.2 s of 600 s")
        if scenario == "offline":
            assert load.figure == load.run.samples_per_s and not load.run.samples_ms
        else:
            name = "p90" if scenario == "single-stream" else "p99"
            assert load.figure == load.run.percentiles_ms[name]
            assert len(load.run.samples_ms) == min(load.run.queries, len(thinned([0.0] * load.run.queries)))
            low, high = np.quantile(load.run.samples_ms, [0, 1])
            assert low <= load.run.percentiles_ms["p50"] <= high
    ours, fixed = result.cases
    assert ours.parity is not None and ours.parity.passed
    assert (ours.batch, fixed.batch) == ({"single-stream": 1}.get(scenario, 8), 4)
    assert parse_benchmark(json.dumps(result.to_json()), source="x").cases == result.cases


@needs_loadgen
def test_a_rate_that_is_given_is_run_and_judged(folder: Path) -> None:
    options = traffic("server", target_qps=100.0, latency_bound_ms=1000.0)
    result = run_benchmark([folder / "foreign.onnx"], replace(options, concurrency=2))
    load = loaded(result.cases[0])
    assert passed(result) and load.kept and load.run.bound_kept
    assert load.figure == 100.0 and not load.searched and not load.probes
    # So few queries: LoadGen itself is not sure of their 99th percentile, and that is said.
    assert not load.run.valid and "not certain enough" in shown(result)
    late = run_benchmark([folder / "foreign.onnx"], traffic("server", target_qps=300.0, latency_bound_ms=1e-3))
    load = loaded(late.cases[0])
    assert not passed(late) and load.run.bound_kept is False and not load.run.valid
    assert load.figure == 300.0 and load.score is None
    assert "MISSED" in shown(late) and "INVALID" in shown(late) and "the bound is 0.001 ms" in shown(late)


@needs_loadgen
def test_the_highest_rate_is_found_and_confirmed_by_a_run(folder: Path) -> None:
    options = replace(traffic("server", latency_bound_ms=200.0), duration_s=0.05)
    result = run_benchmark([folder / "ours.onnx"], options)
    load = loaded(result.cases[0])
    assert load.searched and len(load.probes) >= 2
    assert passed(result) is load.kept
    assert load.probes[-1].rate == load.run.rate and load.probes[-1].kept is load.kept
    assert load.figure == (load.run.rate if load.kept else None)
    none = run_benchmark([folder / "ours.onnx"], traffic("server", latency_bound_ms=1e-3))
    load = loaded(none.cases[0])
    assert load.figure is None and not load.kept and not passed(none)
    assert not any(probe.kept for probe in load.probes)
    assert "No rate was found that keeps p99 within 0.001 ms" in shown(none)


@needs_loadgen
def test_a_runner_that_fails_in_a_callback_fails_its_case_at_once(folder: Path) -> None:
    """Ten minutes of traffic are asked for; the failure comes in the first second of them."""
    for scenario in ("single-stream", "server"):
        options = replace(traffic(scenario, **({"target_qps": 50.0} if scenario == "server" else {})), duration_s=600.0)
        result = run_benchmark([folder / "foreign.onnx"], options, worker=RAISING)
        (case,) = result.cases
        assert case.status == "failed" and "the device fell off" in str(case.error)
        assert case.load is None and not passed(result) and "the device fell off" in shown(result)


@needs_loadgen
def test_no_file_of_the_current_directory_changes_the_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "audit.config").write_text("*.*.min_query_count = 77777\n*.*.mode = 1\n")
    monkeypatch.chdir(tmp_path)
    load = loaded(run_benchmark([folder / "foreign.onnx"], traffic("multi-stream")).cases[0])
    assert load.run.valid or load.run.queries < 77777
    assert [path.name for path in tmp_path.iterdir()] == ["audit.config"]


def test_a_package_that_is_missing_is_named_before_anything_is_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    assert run(monkeypatch, "bench", folder / "absent.onnx", "--scenario", "offline") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "pip install 'resnetx[loadgen]'" in said and "absent.onnx" not in said


@needs_loadgen
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scenario", "batch"], "no scenario 'batch'"),
        (["--scenario", "offline", "--target-qps", "5"], "--target-qps is for --scenario server only"),
        (["--target-qps", "5"], "the scenario is latency"),
        (["--latency-bound", "5"], "--latency-bound is for --scenario server only"),
        (["--scenario", "server", "--latency-bound", "-1"], "more than 0"),
        (["--scenario", "server", "--latency-bound", "nan"], "more than 0"),
        (["--scenario", "server", "--target-qps", "0"], "--target-qps takes more than 0"),
        (["--scenario", "server", "--target-qps", "1e9"], "generates all queries in advance"),
        (["--scenario", "server", "--duration", "0"], "0.001 s or more"),
        (["--scenario", "offline", "--boundary", "device"], "consist of samples in host memory"),
        (["--scenario", "single-stream", "--concurrency", "2"], "--concurrency 2 has no effect"),
        (["--scenario", "single-stream", "--batch", "8"], "would never be filled"),
        (["--scenario", "multi-stream", "--batch", "9"], "would never be filled"),
        (["--scenario", "offline", "--rounds", "3"], "Leave --rounds out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_paragraph_and_exit_2(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    assert run(monkeypatch, "bench", folder / "foreign.onnx", "--provider", "cpu", *arguments) == 2
    captured = capsys.readouterr()
    assert words in " ".join(captured.err.split()) and captured.out == ""


class Recorded:
    """A runner that notes which batches it was given."""

    def __init__(self, model: Path) -> None:
        session = open_runner(model, threads=1)
        self.provider, self.effective_precision = session.provider, session.effective_precision
        self.placement, self.options = session.placement, session.options
        self.inputs, self.outputs = session.inputs, session.outputs
        self.batches: list[int] = []

    def run(self, feeds: Any) -> dict[str, np.ndarray]:
        self.batches.append(len(next(iter(feeds.values()))))
        return {}


class Query:
    def __init__(self, identity: int, index: int) -> None:
        self.id, self.index = identity, index


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 6), queries=st.lists(st.integers(1, 9), max_size=6), lanes=st.integers(0, 2))
def test_every_sample_is_answered_once_and_batches_hold(batch: int, queries: list[int], lanes: int) -> None:
    runner = Recorded(FOREIGN)
    feeder = Feeder(runner, None, batch=batch)
    answered: list[int] = []
    system = System(feeder, answered.extend, batch=batch, lanes=lanes, sizes=[batch])
    runner.batches.clear()
    identity = 0
    for size in queries:
        system.issue([Query(identity + place, place % feeder.count) for place in range(size)])
        identity += size
    wait_for(lambda: len(answered) == identity)
    assert Counter(answered) == Counter(range(identity))
    assert sum(runner.batches) == identity and max(runner.batches, default=0) <= batch


FOREIGN = Path()


@pytest.fixture(scope="module", autouse=True)
def foreign(folder: Path) -> None:
    globals()["FOREIGN"] = folder / "foreign.onnx"


def wait_for(holds: Callable[[], bool]) -> None:
    import time

    end = time.monotonic() + 20
    while not holds() and time.monotonic() < end:
        time.sleep(0.001)


def test_a_fixed_batch_is_filled_up_and_a_free_one_is_not(folder: Path) -> None:
    for model, batches in (("fixed.onnx", [4, 4]), ("foreign.onnx", [1, 3])):
        runner = Recorded(folder / model)
        feeder = Feeder(runner, None, batch=4)
        feeder.run([0])
        feeder.run([0, 1, 2])
        assert runner.batches == batches
        runner.batches.clear()
        feeder.warm_up([1, 2])
        assert runner.batches == ([4] if model == "fixed.onnx" else [1, 2])


def test_samples_of_the_library_differ(folder: Path) -> None:
    seen = []

    class Keeping(Recorded):
        def run(self, feeds: Any) -> dict[str, np.ndarray]:
            seen.append(next(iter(feeds.values())).tobytes())
            return {}

    feeder = Feeder(Keeping(folder / "foreign.onnx"), None, batch=1)
    for number in range(feeder.count):
        feeder.run([number])
    assert len(set(seen)) == feeder.count >= 8


@settings(deadline=None)
@given(
    capacity=st.floats(1e-3, 1e6),
    start=st.floats(1e-2, 1e5),
    share=st.floats(1e-3, 1.0),
    tolerance=st.floats(0.01, 0.3),
)
def test_the_rate_found_is_sustained_and_one_a_little_higher_is_not(
    capacity: float, start: float, share: float, tolerance: float
) -> None:
    asked: list[float] = []

    def sustains(rate: float) -> bool:
        asked.append(rate)
        return rate <= capacity

    lowest, highest = start * share, start * 4096
    found = highest_rate(sustains, start=start, lowest=lowest, highest=highest, tolerance=tolerance)
    assert len(asked) < 1200 and all(lowest <= rate <= highest for rate in asked)
    if capacity < lowest:
        assert found is None
    else:
        assert found is not None and found <= capacity
        assert found * (1 + tolerance) * (1 + 1e-9) >= min(capacity, highest)
        assert asked[-1] == found


def test_one_stall_costs_a_run_and_not_the_rate() -> None:
    """A shared machine fails one run at any rate; only a rate that fails twice is beyond the system."""
    asked: list[float] = []

    def sustains(rate: float) -> bool:
        asked.append(rate)
        return len(asked) not in (2, 5) and rate <= 60.0

    found = highest_rate(sustains, start=100.0, lowest=1.0, highest=1e4, tolerance=0.05)
    assert found is not None and 60.0 / 1.05 <= found <= 60.0


def test_the_search_goes_down_by_halves() -> None:
    asked: list[float] = []

    def sustains(rate: float) -> bool:
        asked.append(rate)
        return rate <= 30.0

    assert highest_rate(sustains, start=100.0, lowest=1.0, highest=1e4) is not None
    assert min(asked) == 25.0


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=80), st.randoms(use_true_random=False))
def test_an_unsteady_system_is_reported_only_at_a_rate_that_it_sustained_last(answers: list[bool], random: Any) -> None:
    asked: list[tuple[float, bool]] = []

    def sustains(rate: float) -> bool:
        asked.append((rate, answers[len(asked)] if len(asked) < len(answers) else random.random() < 0.5))
        return asked[-1][1]

    found = highest_rate(sustains, start=10.0, lowest=1.0, highest=1e4)
    assert asked[-1] == (found, True) if found is not None else True
    assert (found is None) <= (not asked[-1][1])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), max_size=200), st.integers(1, 50))
def test_thinning_keeps_the_first_and_no_more_than_was_allowed(samples: list[float], most: int) -> None:
    kept = thinned(samples, most)
    assert len(kept) <= most and kept[:1] == samples[:1]
    assert kept == samples if len(samples) <= most else set(kept) <= set(samples)


def a_run(**changes: Any) -> LoadRun:
    values = {"valid": True, "queries": 500, "samples_per_s": 40.0, "percentiles_ms": {"p50": 3.0, "p90": 5.0}}
    return LoadRun(**{**values, **changes})


def test_what_is_shorter_than_mlperf_asks_is_labelled() -> None:
    assert unofficial("single-stream", 600, a_run(queries=64)) is None
    assert unofficial("single-stream", 10, a_run()) == "unofficial: 10 s of 600 s"
    assert unofficial("server", 10, a_run(queries=240)) == "unofficial: 10 s of 600 s, 240 of 459 queries"
    assert unofficial("offline", 600, a_run(queries=1000)) == "unofficial: 1,000 of 24,576 samples"
    assert [least_queries("offline", seconds) for seconds in (600, 6000, 60, 1e-3)] == [24576, 24576, 2458, 1]


def test_a_server_sustains_a_rate_if_loadgen_is_certain_where_it_can_be() -> None:
    assert sustained(a_run(valid=True, bound_kept=True, queries=5000))
    assert sustained(a_run(valid=False, bound_kept=True, queries=100))
    assert not sustained(a_run(valid=False, bound_kept=True, queries=5000))
    assert not sustained(a_run(valid=False, bound_kept=False, queries=100))


def a_load(scenario: Scenario = "server", **changes: Any) -> LoadResult:
    run = a_run(
        rate=31.5,
        bound_kept=True,
        percentiles_ms={"p50": 3.0, "p90": 5.0, "p99": 12.25},
        samples_ms=[3.0, 2.0, 12.0],
        reasons=["<b>late\x1b</b>"],
    )
    values = {
        "scenario": scenario,
        "duration_s": 10.0,
        "run": run,
        "latency_bound_ms": 15.0 if scenario == "server" else None,
        "searched": scenario == "server",
        "probes": [Probe(rate=40.0, kept=False, p99_ms=20.0), Probe(rate=31.5, kept=True, p99_ms=12.25)],
        "unofficial": "unofficial: 10 s of 600 s",
    }
    return LoadResult(**{**values, **changes})


def a_benchmark(*loads: LoadResult | None) -> Benchmark:
    base = sample_benchmark()
    cases = [replace(case, samples_ms=[], load=load) for case, load in zip(base.cases, loads, strict=False)]
    settings = replace(base.settings, scenario="server", rounds=None, latency_bound_ms=15.0)
    return summarized(replace(base, cases=tuple(cases), settings=settings))


def test_a_load_survives_its_file() -> None:
    result = a_benchmark(a_load(), a_load("offline"), None)
    assert parse_benchmark(json.dumps(result.to_json()), source="x").cases == result.cases


@pytest.mark.parametrize(
    "broken",
    [
        {"scenario": "stampede"},
        {"duration_s": "long"},
        {"duration_s": -1},
        {"latency_bound_ms": [1]},
        {"run": None},
        {"run": {**asdict(a_run()), "queries": True}},
        {"run": {**asdict(a_run()), "percentiles_ms": {"p50": 1e400}}},
        {"run": {**asdict(a_run()), "samples_ms": ["1"]}},
        {"probes": [{"rate": None, "kept": True, "p99_ms": 1}]},
        {"probes": 5},
    ],
    ids=str,
)
def test_a_load_that_nobody_wrote_is_refused_by_name(broken: dict[str, Any]) -> None:
    data = a_benchmark(a_load()).to_json()
    data["cases"][0]["load"] |= broken
    with pytest.raises(FileError, match=r"file\.json is not a benchmark"):
        parse_benchmark(json.dumps(data), source="file.json")


def test_the_table_shows_the_figure_the_bound_the_verdict_and_the_label() -> None:
    text = shown(a_benchmark(a_load(), a_load(run=a_run(rate=9.0, valid=False, bound_kept=False)), a_load()))
    for words in ("queries/s", "31.5", "12.25", "kept", "MISSED", "valid", "INVALID", "unofficial: 10 s of 600 s"):
        assert words in text, words
    assert "server: single samples at random times (Poisson)" in text and "p99 within 15 ms" in text
    assert "\x1b" not in text


def test_the_page_shows_the_same_and_escapes_it() -> None:
    page = render_html(a_benchmark(a_load(), a_load("offline"), None))
    for words in ("31.5 queries/s", "40.0 samples/s", "unofficial: 10 s of 600 s", "p99 within 15 ms", 'id="load"'):
        assert words in page, words
    assert "&lt;b&gt;late" in page and "<b>late" not in page and "\x1b" not in page
    assert 'id="load"' not in render_html(sample_benchmark()) and "beyond the latency bound" not in page
    assert "1 beyond the latency bound" in render_html(a_benchmark(a_load(run=a_run(valid=False, bound_kept=False))))


def test_rows_of_a_scenario_are_ranked_by_its_figure() -> None:
    """Less latency is better, more of a rate is, and a server beyond its bound is out."""
    slow, quick = (a_load("single-stream", run=a_run(percentiles_ms={"p90": ms})) for ms in (8.0, 2.0))
    rows = bench_rows(a_benchmark(slow, None, quick))
    assert [row.best for row in rows] == [False, False, True] and rows[2].ratio == pytest.approx(4.0)
    beyond = a_load(run=a_run(rate=99.0, valid=False, bound_kept=False))
    assert [row.best for row in bench_rows(a_benchmark(beyond, None, a_load()))] == [False, False, False]
    assert bench_rows(a_benchmark(a_load(), None, a_load(run=a_run(rate=99.0, bound_kept=True))))[2].best
    case = replace(sample_benchmark().cases[0], samples_ms=[], load=a_load("offline"))
    assert summarize(case, None).images_per_s == 40.0 and summarize(case, None).ci95_ms is None


def test_runs_of_a_scenario_are_not_compared() -> None:
    timed, loads = sample_benchmark(), a_benchmark(a_load())
    for old, new in ((timed, loads), (loads, timed), (loads, loads)):
        with pytest.raises(UsageError, match="runs of the scenario server"):
            compare(old, new)


def test_the_command_of_a_row_runs_its_scenario_again() -> None:
    result = a_benchmark(a_load())
    words = bench_command(result.cases[0], replace(result.settings, target_qps=1234.5678))
    assert "--scenario server --target-qps 1234.5678" in words and "--rounds" not in words


@needs_loadgen
def test_an_interruption_keeps_the_best_rate_so_far(folder: Path) -> None:
    options = traffic("server", verify=False)
    watch = interrupting_when(lambda event: (event.detail or "").startswith("server"), times=4)
    result = run_benchmark([folder / "foreign.onnx"], options, watch=watch, worker=FAKE)
    (case,) = result.cases
    assert interrupted(result) and case.status == "interrupted"
    assert case.load is not None and [probe.rate for probe in case.load.probes] == [50.0, 100.0, 200.0]
    assert case.load.run.rate == 100.0 and case.load.kept


@needs_loadgen
def test_cases_whose_traffic_crashes_or_hangs_leave_the_others_unharmed(folder: Path) -> None:
    options = replace(traffic("server", verify=False), batches=(fake.FINE, fake.CRASHES, fake.HANGS), timeout_s=3.0)
    result = run_benchmark([folder / "foreign.onnx"], options, worker=FAKE)
    fine, crashed, hung = result.cases
    load = loaded(fine)
    assert load.kept and load.figure is not None and fake.CAPACITY / 1.05 <= load.figure <= fake.CAPACITY
    assert (crashed.status, hung.status) == ("failed", "timed out") and "SIGSEGV" in str(crashed.error)
    assert not passed(result) and "timed out" in shown(result)


@needs_loadgen
def test_a_load_is_run_by_run_and_a_given_rate_again_is_another_run(folder: Path) -> None:
    runner = open_runner(folder / "foreign.onnx", threads=1)
    load = Load(runner, None, scenario="server", batch=2, concurrency=1)
    for rate in (50.0, 80.0):
        run = load.run(seconds=0.1, rate=rate, bound_ms=500.0)
        assert run.rate == rate and run.queries >= 1 and run.bound_kept


def test_raw_samples_in_a_file_are_limited() -> None:
    assert len(thinned([1.0] * (3 * MOST_SAMPLES + 1))) <= MOST_SAMPLES
