"""Figures derived from raw samples: medians, bootstrap intervals over rounds, and percentiles.

Samples within a round are correlated, because the machine hardly changes in that time. Therefore rounds are resampled,
not samples; intervals from single samples would be several times too narrow.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from resnetx.benchmark.loadgen.result import SAMPLES_PER_QUERY, LoadResult
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.result import BenchCase, Benchmark, Limits, Summary
from resnetx.runtime.catalog import runs_on_gpu

# A percentile needs this many samples beyond it, i.e. 100 in all for p90, 200 for p95, 1,000 for p99.
SAMPLES_BEYOND = 10
# Fewer rounds are not enough to estimate how rounds differ.
MIN_ROUNDS = 5
RESAMPLES = 4000
CANDIDATES = 512
# Times in an untrusted file outside this range are ignored.
SHORTEST_MS, LONGEST_MS = 1e-7, 1e10


def summarized(run: Benchmark) -> Benchmark:
    """The run with the figures of every case. Called once, when the run is complete or was read from a file."""

    def with_figures(cases: Sequence[BenchCase]) -> tuple[BenchCase, ...]:
        percentiles = run.settings.percentiles
        return tuple(replace(case, summary=summarize(case, run.limits, percentiles=percentiles)) for case in cases)

    return replace(run, cases=with_figures(run.cases), base_cases=with_figures(run.base_cases))


def summarize(
    case: BenchCase, limits: Limits | None, *, percentiles: Sequence[float] = BenchOptions.percentiles
) -> Summary:
    """The figures of one case. `images_per_s` is the throughput of all `concurrency` callers at the median."""
    if case.load is not None:
        return _summarize_load(case, case.load, limits, percentiles)
    rounds = valid_rounds(case)
    if not rounds:
        return Summary()
    samples = np.concatenate(rounds)
    median = float(np.median(samples))
    images_per_s = 1e3 * case.batch * case.concurrency / median
    return Summary(
        median_ms=median,
        ci95_ms=median_interval(rounds),
        percentiles_ms={f"p{share:g}": _percentile(samples, share) for share in percentiles},
        images_per_s=images_per_s,
        limit_fraction=_limit_fraction(case, images_per_s, limits),
        joules_per_image=_joules_per_image(case),
    )


def _summarize_load(case: BenchCase, load: LoadResult, limits: Limits | None, percentiles: Sequence[float]) -> Summary:
    """Query latencies as LoadGen reports them. There are no rounds, so there is no interval."""
    known, rate = load.run.percentiles_ms, load.run.samples_per_s
    samples = load.run.queries * SAMPLES_PER_QUERY.get(load.scenario, 1)
    return Summary(
        median_ms=known.get("p50"),
        percentiles_ms={f"p{share:g}": known.get(f"p{share:g}") for share in percentiles},
        images_per_s=rate,
        limit_fraction=None if rate is None else _limit_fraction(case, rate, limits),
        joules_per_image=case.energy_j / samples if case.energy_j and samples else None,
    )


def valid_rounds(case: BenchCase) -> list[np.ndarray]:
    """The valid samples of each round that has any."""
    rounds = [np.asarray(samples, dtype=np.float64) for samples in case.samples_ms]
    kept = [samples[(samples >= SHORTEST_MS) & (samples <= LONGEST_MS)] for samples in rounds]
    return [samples for samples in kept if samples.size]


def median_interval(rounds: Sequence[np.ndarray], *, confidence: float = 0.95) -> tuple[float, float] | None:
    """The confidence interval of the median over all samples, by resampling rounds with replacement.

    The percentile bootstrap is too narrow for few rounds, so its levels are widened to match Student's t.
    """
    if len(rounds) < MIN_ROUNDS:
        return None
    medians = resampled_quantiles(rounds, draw_rounds(len(rounds)))
    tail = expanded_tail(len(rounds), confidence)
    low, high = np.quantile(medians, [tail, 1 - tail])
    middle = float(np.median(np.concatenate(rounds)))
    return min(float(low), middle), max(float(high), middle)


def expanded_tail(count: int, confidence: float) -> float:
    """The share to cut off at each side of a percentile bootstrap over `count` rounds to match Student's t."""
    t = student_t((1 + confidence) / 2, count - 1)
    return NormalDist().cdf(-math.sqrt(count / (count - 1)) * t)


def student_t(level: float, freedom: int) -> float:
    """The `level` quantile of Student's t, by bisection of its distribution function."""
    low, high = 0.0, 2.0
    while _t_distribution(high, freedom) < level:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_distribution(middle, freedom) < level else (low, middle)
    return (low + high) / 2


def _t_distribution(t: float, freedom: int) -> float:
    """The finite series for integer degrees of freedom: Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    term = cosine if freedom % 2 else 1.0
    total = term if freedom > 1 else 0.0
    for step in range(3 if freedom % 2 else 2, freedom - 1, 2):
        term *= (step - 1) / step * cosine**2
        total += term
    inside = 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total
    return (1 + inside) / 2


def draw_rounds(count: int, *, resamples: int = RESAMPLES) -> np.ndarray:
    """How often each of `count` rounds is drawn in each resample; the seed is fixed for reproducible figures."""
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.asarray(draws, dtype=np.float64)


def resampled_quantiles(rounds: Sequence[np.ndarray], draws: np.ndarray, *, share: float = 0.5) -> np.ndarray:
    """The quantile over all samples of each resample; it is between the lowest and the highest of a single round."""
    candidates = _candidates(rounds, share)
    below = np.array([np.searchsorted(np.sort(samples), candidates, side="right") for samples in rounds], dtype=float)
    sizes = np.array([samples.size for samples in rounds], dtype=float)
    reached = draws @ below >= share * (draws @ sizes)[:, None] - 1e-9
    # The highest candidate is at least every round's quantile, so each row reaches its share.
    return np.asarray(candidates[np.argmax(reached, axis=1)])


def _candidates(rounds: Sequence[np.ndarray], share: float) -> np.ndarray:
    # Not interpolated, because the pooled quantile may be outside the range of interpolated ones.
    quantiles = [np.quantile(samples, share, method="inverted_cdf") for samples in rounds]
    pooled = np.sort(np.concatenate(rounds))
    inside: np.ndarray = pooled[(pooled >= min(quantiles)) & (pooled <= max(quantiles))]
    if inside.size <= CANDIDATES:
        return inside
    return np.asarray(inside[np.linspace(0, inside.size - 1, CANDIDATES).astype(int)])


def _percentile(samples: np.ndarray, share: float) -> float | None:
    enough = 0 <= share < 100 and samples.size * (100 - share) >= 100 * SAMPLES_BEYOND - 1e-6
    return float(np.percentile(samples, share)) if enough else None


def _joules_per_image(case: BenchCase) -> float | None:
    """The energy of all timed rounds, per image."""
    images = case.batch * sum(len(samples) for samples in case.samples_ms)
    return case.energy_j / images if case.energy_j and images else None


def _limit_fraction(case: BenchCase, images_per_s: float, limits: Limits | None) -> float | None:
    """Of the peak in the effective precision; None if that was not measured with the same number of threads."""
    if limits is None or case.macs is None or case.fallback:
        return None
    if runs_on_gpu(case.provider, case.options):
        peaks = {
            "fp32": limits.gpu_fp32_gflops,
            "tf32": limits.gpu_tf32_gflops,
            "fp16": limits.gpu_fp16_gflops,
            "bf16": limits.gpu_bf16_gflops,
            "int8": limits.gpu_int8_gops,
        }
    elif case.threads == limits.threads:
        peaks = {"fp32": limits.fp32_gflops, "bf16": limits.bf16_gflops, "int8": limits.int8_gops}
    else:
        return None
    peak = peaks.get(case.effective_precision)
    return 2 * case.macs * images_per_s / (peak * 1e9) if peak else None
