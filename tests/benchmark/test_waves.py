"""Several processes for each case: their order, what is verified, what they may not differ in, and what they cost."""

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetx.base.validation import validated
from resnetx.benchmark import run as benchmarking
from resnetx.benchmark.case import RunningCase
from resnetx.benchmark.messages import Opened
from resnetx.benchmark.options import PROCESSES, ROUNDS, BenchOptions, resolved
from resnetx.benchmark.plan import plan_cases
from resnetx.benchmark.result import Benchmark, ColdStart
from resnetx.benchmark.result_file import parse_benchmark
from resnetx.benchmark.run import interrupted, passed, run_benchmark
from resnetx.benchmark.waves import rounds_of_processes, seconds_left
from resnetx.report.rerun_command import bench_command
from resnetx.runtime.catalog import CATALOG
from tests.cli.test_main import run
from tests.support import process_counting_worker as fake
from tests.support.onnx_models import small_classifier
from tests.support.watching import Listening, interrupting

OPTIONS = BenchOptions(providers=("cpu",), duration_s=0.02, rounds=6, processes=3, warmup=1, threads=1, verify=False)
BUILDS_FOR_MINUTES = next(row.name for row in CATALOG if row.builds_for_minutes)
COMPILES = next(row.name for row in CATALOG if row.compiles_each_batch)
PLAIN_CPU = next(row.name for row in CATALOG if not row.needs_card and not row.gpu)


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarking, "measured_limits", lambda threads, gpu: None)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    return tmp_path / "m.onnx"


class Logged:
    """A benchmark with the worker that logs, and its log."""

    def __init__(self, model: Path, *batches: int, watch: Any = None, **changes: Any) -> None:
        log = model.parent / "log.jsonl"
        log.write_text("")
        options = replace(OPTIONS, batches=batches, **changes)
        self.result = run_benchmark([model], options, watch=watch, worker=(sys.executable, fake.__file__, str(log)))
        self.log = [json.loads(line) for line in log.read_text().splitlines()]

    def of(self, what: str) -> list[dict[str, Any]]:
        return [entry for entry in self.log if entry["do"] == what]


# The order.


@given(st.integers(1, 60), st.integers(1, 60))
def test_rounds_are_spread_evenly(rounds: int, processes: int) -> None:
    shares = rounds_of_processes(rounds, processes)
    assert len(shares) == processes and sum(shares) == rounds
    assert max(shares) - min(shares) <= 1 and shares == sorted(shares, reverse=True)


def test_each_case_runs_in_several_processes_one_after_another(model: Path) -> None:
    """At no time does a case have two: large models would need several times their memory."""
    run = Logged(model, 1, 7)
    assert len({entry["pid"] for entry in run.log}) == 6
    assert not any(entry["previous_runs"] for entry in run.log)
    order = [(entry["process"], entry["batch"]) for entry in run.of("round")]
    assert order == [(process, batch) for process in range(3) for batch in (1, 7, 7, 1)], "A B B A in each wave"
    for case in run.result.cases:
        assert case.round_processes == [0, 0, 1, 1, 2, 2] and case.processes == 3
        assert case.samples_ms == [[10.0 + process, 11.0 + process] for process in case.round_processes]
        assert case.cold is not None and case.cold.start_s is not None and len(case.restarts) == 2
        assert case.peak_memory_mb == 64.0, "the most of all its processes"
    assert passed(run.result)


def test_a_file_keeps_which_process_ran_each_round(model: Path) -> None:
    result = Logged(model, 1).result
    text = json.dumps(result.to_json())
    assert json.loads(text)["schema"] == "resnetx.bench/3"
    assert parse_benchmark(text, source="x").cases == result.cases
    broken = json.loads(text)
    broken["cases"][0]["round_processes"].pop()
    with pytest.raises(Exception, match="round_processes has 5 entries for 6 rounds"):
        parse_benchmark(json.dumps(broken), source="x")


def test_a_round_that_is_left_over_goes_to_the_first_process(model: Path) -> None:
    (case,) = Logged(model, 1, rounds=5, processes=2).result.cases
    assert case.round_processes == [0, 0, 0, 1, 1]


def test_an_interruption_keeps_the_processes_that_ran(model: Path) -> None:
    run = Logged(model, 1, watch=interrupting(3))
    (case,) = run.result.cases
    assert interrupted(run.result) and case.round_processes == [0, 0, 1]
    assert not Path(f"/proc/{run.log[-1]['pid']}").exists()


# Where processes differ in more than speed.


def test_a_later_process_that_fails_is_named_and_harms_no_other_case(model: Path) -> None:
    run = Logged(model, fake.CRASHES_LATER, fake.PLAIN)
    failed, fine = run.result.cases
    assert (failed.status, failed.error) == ("failed", "process 2: it crashed (SIGABRT)")
    assert failed.round_processes == [0, 0]
    assert fine.status == "ok" and len(fine.round_processes) == 6
    assert [entry["process"] for entry in run.of("open") if entry["batch"] == fake.CRASHES_LATER] == [0, 1]


def test_processes_that_compute_in_another_precision_are_not_one_case(model: Path) -> None:
    (case,) = Logged(model, fake.CHANGES_LATER).result.cases
    assert case.status == "failed" and case.round_processes == [0, 0]
    assert case.error is not None and case.error.startswith("process 2: it does not run as in the first process")
    assert "bf16" in case.error and "fp32" in case.error


@pytest.fixture
def with_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    def truths(model: Any, batches: Sequence[int], *_: Any, **__: Any) -> dict[int, Path]:
        return dict.fromkeys(batches, Path("golden.npz"))

    monkeypatch.setattr(benchmarking, "computed_truths", truths)


@pytest.mark.parametrize(
    ("batch", "verified", "good"),
    [(fake.PLAIN, [0], True), (fake.OTHER_ANSWERS, [0, 1, 2], True), (fake.WRONG_LATER, [0, 1, 2], False)],
)
@pytest.mark.usefixtures("with_truth")
def test_each_process_is_verified_unless_its_answers_are_those_of_a_verified_one(
    model: Path, batch: int, verified: list[int], good: bool
) -> None:
    run = Logged(model, batch, verify=True)
    (case,) = run.result.cases
    assert [entry["process"] for entry in run.of("verify")] == verified
    assert case.parity is not None and case.parity.passed == good == passed(run.result)
    wrong = "The outputs of process 2 are wrong; those of the first were right."
    assert (wrong in case.warnings) == (not good)


def test_real_processes_give_the_same_answers(model: Path) -> None:
    seen = Listening()
    options = replace(OPTIONS, providers=(PLAIN_CPU,), rounds=3, verify=True)
    (case,) = run_benchmark([model], options, watch=seen.watch).cases
    assert case.status == "ok" and case.parity is not None and case.parity.passed
    assert case.round_processes == [0, 1, 2] and all(sample > 0 for samples in case.samples_ms for sample in samples)
    starts = [start.start_s for start in (case.cold, *case.restarts) if start is not None]
    assert len(starts) == 3 and all(start_s is not None and start_s > 0 for start_s in starts)
    assert seen.details("verifying") == ["process 1 of 3, m.onnx on cpu, batch 1: verifying"], "it speaks for all"
    waited = [detail.partition("batch 1: ")[2].partition(";")[0] for detail in seen.details("process 2 of 3, m.onnx")]
    assert waited == ["opening", "warming up", ""], "and then its round"
    assert seen.steps == [
        "step 1 of 6: reading the models",
        "step 2 of 6: opening the models",
        "step 3 of 6: measuring the limits of the machine",
        "step 4 of 6: computing the references",
        "step 5 of 6: timing",
        "step 6 of 6: measuring the limits of the machine again",
    ]


# Runners that compile for long.


def test_an_engine_that_is_not_cached_is_built_once(model: Path) -> None:
    run = Logged(model, fake.PLAIN, providers=(BUILDS_FOR_MINUTES, "cpu"))
    one, several = run.result.cases
    assert one.processes == 1 and len(one.samples_ms) == 6 and one.restarts == []
    assert several.processes == 3
    words = "All rounds ran in one process, because its engine takes minutes to build and is not cached."
    assert words in one.warnings and words not in several.warnings


def test_an_engine_from_the_cache_is_opened_in_each_process(model: Path) -> None:
    (case,) = Logged(model, fake.CACHES, providers=(BUILDS_FOR_MINUTES,)).result.cases
    assert case.processes == 3 and not any("process, because" in words for words in case.warnings)
    assert case.cold is not None and case.cold.engine == "built"
    assert [start.engine for start in case.restarts] == ["from cache", "from cache"]


@pytest.mark.parametrize(("quick", "said"), [(False, True), (True, False)])
def test_processes_that_compile_again_say_so(model: Path, quick: bool, said: bool) -> None:
    (plan,) = plan_cases([model], replace(OPTIONS, providers=(COMPILES,)))
    case = RunningCase(plan=plan, options=resolved(OPTIONS))
    answer = fake.answer({"do": "open", "order": {"provider": COMPILES}}, fake.PLAIN, 0)
    case.opened = validated(Opened, answer)
    later = ColdStart(session_s=1.0, first_run_ms=500.0 if quick else 29_000.0)
    case.starts = [ColdStart(session_s=1.0, first_run_ms=30_000.0), later, later]
    warnings = case.result().warnings
    assert ("Each process compiled the model again, for about 30.0 s." in warnings) == said


# What it costs, and the options.


def test_the_time_left_is_that_of_starts_and_rounds(model: Path) -> None:
    seen = Listening()
    Logged(model, 1, 7, watch=seen.watch)
    opening = seen.details("opening")
    assert [detail.split(";")[0] for detail in opening[:4]] == [
        f"process {process} of 3, case {case} of 2, m.onnx on cpu, batch {batch}: opening"
        for process in (1, 2)
        for case, batch in ((1, 1), (2, 7))
    ]
    assert not any("left" in detail for detail in opening[:2]), "nothing is known yet"
    assert all(re.search(r"; about \d+:\d\d left$", detail) for detail in (*opening[2:], *seen.details("round ")))


def test_rounds_are_counted_as_they_were_asked_for(model: Path) -> None:
    """Of two cases, 6 rounds are 12 runs, and the share is that of runs."""
    seen = Listening()
    Logged(model, 1, 7, watch=seen.watch)
    events = [event for event in seen.events if (event.detail or "").startswith("round ")]
    counted = [str(event.detail).split(",")[0] for event in events]
    assert counted == [f"round {number} of 6" for number in range(1, 7) for _ in range(2)]
    assert [event.share for event in events] == [run / 12 for run in range(12)]
    assert {event.title for event in events} == {"step 4 of 5: timing"}, "nothing is verified"


def test_the_time_left_is_by_starts_so_far(model: Path) -> None:
    options = resolved(replace(OPTIONS, duration_s=12.0))
    (plan,) = plan_cases([model], options)
    cases = [RunningCase(plan=plan, options=options) for _ in range(2)]
    for case in cases:
        case.child = object()  # type: ignore[assignment]
        case.starts = [ColdStart(session_s=1.0, first_run_ms=1.0, start_s=start_s) for start_s in (9.0, 2.0)]
    # Two cases before process 2 of 3: two starts of 2 s each, and four of six rounds, of 2 s each.
    assert seconds_left(cases, options, cases, 1, 2) == pytest.approx(2 * (2 * 2.0 + 4 * 2.0))


def test_the_default_is_that_of_the_study_or_a_process_for_each_round() -> None:
    assert resolved(BenchOptions()).processes == PROCESSES == 10 and resolved(BenchOptions()).rounds == ROUNDS
    assert resolved(BenchOptions(rounds=4)).processes == 4
    assert resolved(BenchOptions(rounds=4, processes=1)).processes == 1
    assert resolved(BenchOptions(scenario="offline")).processes == 1
    assert resolved(BenchOptions(scenario="offline", processes=1)).processes == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--processes", "0"], "--processes takes 1 to 100; found 0"),
        (["--threads", "0"], "--threads takes 1 to"),
        (["--processes", "101"], "--processes takes 1 to 100; found 101"),
        (["--processes", "5", "--rounds", "4"], "--processes 5 needs a round for each process, and there are 4"),
        (["--processes", "2", "--scenario", "offline"], "offline runs in one process"),
    ],
)
def test_what_can_not_be_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert run(monkeypatch, "bench", model, "--provider", "cpu", *arguments) == 2
    captured = capsys.readouterr()
    assert words in " ".join(captured.err.split()) and captured.out == ""


def test_the_command_that_repeats_a_row_names_the_processes(model: Path) -> None:
    result = Logged(model, 1).result
    assert "--rounds 6 --processes 3" in bench_command(result.cases[0], result.settings)
    before = parse_benchmark(json.dumps(result.to_json() | {"schema": "resnetx.bench/2"}), source="x")
    assert isinstance(before, Benchmark) and "--processes 1" in bench_command(before.cases[0], before.settings)
