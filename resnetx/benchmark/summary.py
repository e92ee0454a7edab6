"""Figures derived from raw samples: medians and their intervals, percentiles, throughput, and how processes differ."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from resnetx.benchmark.loadgen.result import SAMPLES_PER_QUERY, LoadResult
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.process_spread import process_spread
from resnetx.benchmark.resampling import median_interval
from resnetx.benchmark.result import BenchCase, Benchmark, Limits, Summary
from resnetx.benchmark.samples import valid_processes
from resnetx.runtime.catalog import runs_on_gpu

# A percentile needs this many samples beyond it, i.e. 100 in all for p90, 200 for p95, 1,000 for p99.
SAMPLES_BEYOND = 10


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
    processes = valid_processes(case)
    if not processes:
        return Summary()
    samples = np.concatenate([samples for process in processes for samples in process])
    median = float(np.median(samples))
    images_per_s = 1e3 * case.batch * case.concurrency / median
    spread = process_spread(processes)
    return Summary(
        median_ms=median,
        ci95_ms=median_interval(processes),
        percentiles_ms={f"p{share:g}": _percentile(samples, share) for share in percentiles},
        images_per_s=images_per_s,
        limit_fraction=_limit_fraction(case, images_per_s, limits),
        joules_per_image=_joules_per_image(case),
        process_spread=None if spread is None else spread.between,
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
