"""How much processes differ: as a figure, as a warning, in intervals and comparisons, and as text."""

import io
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from simulated_worlds import WORLDS, World, simulate

from resnetx.benchmark.comparison.compare import Comparison, compare
from resnetx.benchmark.process_spread import process_spread
from resnetx.benchmark.resampling import MIN_UNITS, draw_rounds, median_interval
from resnetx.benchmark.result import BenchCase, Benchmark, ColdStart
from resnetx.benchmark.result_file import parse_benchmark
from resnetx.benchmark.samples import valid_processes, valid_rounds
from resnetx.benchmark.stability import stability_warnings
from resnetx.benchmark.summary import summarized
from resnetx.report.bench import render_bench
from resnetx.report.comparison import render_comparison
from resnetx.report.html.page import render_html
from resnetx.report.markdown import render_markdown
from resnetx.report.process_words import ONE_PROCESS

QUIET, OFFSET = WORLDS[0], next(world for world in WORLDS if world.offset == 0.01)
Processes = list[list[np.ndarray]]
PROCESSES = st.lists(
    st.lists(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=5), min_size=1, max_size=3),
    min_size=MIN_UNITS,
    max_size=9,
)


def case_of(processes: Processes, **changes: Any) -> BenchCase:
    numbers = [number for number, process in enumerate(processes) for _ in process]
    rounds = [samples.tolist() for process in processes for samples in process]
    case = BenchCase(model="m.onnx", provider="cpu", batch=1, threads=2, samples_ms=rounds, round_processes=numbers)
    return replace(case, **changes)


def run_of(*cases: BenchCase, **changes: Any) -> Benchmark:
    run = Benchmark(created="then", machine={"processor": "A"}, limits=None, cases=cases)
    return summarized(replace(run, **changes))


def world(kind: World, seed: int, *, rounds_of: list[int] | None = None, factor: float = 1.0) -> Processes:
    processes, _ = simulate(kind, np.random.default_rng(seed), rounds_of=rounds_of or [2] * 10)
    return [[factor * samples for samples in process] for process in processes]


def as_if_one(case: BenchCase) -> BenchCase:
    """The same samples, as a file of version 2 holds them."""
    return replace(case, round_processes=[])


# The figure.


def test_the_spread_by_hand() -> None:
    """Levels e^0, e^0.02, ... with one round each: their standard deviation, with what rounds add to it."""
    levels = [0.0, 0.02, 0.04, 0.06, 0.08]
    one = process_spread([[np.array([math.exp(level)])] for level in levels])
    assert one is not None and one.within is None and not one.dominates
    assert one.between == pytest.approx(np.std(levels, ddof=1))
    # Two rounds, 0.002 apart: the variance within is 2e-6, of which the mean of two rounds keeps half.
    two = process_spread([[np.array([math.exp(level + side)]) for side in (-0.001, 0.001)] for level in levels])
    assert two is not None and two.within == pytest.approx(math.sqrt(2e-6)) and two.dominates
    assert two.between == pytest.approx(math.sqrt(np.var(levels, ddof=1) - 1e-6))


def test_processes_that_are_all_the_same_differ_by_nothing() -> None:
    same = process_spread([[np.array([10.0]), np.array([11.0])]] * 6)
    assert same is not None and same.between == 0.0 and not same.dominates
    constant = process_spread([[np.array([10.0]), np.array([10.0])]] * 6)
    assert constant is not None and (constant.between, constant.within, constant.dominates) == (0.0, 0.0, False)
    assert process_spread([[np.array([10.0])] * 5] * (MIN_UNITS - 1)) is None


@pytest.mark.parametrize("offset", [0.0, 0.005, 0.02])
@pytest.mark.parametrize("rounds_of", [[2] * 10, [4, 4, 3, 3, 3]])
def test_the_estimate_is_right_on_average(offset: float, rounds_of: list[int]) -> None:
    """Whatever the rounds add: the square of the spread, its sign kept, has the true variance as its mean."""
    squares = []
    for seed in range(150):
        spread = process_spread(world(replace(QUIET, offset=offset), seed, rounds_of=rounds_of))
        assert spread is not None
        squares.append(spread.between**2)
    # Without a difference, chance alone gives less than what the rounds differ by.
    assert math.sqrt(np.mean(squares)) == pytest.approx(offset, rel=0.2, abs=0.004)


def test_the_warning_names_what_dominates_and_what_helps() -> None:
    warned = [stability_warnings(case_of(world(replace(QUIET, offset=0.03), seed))) for seed in range(20)]
    words = [[text for text in warnings if text.startswith("Processes differ by ")] for warnings in warned]
    assert all(len(found) == 1 and "use more --processes; more rounds" in found[0] for found in words)
    quiet = [stability_warnings(case_of(world(QUIET, seed))) for seed in range(100)]
    assert sum(any("rocesses" in text for text in warnings) for warnings in quiet) <= 1


def test_few_processes_are_said_to_be_few() -> None:
    case = case_of(world(QUIET, 1, rounds_of=[5, 5, 5]))
    (warning,) = [text for text in stability_warnings(case) if "processes" in text]
    assert warning == "Only 3 processes: a confidence interval needs at least 5, or one."
    assert run_of(case).cases[0].summary.ci95_ms is None


# What is drawn.


def test_whole_processes_are_drawn_first() -> None:
    units = [[np.array([1.0])] * size for size in (1, 2, 3, 2, 2)]
    whole = draw_rounds(units, resamples=300, within=False)
    parts = np.split(whole, [1, 3, 6, 8], axis=1)
    assert all((part == part[:, :1]).all() for part in parts)
    assert (sum(part[:, 0] for part in parts) == 5).all()
    within = draw_rounds(units, resamples=300, within=True)
    for part, unit in zip(np.split(within, [1, 3, 6, 8], axis=1), units, strict=True):
        assert (part.sum(axis=1) % len(unit) == 0).all(), "a drawn process gives as many rounds as it has"
    assert not (within[:, 1] == within[:, 2]).all()
    assert (within == draw_rounds(units, resamples=300, within=True)).all()


@given(PROCESSES, st.floats(0.01, 100.0))
@settings(max_examples=40, deadline=None)
def test_the_interval_holds_the_median_in_any_unit_and_order(samples: list[list[list[float]]], unit: float) -> None:
    processes = [[np.array(times) for times in process] for process in samples]
    found = median_interval(processes)
    middle = float(np.median(np.concatenate([times for process in processes for times in process])))
    assert found is not None and found[0] <= middle <= found[1]
    scaled = median_interval([[unit * times for times in process] for process in processes])
    assert scaled == pytest.approx((found[0] * unit, found[1] * unit), rel=1e-9)


def test_the_interval_knows_how_processes_differ() -> None:
    """The same samples without their processes: the interval is as narrow as it was before."""
    wider = 0
    for seed in range(20):
        run = run_of(case_of(world(OFFSET, seed, rounds_of=[10] * 10)))
        before = run_of(as_if_one(run.cases[0]))
        found, narrow = run.cases[0].summary.ci95_ms, before.cases[0].summary.ci95_ms
        assert found is not None and narrow is not None
        wider += np.ptp(found) > np.ptp(narrow)
        assert run.cases[0].summary.median_ms == before.cases[0].summary.median_ms
        assert before.cases[0].summary.process_spread is None
    assert wider >= 19


def test_rounds_keep_their_order_whatever_numbers_a_file_holds() -> None:
    samples = [[float(number)] for number in range(1, 7)]
    case = BenchCase(
        model="m", provider="cpu", batch=1, threads=1, samples_ms=[*samples, []], round_processes=[5, 0, 5, 0, 7, 7, 7]
    )
    assert [times.tolist() for times in valid_rounds(case)] == samples
    groups = [[times.tolist() for times in process] for process in valid_processes(case)]
    assert groups == [[[1.0], [3.0]], [[2.0], [4.0]], [[5.0], [6.0]]]
    with pytest.raises(ValueError, match="6 entries for 7 rounds"):
        replace(case, round_processes=[0] * 6)


# Comparing.


def contrasted(old: BenchCase, new: BenchCase, **changes: Any) -> Comparison:
    return compare(run_of(old), run_of(new, created="now", interleaved_with="then", **changes))


def test_a_comparison_of_several_processes_is_wider_and_says_nothing_of_one() -> None:
    old, new = (case_of(process) for process in simulate(OFFSET, np.random.default_rng(2), rounds_of=[2] * 10))
    several, single = contrasted(old, new), contrasted(as_if_one(old), as_if_one(new))
    assert several.rows[0].processes == (10, 10) and single.rows[0].processes == (1, 1)
    assert several.rows[0].interval and single.rows[0].interval
    assert np.ptp(np.log(several.rows[0].interval)) > np.ptp(np.log(single.rows[0].interval))
    assert several.rows[0].ratio == pytest.approx(single.rows[0].ratio, rel=1e-6), "of the same samples"
    assert not any("process" in note for note in several.notes)
    assert any(note.startswith("One process per case in the old run and the new run: ") for note in single.notes)


@pytest.mark.parametrize(("old_one", "new_one", "words"), [(True, False, "the old run"), (False, True, "the new run")])
def test_an_older_file_is_compared_and_its_interval_said_to_be_narrow(old_one: bool, new_one: bool, words: str) -> None:
    old, new = (case_of(process) for process in simulate(QUIET, np.random.default_rng(2), rounds_of=[2] * 10))
    result = contrasted(as_if_one(old) if old_one else old, as_if_one(new) if new_one else new)
    (note,) = [note for note in result.notes if "process" in note]
    assert note.startswith(f"One process per case in {words}: ") and "narrower than the truth" in note
    console = Console(width=80, file=io.StringIO())
    console.print(render_comparison(result))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "narrower than the truth" in " ".join(text.split()) and all(len(line) <= 80 for line in text.splitlines())
    assert "narrower than the truth" in render_markdown(result)
    assert "narrower than the truth" in render_html(run_of(new), result)


def test_rows_of_one_process_among_others_are_said_to_be_some() -> None:
    case = case_of(world(QUIET, 1))
    other = replace(case, batch=8)
    old, new = run_of(case, as_if_one(other)), run_of(case, other)
    assert any("in the old run, for some rows: " in note for note in compare(old, new).notes)


@pytest.mark.parametrize("paired", [True, False])
def test_few_processes_are_no_comparison(paired: bool) -> None:
    case = case_of(world(QUIET, 1, rounds_of=[5] * 4))
    result = contrasted(case, case) if paired else compare(run_of(case), run_of(case_of(world(QUIET, 2))))
    assert result.rows[0].reason == "4 processes are too few; use at least 5, better 10."
    assert result.acceptable(require_decision=False) and not result.passed
    assert repr(result) == "<Comparison of 1 row: undecided>"


def test_a_round_without_its_neighbour_is_not_paired() -> None:
    """One process fewer in one of the two: the rounds no longer stand side by side."""
    old, new = (case_of(process) for process in simulate(QUIET, np.random.default_rng(2), rounds_of=[2] * 10))
    short = replace(new, samples_ms=new.samples_ms[:14], round_processes=new.round_processes[:14])
    row = contrasted(old, short).rows[0]
    assert row.processes == (10, 7) and row.interval is not None


def test_a_file_of_the_second_version_ran_in_one_process() -> None:
    data = json.loads(json.dumps(run_of(case_of(world(QUIET, 1))).to_json())) | {"schema": "resnetx.bench/2"}
    for case in data["cases"]:
        del case["round_processes"], case["restarts"]
    run = parse_benchmark(json.dumps(data), source="old.json")
    assert run.cases[0].processes == 1 and run.settings.processes == 1
    assert run.cases[0].summary.ci95_ms is not None and run.cases[0].summary.process_spread is None


# What is shown.


def terminal(run: Benchmark) -> str:
    console = Console(width=80, file=io.StringIO())
    console.print(render_bench(run))
    text = str(console.file.getvalue())  # type: ignore[attr-defined]
    assert all(len(line) <= 80 for line in text.splitlines())
    return text


def test_the_spread_is_shown_with_its_price() -> None:
    starts = [ColdStart(session_s=0.1, first_run_ms=5.0, start_s=1.5)] * 10
    case = case_of(world(OFFSET, 1), cold=starts[0], restarts=starts[1:])
    run = run_of(case, replace(case, batch=8))
    spread = run.cases[0].summary.process_spread
    assert spread is not None and 0.003 < spread < 0.02
    text = terminal(run)
    words = f"10 processes a case, which differ by {spread:.1%} (standard deviation); starting them took 30 s"
    assert words in " ".join(text.split()) and "spread: standard deviation between processes" in " ".join(text.split())
    page = render_html(run)
    assert words in page and "process spread %" in page and "in 20 rounds of 10 processes" in page
    assert json.loads(json.dumps(run.to_json()))["cases"][0]["process_spread"] == spread
    assert ONE_PROCESS not in " ".join(text.split())


def test_one_process_is_said_to_hide_the_difference() -> None:
    case = case_of(world(QUIET, 1))
    old = run_of(as_if_one(case))
    assert ONE_PROCESS in " ".join(terminal(old).split()) and "spread" not in terminal(old)
    assert ONE_PROCESS[1:] in render_html(old)
    mixed = " ".join(terminal(run_of(case, as_if_one(replace(case, batch=8)))).split())
    assert f"{ONE_PROCESS} (cpu, batch 8)" in mixed and "10 processes a case" in mixed
    assert "processes" not in terminal(run_of(replace(case, samples_ms=[], round_processes=[], status="failed")))
