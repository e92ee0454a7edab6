"""Comparing runs: its error rates by simulation, its rules by hand, and the command from file to exit status."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from resnetx.benchmark.comparison.compare import Comparison, compare
from resnetx.benchmark.comparison.ratio import Contrast, contrast_processes
from resnetx.benchmark.resampling import MIN_UNITS
from resnetx.benchmark.result import BenchCase, Benchmark, Limits
from resnetx.benchmark.result_file import read_benchmark
from resnetx.benchmark.summary import summarized
from resnetx.cli.main import app
from resnetx.cli.options import parse_share
from resnetx.errors import FileError, ResnetxError, UsageError
from resnetx.report.comparison import render_comparison
from resnetx.report.markdown import escaped
from tests.support.noise import KINDS, noisy_rounds

MACHINE = {"processor": "A", "cores": 2, "versions": {"onnxruntime": "1.31.1", "resnetx": "1"}}
LIMIT = 1.02


def contrast_rounds(old: list[np.ndarray], new: list[np.ndarray], *, paired: bool, rows: int = 1) -> Contrast | None:
    """Of cases that ran in one process each."""
    return contrast_processes([old], [new], paired=paired, rows=rows)


def case_of(samples: np.ndarray | list[list[float]], **changes: object) -> BenchCase:
    rounds = [[float(time) for time in times] for times in samples]
    case = BenchCase(model="m.onnx", provider="cpu", batch=1, threads=2, samples_ms=rounds)
    return replace(case, **changes)  # type: ignore[arg-type]


def run_of(*cases: BenchCase, created: str = "then", **changes: object) -> Benchmark:
    run = Benchmark(created=created, machine=dict(MACHINE), limits=None, cases=cases)
    return summarized(replace(run, **changes))  # type: ignore[arg-type]


def steady(level: float, rounds: int = 20) -> list[list[float]]:
    """Round medians that differ by a percent, the same way each time."""
    return [[level * (1 + 0.005 * (-1) ** number)] * 5 for number in range(rounds)]


def pair(factor: float, **options: Any) -> Comparison:
    return compare(run_of(case_of(steady(10.0))), run_of(case_of(steady(10.0 * factor)), created="now"), **options)


# What the method claims, on noise that is known.


@pytest.mark.parametrize("kind", KINDS)
def test_in_turns_alarms_are_rare_and_five_percent_is_found(kind: str) -> None:
    """A false alarm is one past any slowdown at all, which is stricter than past the limit."""
    rng, trials, wrong, past, found, covered = np.random.default_rng(1), 120, 0, 0, 0, 0
    for _ in range(trials):
        first, second = noisy_rounds(rng, kind)
        same = contrast_rounds(list(first), list(second), paired=True)
        slower = contrast_rounds(list(first), list(1.05 * second), paired=True)
        assert same is not None and slower is not None
        wrong += same.low > 1
        past += same.low > LIMIT
        found += slower.low > LIMIT
        covered += slower.low <= 1.05 <= slower.high
    assert past == 0
    assert wrong / trials <= 0.03  # one in a hundred, and what 120 trials leave open
    assert found / trials >= 0.95
    assert covered / trials >= 0.94


@pytest.mark.parametrize("kind", ["calm", "wander"])
def test_one_after_the_other_alarms_are_rare_too(kind: str) -> None:
    """Each run wanders for itself, and the second began somewhere else."""
    rng, trials, past, found = np.random.default_rng(2), 120, 0, 0
    for _ in range(trials):
        first, second = (list(noisy_rounds(rng, kind, cases=1)[0] * math.exp(rng.normal(0, 0.004))) for _ in range(2))
        same = contrast_rounds(first, second, paired=False)
        slower = contrast_rounds(first, [1.05 * samples for samples in second], paired=False)
        assert same is not None and slower is not None
        past += same.low > LIMIT
        found += slower.low > LIMIT
    assert past / trials <= 0.02
    if kind == "calm":
        assert found / trials >= 0.95
    # A run that wanders alone cannot tell its slowdown from the machine's: that is what taking turns is for.


def test_many_rows_together_raise_no_more_alarms() -> None:
    rng = np.random.default_rng(3)
    one = [noisy_rounds(rng, "calm") for _ in range(30)]
    for first, second in one:
        alone = contrast_rounds(list(first), list(second), paired=True)
        among = contrast_rounds(list(first), list(second), paired=True, rows=20)
        assert alone is not None and among is not None
        assert among.high / among.low > alone.high / alone.low


def test_bursts_are_read_from_the_fastest_tenth_and_calm_from_the_medians() -> None:
    readings = {}
    for kind in ("calm", "bursts"):
        rng = np.random.default_rng(4)
        contrasts = [contrast_rounds(*map(list, noisy_rounds(rng, kind)), paired=True) for _ in range(20)]
        readings[kind] = sum(contrast is not None and contrast.reading == "median" for contrast in contrasts)
    assert readings["calm"] > 10 and readings["bursts"] < 5


def test_a_common_drift_cancels_only_in_turns() -> None:
    drift = np.exp(np.linspace(0, 0.3, 20))[:, None] * np.full((20, 5), 10.0)
    jitter = 1 + 0.002 * np.random.default_rng(0).standard_normal((20, 1))
    in_turns = contrast_rounds(list(drift), list(1.05 * drift * jitter), paired=True)
    apart = contrast_rounds(list(drift), list(1.05 * drift * jitter), paired=False)
    assert in_turns is not None and apart is not None
    assert in_turns.low > 1.045 and in_turns.high < 1.055
    assert apart.low < 1


@given(
    st.lists(st.lists(st.floats(0.1, 100), min_size=3, max_size=6), min_size=MIN_UNITS, max_size=9),
    st.floats(0.2, 5),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_a_contrast_is_a_ratio(rounds: list[list[float]], factor: float, paired: bool) -> None:
    old = [np.array(samples) for samples in rounds]
    new = [samples * factor for samples in old]
    there, back = contrast_rounds(old, new, paired=paired), contrast_rounds(new, old, paired=paired)
    assert there is not None and back is not None
    assert there.low <= there.ratio <= there.high
    assert there.ratio == pytest.approx(factor, rel=1e-9)
    assert (back.ratio, back.low) == pytest.approx((1 / there.ratio, 1 / there.high), rel=1e-6)


def test_too_few_rounds_or_unequal_turns_give_none() -> None:
    few = [np.array([1.0])] * (MIN_UNITS - 1)
    assert contrast_rounds(few, few, paired=False) is None
    assert contrast_rounds([*few, few[0]], [*few, few[0], few[0]], paired=True) is None


# What is made of it.


@pytest.mark.parametrize(
    ("factor", "verdict", "passed"),
    [(1.0, "same", True), (1.03, "slower", True), (1.2, "slower", False), (0.8, "faster", True), (1.015, "same", True)],
)
def test_verdicts(factor: float, verdict: str, passed: bool) -> None:
    result = pair(factor)
    (row,) = result.rows
    assert (row.verdict, result.passed) == (verdict, passed)
    assert row.ratio == pytest.approx(factor, rel=1e-6)
    assert row.interval is not None and row.interval[0] <= factor <= row.interval[1]


def test_noise_without_a_difference_can_not_be_told() -> None:
    rng = np.random.default_rng(0)
    noise = [10 * np.exp(rng.normal(0, 0.3, (10, 5))) for _ in range(2)]
    (row,) = compare(run_of(case_of(noise[0])), run_of(case_of(noise[1]))).rows
    assert row.verdict == "can't tell" and row.ratio is not None


@pytest.mark.parametrize(("limit", "passed"), [(0.0, False), (0.05, False), (0.2, True), (5.0, True)])
def test_the_limit_is_past_only_beyond_doubt(limit: float, passed: bool) -> None:
    result = pair(1.2, max_slowdown=limit)
    assert result.passed == passed
    assert result.rows[0].verdict == "slower"


def test_a_limit_of_nothing_leaves_room_for_what_processes_differ_by() -> None:
    assert pair(1.0, max_slowdown=0.0).passed


def test_runs_in_turns_are_recognised_and_pair_their_rounds() -> None:
    drift = (np.exp(np.linspace(0, 0.3, 20))[:, None] * np.full((20, 5), 10.0)).tolist()
    slower = [[1.05 * time for time in times] for times in drift]
    old = run_of(case_of(drift))
    apart = compare(old, run_of(case_of(slower), created="now"))
    together = compare(old, run_of(case_of(slower), created="now", interleaved_with="then"))
    assert (apart.interleaved, together.interleaved) == (False, True)
    assert not apart.slower and together.slower


def test_rounds_that_lost_their_times_do_not_shift_the_pairs() -> None:
    holed = steady(10.0)
    holed[3] = []
    new = run_of(case_of(steady(10.0)), created="now", interleaved_with="then")
    assert compare(run_of(case_of(holed)), new).rows[0].verdict == "same"


def test_rows_are_matched_by_all_that_sets_them_apart() -> None:
    base = case_of(steady(10.0))
    others = [{"provider": "openvino"}, {"batch": 8}, {"threads": 1}, {"concurrency": 2}, {"boundary": "device"}]
    cases = [base, *(replace(base, **change) for change in others)]  # type: ignore[arg-type]
    old, new = run_of(*cases[:-1]), run_of(*reversed(cases[1:]))
    result = compare(old, new)
    assert len(result.rows) == 4
    assert result.only_old == ("m.onnx cpu batch 1, 2 threads",)
    assert len(result.only_new) == 1


def pair_of(one: str, other: str, macs: tuple[int | None, int | None]) -> tuple[Benchmark, Benchmark]:
    old, new = (
        run_of(case_of(steady(10.0), model=model, macs=own)) for model, own in zip((one, other), macs, strict=True)
    )
    return old, new


@pytest.mark.parametrize(
    ("one", "other", "macs"),
    [("before/m.onnx", "after/m.onnx", (None, 7)), ("fp32.onnx", "int8.onnx", (10**9, 10**9))],
)
def test_models_of_other_paths_are_still_the_same(one: str, other: str, macs: tuple[int | None, int | None]) -> None:
    result = compare(*pair_of(one, other, macs))
    assert result.rows[0].verdict == "same"
    assert ("the only model of each run" in " ".join(result.notes)) == ("fp32" in one)


@pytest.mark.parametrize(
    ("one", "other", "macs", "words"),
    [
        (
            "vgg.onnx",
            "alexnet.onnx",
            (19_600, 700),
            r"vgg.onnx and alexnet.onnx are different networks \(19,600 and 700",
        ),
        ("vgg/model.onnx", "alexnet/model.onnx", (19_600, 700), "are different networks"),
        ("vgg.onnx", "alexnet.onnx", (None, 700), "are not known to be one network, and were not compared"),
        ("vgg.onnx", "alexnet.onnx", (None, None), "are not known to be one network"),
    ],
)
def test_different_networks_are_not_compared_only_because_each_run_has_one(
    tmp_path: Path, one: str, other: str, macs: tuple[int | None, int | None], words: str
) -> None:
    runs = pair_of(one, other, macs)
    with pytest.raises(UsageError, match=words):
        compare(*runs)
    old, new = (written(tmp_path, f"{place}.json", each) for place, each in enumerate(runs))
    assert CliRunner().invoke(app, ["compare", str(old), str(new)]).exit_code != 0


def test_of_several_files_those_of_other_networks_are_left_out_and_named() -> None:
    old, new = (
        run_of(*(case_of(steady(10.0), model=f"{folder}/{name}.onnx", macs=macs) for name, macs in counts.items()))
        for folder, counts in (("a", {"m": 5, "n": 6}), ("b", {"m": 5, "n": 9}))
    )
    result = compare(old, new)
    assert [row.model for row in result.rows] == ["b/m.onnx"]
    assert "a/n.onnx and b/n.onnx are different networks (6 and 9 MACs" in result.notes[0]
    assert len(result.only_old) == len(result.only_new) == 1


def test_a_path_that_holds_another_network_now_is_compared_and_says_so() -> None:
    result = compare(*pair_of("m.onnx", "m.onnx", (1000, 600)))
    assert result.rows[0].verdict == "same"
    assert "m.onnx is another network now: 1,000 MACs per image in the old run, 600 in the new" in result.notes[0]


def test_a_faster_run_in_a_coarser_precision_says_so() -> None:
    new = run_of(case_of(steady(5.0), effective_precision="bf16"))
    result = compare(run_of(case_of(steady(10.0))), new)
    assert result.rows[0].verdict == "faster"
    assert "fp32 in the old run, in bf16" in result.notes[0]


def test_a_case_that_failed_is_told_and_is_no_slowdown() -> None:
    failed = case_of([], provider="openvino", status="failed", error="killed")
    fine = case_of(steady(10.0))
    result = compare(run_of(fine, replace(fine, provider="openvino")), run_of(fine, failed))
    assert [row.verdict for row in result.rows] == ["same", "can't tell"]
    assert result.rows[1].reason == "It failed in the new run: killed"
    assert result.passed


def test_a_machine_that_was_slower_itself_widens_the_interval() -> None:
    slow, fast = (Limits(threads=2, fp32_gflops=peak) for peak in (300.0, 360.0))
    old, new = run_of(case_of(steady(10.0)), limits=fast), run_of(case_of(steady(12.0)), limits=slow)
    blamed = compare(old, new)
    assert not blamed.slower and "20% slower" in blamed.notes[0]
    assert not compare(replace(old, limits=slow), new).passed


@pytest.mark.parametrize(
    "change", [{"processor": "B"}, {"cores": 4}, {"versions": {"onnxruntime": "1.32"}}, {"gpus": [{"name": "x"}]}]
)
def test_other_machines_are_refused_unless_told(change: dict[str, Any]) -> None:
    old, new = run_of(case_of(steady(10.0))), run_of(case_of(steady(10.0)), machine={**MACHINE, **change})
    with pytest.raises(UsageError, match="--any-machine"):
        compare(old, new)
    assert compare(old, new, any_machine=True).notes


def test_a_newer_resnetx_is_the_same_machine() -> None:
    newer = {**MACHINE, "versions": {"onnxruntime": "1.31.1", "resnetx": "2"}, "kernel": "new"}
    assert compare(run_of(case_of(steady(1.0))), run_of(case_of(steady(1.0)), machine=newer)).passed


@pytest.mark.parametrize("rounds", [[], [[]], [[math.nan]] * 9])
def test_nothing_to_compare_is_an_error(rounds: list[list[float]]) -> None:
    with pytest.raises(UsageError, match="No case has times"):
        compare(run_of(case_of(steady(1.0))), run_of(case_of(rounds)))
    with pytest.raises(UsageError, match="no case in common"):
        compare(run_of(case_of(steady(1.0))), run_of(case_of(steady(1.0), batch=2)))


def test_few_rounds_decide_nothing_and_say_so() -> None:
    result = compare(run_of(case_of(steady(1.0, 3))), run_of(case_of(steady(9.0, 3))))
    assert not result.passed and not result.slower and result.undecided == 1
    assert "UNDECIDED: 1 of 1; no row can be told" in shown(result) and "PASSED" not in shown(result)
    assert result.rows[0].reason is not None and "3 rounds are too few" in result.rows[0].reason


# What is shown, and the command.


def shown(result: Comparison, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(render_comparison(result))
    return capture.get()


def test_the_table_fits_and_is_plain() -> None:
    base = case_of(steady(12345.678), provider="torch-compile", batch=128, concurrency=16, boundary="device")
    names = {"names": ("runs/monday.json", "runs/\x1b[31mred\n.json")}
    text = shown(compare(run_of(base), run_of(replace(base, samples_ms=steady(20000.0))), **names))  # type: ignore[arg-type]
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "\x1b" not in text and "SLOWER" in text and "+62.0 %" in text
    assert "more than 2 % slower" in text


def test_the_table_shows_what_could_not_be_compared() -> None:
    only = [case_of(steady(1.0), batch=batch) for batch in range(2, 14)]
    fine = case_of(steady(10.0))
    text = shown(compare(run_of(fine, *only), run_of(replace(fine, samples_ms=steady(10.0, 4)))))
    assert "only in the old run: m.onnx cpu batch 2" in text and "4 more" in text
    assert "4 rounds are too few" in text and "UNDECIDED: 1 of 1" in text and "PASSED" not in text


def test_an_absurd_ratio_is_still_a_table() -> None:
    result = compare(run_of(case_of(steady(1e-6))), run_of(case_of(steady(1e9))))
    assert all(len(line) <= 80 for line in shown(result).splitlines())
    assert not result.passed


def test_the_geometric_mean_is_of_all_rows_that_have_a_ratio() -> None:
    cases = [case_of(steady(10.0), batch=batch) for batch in (1, 2, 3, 4)]
    factors = (2.0, 0.5, 1.21)
    slower = [case_of(steady(10.0 * factor), batch=batch) for batch, factor in enumerate(factors, 1)]
    result = compare(run_of(*cases), run_of(*slower, case_of(steady(9.0, 3), batch=4)))
    assert result.geometric_mean == pytest.approx(1.21 ** (1 / 3)) and result.rows[3].ratio is None
    assert result.to_json()["geometric_mean"] == result.geometric_mean
    assert "geometric mean of 3 ratios: +6.6 %" in shown(result)
    alone = compare(run_of(cases[0]), run_of(slower[0]))
    assert alone.geometric_mean == pytest.approx(2.0) and "geometric mean" not in shown(alone)
    none = compare(run_of(cases[0]), run_of(case_of(steady(9.0, 3))))
    assert none.geometric_mean is None


def test_a_governor_is_compared_where_both_runs_know_it() -> None:
    def run(**facts: object) -> Benchmark:
        return run_of(case_of(steady(10.0)), machine={**MACHINE, **facts})

    compare(run(), run(governor="powersave", turbo=True, load_average=0.3))
    compare(run(governor="powersave", load_average=0.1), run(governor="powersave", load_average=2.0))
    with pytest.raises(UsageError, match="governor: powersave against performance"):
        compare(run(governor="powersave"), run(governor="performance"))


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0%", 0.0), (" 2.5 % ", 0.025), ("300%", 3.0)])
def test_percentages(text: str, share: float) -> None:
    assert parse_share(text, "--max-slowdown") == pytest.approx(share)


@pytest.mark.parametrize("text", ["5", "0.05", "-1%", "nan%", "inf%", "%", "", "five%"])
def test_no_percentages(text: str) -> None:
    with pytest.raises(UsageError, match="such as 5%"):
        parse_share(text, "--max-slowdown")


def written(folder: Path, name: str, run: Benchmark) -> Path:
    path = folder / name
    path.write_text(json.dumps(run.to_json()))
    return path


@pytest.mark.parametrize(
    ("factor", "words", "status"),
    [(1.0, [], 0), (1.2, [], 1), (1.2, ["--max-slowdown", "25%"], 0), (1.04, ["--max-slowdown", "5%"], 0)],
)
def test_the_command(tmp_path: Path, factor: float, words: list[str], status: int) -> None:
    old = written(tmp_path, "old.json", run_of(case_of(steady(10.0))))
    new = written(tmp_path, "new.json", run_of(case_of(steady(10.0 * factor)), created="now"))
    answer = CliRunner().invoke(app, ["compare", str(old), str(new), "--json", str(tmp_path / "out.json"), *words])
    assert answer.exit_code == status, answer.output
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["schema"] == "resnetx.comparison/2"
    assert data["passed"] == (status == 0) and data["undecided"] == 0
    assert data["rows"][0]["ratio"] == pytest.approx(factor, rel=1e-6)


@pytest.mark.parametrize(
    ("factors", "heading", "status", "strict"),
    [
        ((None,), "UNDECIDED: 1 of 1; no row can be told", 0, 1),
        ((1.0,), "PASSED: no row is certain to be more than 2 % slower", 0, 0),
        ((1.0, None), "PASSED: no row is certain to be more than 2 % slower; UNDECIDED: 1 of 2", 0, 1),
        ((1.2, None), "SLOWER: 1 row is more than 2 % slower, with certainty; UNDECIDED: 1 of 2", 1, 1),
        ((1.2,), "SLOWER: 1 row is more than 2 % slower, with certainty", 1, 1),
    ],
)
def test_what_is_not_decided_is_not_passed(
    tmp_path: Path, factors: tuple[float | None, ...], heading: str, status: int, strict: int
) -> None:
    """None: a row of too few rounds."""

    def run(which: int) -> Benchmark:
        rows = ((10.0 * (factor or 1.0) ** which, 20 if factor else 3) for factor in factors)
        return run_of(*(case_of(steady(*row), batch=batch) for batch, row in enumerate(rows, 1)))

    old, new = (written(tmp_path, f"{which}.json", run(which)) for which in (0, 1))
    target, page = tmp_path / "r.json", tmp_path / "r.md"
    words = ["compare", str(old), str(new), "--json", str(target), "--markdown", str(page)]
    for more, expected in (([], status), (["--require-decision"], strict)):
        answer = CliRunner().invoke(app, [*words, *more])
        assert answer.exit_code == expected
        assert heading in " ".join(answer.output.split())
        data = json.loads(target.read_text())
        assert data["passed"] == heading.startswith("PASSED") and data["undecided"] == factors.count(None)
        assert page.read_text().splitlines()[0] == f"### {escaped(heading)}"


GOOD = run_of(case_of([[1.0]] * 9)).to_json()


def changed(**changes: object) -> str:
    return json.dumps(GOOD | changes)


def with_case(**changes: object) -> str:
    return changed(cases=[GOOD["cases"][0] | changes])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not a benchmark"),
        (json.dumps(GOOD)[:-40], "not a benchmark"),
        ("[]", "not a benchmark"),
        ("\ufeff{}", "not a benchmark"),
        ("[" * 100_000, "not a benchmark"),
        (changed(schema="resnetx.bench/4"), "has the schema 'resnetx.bench/4'"),
        (changed(schema=None), "has the schema 'None'"),
        (changed(cases=[]), "without any case"),
        (changed(cases=None), "not a benchmark"),
        (changed(limits={"threads": 2, "more": 1}), "not a benchmark"),
        (changed(limits={"threads": 2, "fp32_gflops": "fast"}), "limits: fp32_gflops"),
        (changed(machine=3), "not a benchmark"),
        (with_case(model=7), "case 1: model"),
        (with_case(batch=0), "case 1: batch"),
        (with_case(batch="8"), "case 1: batch"),
        (with_case(threads=[2]), "case 1: threads"),
        (with_case(boundary="ocean"), "case 1: boundary"),
        (with_case(status="splendid"), "case 1: status"),
        (with_case(macs=1e400), "case 1: macs"),
        (with_case(samples_ms=[[10**400]]), "not a benchmark"),
        (with_case(samples_ms=[["long"]]), "not a benchmark"),
        (with_case(samples_ms=[[1.0]] * 1001), "case 1: samples_ms"),
        (with_case(warnings="none"), "case 1: warnings"),
    ],
)
def test_untrusted_files_are_refused_by_name(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "strange.json"
    path.write_text(content)
    with pytest.raises(FileError) as refusal:
        read_benchmark(path)
    assert said in str(refusal.value) and "strange.json" in str(refusal.value)


def test_missing_folders_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "none.json", tmp_path, tmp_path / "bytes.json"):
        with pytest.raises(FileError, match="benchmark"):
            read_benchmark(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
@settings(max_examples=60, deadline=None)
def test_any_value_in_any_field_is_refused_or_compared(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("files") / "run.json"
    for name in (
        "model",
        "batch",
        "threads",
        "macs",
        "samples_ms",
        "limits",
        "machine",
        "settings",
        "effective_precision",
    ):
        data = json.loads(with_case(**{name: value}) if name in GOOD["cases"][0] else changed(**{name: value}))
        path.write_text(json.dumps(data))
        try:
            run = read_benchmark(path)
            shown(compare(run, run))
        except ResnetxError:
            pass
