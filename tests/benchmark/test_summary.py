"""Figures from samples: exact where they are exact, and by simulation where they are claims about chance."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist, median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetx.benchmark.resampling import (
    MIN_UNITS,
    draw_rounds,
    expanded_tail,
    mean_interval,
    median_interval,
    resampled_quantiles,
    student_t,
)
from resnetx.benchmark.result import BenchCase, Benchmark, Limits, Summary
from resnetx.benchmark.result_file import parse_benchmark
from resnetx.benchmark.stability import stability_warnings
from resnetx.benchmark.summary import summarize, summarized
from resnetx.benchmark.waves import interleaved_order
from tests.support.noise import KINDS, USUAL_MS, noisy_rounds

LIMITS = Limits(threads=2, fp32_gflops=400.0, bf16_gflops=2000.0, int8_gops=4000.0)
TIMES = st.floats(1e-3, 1e6)
ROUNDS = st.lists(st.lists(TIMES, min_size=1, max_size=9), min_size=MIN_UNITS, max_size=12)


def case_of(rounds: list[list[float]], **changes: object) -> BenchCase:
    case = BenchCase(model="m.onnx", provider="cpu", batch=1, threads=2, macs=10**9, samples_ms=rounds)
    return replace(case, **changes)  # type: ignore[arg-type]


def test_a_summary_by_hand() -> None:
    case = case_of([[9.0, 10.0], [10.0, 11.0], [10.0, 30.0]], batch=8)
    summary = summarize(case, LIMITS)
    assert summary.median_ms == 10.0
    assert summary.ci95_ms is None  # three rounds
    assert summary.images_per_s == 800.0
    # Six runs of 8 images in 80 ms.
    assert summary.mean_images_per_s == pytest.approx(6 * 8 / 80e-3) and summary.mean_images_per_s_ci95 is None
    # 2 x 1e9 x 800 operations a second, of 4000e9 in int8.
    assert summarize(replace(case, effective_precision="int8"), LIMITS).limit_fraction == pytest.approx(0.4)


def test_what_is_faster_than_the_measured_peak_has_no_share_of_it() -> None:
    summary = summarize(case_of([[10.0]], batch=8), LIMITS)
    assert summary.limit_fraction is None and summary.limit_withheld is not None
    assert summary.limit_withheld.startswith(
        "It was faster than the fp32 peak that was measured on 2 threads, 400 GFLOP/s, so no share of it is given"
    )
    json_row = summary.to_json()
    assert json_row["limit_fraction"] is None and json_row["limit_withheld"] == summary.limit_withheld
    peak = Limits(threads=2, gpu_int8_gops=1.0)
    on_gpu = summarize(case_of([[10.0]], provider="cuda", effective_precision="int8"), peak).limit_withheld
    assert on_gpu is not None and "the int8 peak that was measured on the GPU, 1 GOP/s" in on_gpu


@given(st.floats(1e-3, 1e6), st.integers(0, 10**15), st.sampled_from(["fp32", "bf16", "int8"]))
def test_a_share_is_at_most_all_of_the_limit_or_withheld_with_the_reason(ms: float, macs: int, precision: str) -> None:
    summary = summarize(case_of([[ms]], macs=macs, effective_precision=precision), LIMITS)
    assert (summary.limit_fraction is None) == (summary.limit_withheld is not None)
    assert summary.limit_fraction is None or 0 <= summary.limit_fraction <= 1


@pytest.mark.parametrize(
    ("provider", "threads", "callers", "known"),
    [
        ("cpu", 2, 1, True),
        ("cpu", 1, 2, True),  # two sessions' worth of threads, as many as the peak was measured on
        ("cpu", 2, 4, True),  # the peak is that of all cores
        ("cpu", 1, 1, False),
        ("cpu", 1, 4, False),
        ("openvino", 2, 4, True),  # its streams share the threads
        ("openvino", 1, 2, False),
    ],
)
def test_a_peak_is_the_limit_of_as_many_threads(provider: str, threads: int, callers: int, known: bool) -> None:
    case = case_of([[1000.0]], provider=provider, threads=threads, concurrency=callers)
    assert (summarize(case, LIMITS, cores=2).limit_fraction is not None) == known


def test_callers_on_more_threads_than_the_peak_are_not_compared_with_it() -> None:
    """With one thread each, four callers use four of eight cores: up to 400 % of the peak of one thread."""
    case = case_of([[10.0]], threads=1, concurrency=4)
    run = Benchmark(created="", machine={"cores": 8}, limits=Limits(threads=1, fp32_gflops=1e6), cases=(case,))
    assert summarized(run).cases[0].summary.limit_fraction is None
    assert summarized(replace(run, machine={"cores": "?"})).cases[0].summary.limit_fraction is not None


def test_callers_at_once_share_the_throughput() -> None:
    assert summarize(case_of([[10.0]], concurrency=4), None).images_per_s == 400.0


@pytest.mark.parametrize(
    ("precision", "peak"), [("fp32", 400e9), ("bf16", 2000e9), ("int8", 4000e9), ("fp16", None), ("tf32", None)]
)
def test_the_limit_is_that_of_the_effective_precision(precision: str, peak: float | None) -> None:
    fraction = summarize(case_of([[10.0]], effective_precision=precision), LIMITS).limit_fraction
    assert fraction == (None if peak is None else pytest.approx(2e9 * 100 / peak))


@pytest.mark.parametrize(
    "changes", [{"threads": 1}, {"macs": None}, {"provider": "cuda"}, {"provider": "tensorrt"}, {"samples_ms": []}]
)
def test_no_limit_fraction_without_the_limit(changes: dict[str, object]) -> None:
    assert summarize(case_of([[10.0]], **changes), LIMITS).limit_fraction is None


def test_no_limits_and_unmeasured_ones_are_none() -> None:
    assert summarize(case_of([[10.0]]), None).limit_fraction is None
    assert summarize(case_of([[10.0]]), Limits(threads=2)).limit_fraction is None


@pytest.mark.parametrize(("name", "least"), [("p50", 20), ("p90", 100), ("p95", 200), ("p99", 1000)])
def test_a_percentile_needs_ten_samples_beyond_it(name: str, least: int) -> None:
    for count in (least - 1, least):
        summary = summarize(case_of([[float(n) for n in range(1, count + 1)]]), None)
        assert summary.percentiles_ms is not None
        assert (summary.percentiles_ms[name] is not None) == (count == least)


def test_percentiles_are_those_asked_for() -> None:
    samples = [float(n) for n in range(1, 101)]
    found = summarize(case_of([samples]), None, percentiles=(50, 75, 99.9)).percentiles_ms
    assert found == {"p50": 50.5, "p75": 75.25, "p99.9": None}


@pytest.mark.parametrize("samples", [[], [[]], [[], []], [[math.nan]], [[math.inf, -1.0, 0.0, -math.inf, 1e300]]])
def test_nothing_to_say_without_times(samples: list[list[float]]) -> None:
    case = case_of(samples)
    assert summarize(case, LIMITS) == Summary()
    assert stability_warnings(case) == ()


def test_what_is_no_time_is_left_out() -> None:
    assert summarize(case_of([[5.0, math.nan, math.inf, -3.0, 0.0]]), None).median_ms == 5.0


def test_derived_figures_stand_beside_the_raw_ones() -> None:
    run = summarized(Benchmark(created="", machine={}, limits=LIMITS, cases=(case_of([[10.0]] * 8, batch=2),)))
    text = json.dumps(run.to_json(), allow_nan=False)
    row = json.loads(text)["cases"][0]
    assert row["latency_ms"]["median"] == 10.0
    assert row["latency_ms"]["ci95"] == [10.0, 10.0]
    assert row["latency_ms"]["p99"] is None
    assert row["images_per_s"] == 200.0
    assert parse_benchmark(text, source="test") == run


@given(ROUNDS)
@settings(max_examples=60, deadline=None)
def test_the_interval_holds_the_median_and_lies_within_the_medians_of_rounds(rounds: list[list[float]]) -> None:
    arrays = [np.array(samples) for samples in rounds]
    found = median_interval([arrays])
    middle = median(sample for samples in rounds for sample in samples)
    medians = [sorted(samples)[(len(samples) - 1) // 2] for samples in rounds]
    assert found is not None
    assert min(medians) <= found[0] * (1 + 1e-9) and found[0] <= middle <= found[1]
    assert found[1] <= max(*medians, middle) * (1 + 1e-9)
    assert found == median_interval([arrays]), "the same file gives the same figures"


@given(ROUNDS)
@settings(max_examples=40, deadline=None)
def test_the_interval_of_the_mean_holds_it_and_lies_within_the_means_of_rounds(rounds: list[list[float]]) -> None:
    arrays = [np.array(samples) for samples in rounds]
    found, mean = mean_interval([arrays]), float(np.concatenate(arrays).mean())
    means = [float(samples.mean()) for samples in arrays]
    assert found is not None
    assert min(means) * (1 - 1e-9) <= found[0] <= mean * (1 + 1e-9)
    assert mean * (1 - 1e-9) <= found[1] <= max(means) * (1 + 1e-9)
    summary = summarize(case_of(rounds), None)
    assert summary.mean_images_per_s == pytest.approx(1e3 / mean)
    assert summary.mean_images_per_s_ci95 == pytest.approx((1e3 / found[1], 1e3 / found[0]))


@given(ROUNDS, st.floats(0.01, 100.0), st.sampled_from([median_interval, mean_interval]))
@settings(max_examples=40, deadline=None)
def test_other_units_give_the_same_interval(
    rounds: list[list[float]], unit: float, interval: Callable[..., tuple[float, float] | None]
) -> None:
    arrays = [np.array(samples) for samples in rounds]
    plain, scaled = interval([arrays]), interval([[samples * unit for samples in arrays]])
    assert plain is not None and scaled is not None
    assert scaled == pytest.approx((plain[0] * unit, plain[1] * unit), rel=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_resampling_agrees_with_doing_it_the_long_way(share: float) -> None:
    rng = np.random.default_rng(3)
    rounds = [rng.gamma(4, 1 + number / 10, size=rng.integers(5, 30)) for number in range(9)]
    draws = draw_rounds([[samples] for samples in rounds], within=True)[:200]
    for row, found in zip(draws, resampled_quantiles(rounds, draws, share=share), strict=True):
        drawn = np.concatenate([np.repeat(samples, int(times)) for samples, times in zip(rounds, row, strict=True)])
        assert found == np.quantile(drawn, share, method="inverted_cdf")


@pytest.mark.parametrize("interval", [median_interval, mean_interval])
@pytest.mark.parametrize("count", [MIN_UNITS - 1, 1, 0])
def test_too_few_rounds_have_no_interval(count: int, interval: Callable[..., tuple[float, float] | None]) -> None:
    assert interval([[np.array([1.0, 2.0])] * count]) is None
    if count != 1:
        assert interval([[np.array([1.0, 2.0])] * 9] * count) is None


@pytest.mark.parametrize(
    ("level", "freedom", "known"),
    [
        *((0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.95, 3, 2.35336), (0.975, 4, 2.77645), (0.995, 4, 4.60409)),
        *((0.9995, 4, 8.61030), (0.975, 9, 2.26216), (0.995, 9, 3.24984), (0.975, 19, 2.09302), (0.9995, 19, 3.88341)),
        (0.5, 7, 0.0),
    ],
)
def test_student_t_is_that_of_the_printed_tables(level: float, freedom: int, known: float) -> None:
    assert student_t(level, freedom) == pytest.approx(known, rel=1e-5, abs=1e-9)


@given(st.floats(0.501, 0.99999), st.integers(1, 200))
def test_student_t_has_its_level_and_falls_towards_the_normal_one(level: float, freedom: int) -> None:
    """By the law for one degree of freedom, a tangent, and by the order of all others below it."""
    assert student_t(level, 1) == pytest.approx(math.tan(math.pi * (level - 0.5)), rel=1e-9)
    assert NormalDist().inv_cdf(level) <= student_t(level, freedom + 1) * (1 + 1e-9)
    assert student_t(level, freedom + 1) <= student_t(level, freedom) * (1 + 1e-9)


def test_few_rounds_are_cut_off_further_out() -> None:
    tails = [expanded_tail(count, 0.95) for count in (5, 10, 20, 1000)]
    assert tails == sorted(tails)
    assert tails[-1] == pytest.approx(0.025, rel=0.02)


@pytest.mark.parametrize("kind", ["calm", "bursts"])
def test_the_interval_covers(kind: str) -> None:
    """95 of 100, give or take what 300 repetitions leave open; single samples drawn again would cover half of that."""
    rng, trials = np.random.default_rng(11), 300
    truth = float(np.median(noisy_rounds(rng, kind, rounds=20_000, runs=20)))
    covered = 0
    for _ in range(trials):
        found = median_interval([list(noisy_rounds(rng, kind, cases=1, rounds=10, runs=20)[0])])
        covered += found is not None and found[0] <= truth <= found[1]
    assert covered / trials >= 0.92


def test_the_interval_of_the_mean_covers() -> None:
    """Of processes that differ, with skewed times; of times without a variance, no few samples tell the mean."""
    rng, trials, covered = np.random.default_rng(11), 300, 0
    for _ in range(trials):
        levels = rng.normal(10, 0.2, 10)
        found = mean_interval([[level + rng.gamma(1, 0.5, 20) for _ in range(2)] for level in levels])
        covered += found is not None and found[0] <= 10.5 <= found[1]
    assert 0.92 <= covered / trials <= 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_what_it_says(kind: str) -> None:
    samples = noisy_rounds(np.random.default_rng(5), kind, rounds=2000)
    assert samples.shape == (2, 2000, 40)
    assert np.median(samples) == pytest.approx(USUAL_MS, rel=0.25)


def test_order_by_hand() -> None:
    assert interleaved_order(3, 3) == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]
    assert interleaved_order(0, 2) == [[], []]
    assert interleaved_order(2, 0) == []


@given(st.integers(1, 12), st.integers(1, 20))
def test_each_case_runs_once_a_round_and_none_is_favoured(cases: int, rounds: int) -> None:
    order = interleaved_order(cases, rounds)
    assert len(order) == rounds
    assert all(sorted(turn) == list(range(cases)) for turn in order)
    if rounds % 2 == 0:
        flat = [case for turn in order for case in turn]
        places = [np.mean([place for place, who in enumerate(flat) if who == case]) for case in range(cases)]
        assert places == pytest.approx([np.mean(range(len(flat)))] * cases)


def test_a_quiet_case_has_no_warnings() -> None:
    quiet = noisy_rounds(np.random.default_rng(1), "calm")[0]
    assert stability_warnings(case_of(quiet.tolist())) == ()


def test_quiet_cases_are_rarely_warned_about() -> None:
    rng = np.random.default_rng(2)
    warned = [stability_warnings(case_of(noisy_rounds(rng, "calm", rounds=10)[0].tolist())) for _ in range(200)]
    assert sum(bool(warnings) for warnings in warned) <= 12


def test_a_drift_is_named_with_its_size() -> None:
    rng = np.random.default_rng(1)
    rounds = noisy_rounds(rng, "calm", rounds=12)[0] * np.linspace(1, 1.1, 12)[:, None]
    (warning,) = [text for text in stability_warnings(case_of(rounds.tolist())) if "drift" in text]
    assert warning.startswith("Samples drift: the last round is ") and warning.endswith("% slower than the first.")
    assert 8 <= int(warning.split("%")[0].split()[-1]) <= 12
    assert "faster" in " ".join(stability_warnings(case_of(rounds[::-1].tolist())))


def test_rounds_that_differ_are_named() -> None:
    rounds = [[10.0] * 20, [12.0] * 20] * 5
    (warning,) = stability_warnings(case_of(rounds))
    assert warning == "Rounds differ: the middle half of their medians spans 18%."


def test_disturbed_runs_are_counted() -> None:
    (warning,) = stability_warnings(case_of([[10.0] * 19 + [40.0]] * 10))
    assert warning == "5% of the runs took more than twice the median: something else used the machine."


def test_few_rounds_are_said_to_be_few() -> None:
    (warning,) = stability_warnings(case_of([[1.0], [2.0]]))
    assert "Only 2 rounds" in warning
