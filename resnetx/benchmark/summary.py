"""Figures derived from raw samples: medians and their intervals, percentiles, throughput, and how processes differ."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

import numpy as np

from resnetx.benchmark.loadgen.result import SAMPLES_PER_QUERY, LoadResult
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.peak_share import faster_in_words, share_of_peak
from resnetx.benchmark.process_spread import process_spread
from resnetx.benchmark.resampling import mean_interval, median_interval
from resnetx.benchmark.result import BenchCase, Benchmark, Limits, Summary
from resnetx.benchmark.samples import valid_processes
from resnetx.runtime.catalog import BY_NAME, runs_on_gpu

# A percentile needs this many samples beyond it, i.e. 100 in all for p90, 200 for p95, 1,000 for p99.
SAMPLES_BEYOND = 10


def summarized(run: Benchmark) -> Benchmark:
    """The run with the figures of every case. Called once, when the run is complete or was read from a file."""
    percentiles, cores = run.settings.percentiles, run.machine.get("cores")

    def with_figures(cases: Sequence[BenchCase]) -> tuple[BenchCase, ...]:
        found = [summarize(case, run.limits, percentiles=percentiles, cores=_whole(cores)) for case in cases]
        return tuple(replace(case, summary=summary) for case, summary in zip(cases, found, strict=True))

    return replace(run, cases=with_figures(run.cases), base_cases=with_figures(run.base_cases))


def summarize(
    case: BenchCase,
    limits: Limits | None,
    *,
    percentiles: Sequence[float] = BenchOptions.percentiles,
    cores: int = 1,
) -> Summary:
    """The figures of one case, on a machine with so many cores. Throughput is that of all `concurrency` callers."""
    if case.load is not None:
        return _summarize_load(case, case.load, limits, percentiles, cores)
    processes = valid_processes(case)
    if not processes:
        return Summary()
    samples = np.concatenate([samples for process in processes for samples in process])
    median, mean_ci95_ms = float(np.median(samples)), mean_interval(processes)
    images = 1e3 * case.batch * case.concurrency
    spread = process_spread(processes)
    return Summary(
        median_ms=median,
        ci95_ms=median_interval(processes),
        percentiles_ms={f"p{share:g}": _percentile(samples, share) for share in percentiles},
        images_per_s=images / median,
        mean_images_per_s=images / float(samples.mean()),
        mean_images_per_s_ci95=None if mean_ci95_ms is None else (images / mean_ci95_ms[1], images / mean_ci95_ms[0]),
        joules_per_image=_joules_per_image(case),
        process_spread=None if spread is None else spread.between,
        **_limit(case, images / median, limits, cores),
    )


def _summarize_load(
    case: BenchCase, load: LoadResult, limits: Limits | None, percentiles: Sequence[float], cores: int
) -> Summary:
    """Query latencies as LoadGen reports them. There are no rounds, so there is no interval."""
    known, rate = load.run.percentiles_ms, load.run.samples_per_s
    samples = load.run.queries * SAMPLES_PER_QUERY.get(load.scenario, 1)
    return Summary(
        median_ms=known.get("p50"),
        percentiles_ms={f"p{share:g}": known.get(f"p{share:g}") for share in percentiles},
        images_per_s=rate,
        mean_images_per_s=rate,
        joules_per_image=case.energy_j / samples if case.energy_j and samples else None,
        **_limit(case, rate, limits, cores),
    )


def _whole(value: object) -> int:
    """The cores in the facts of a machine, which may come from an untrusted file; 1 if unknown."""
    return value if isinstance(value, int) else 1


def _percentile(samples: np.ndarray, share: float) -> float | None:
    enough = 0 <= share < 100 and samples.size * (100 - share) >= 100 * SAMPLES_BEYOND - 1e-6
    return float(np.percentile(samples, share)) if enough else None


def _joules_per_image(case: BenchCase) -> float | None:
    """The energy of all timed rounds, per image."""
    images = case.batch * sum(len(samples) for samples in case.samples_ms)
    return case.energy_j / images if case.energy_j and images else None


class Reached(TypedDict):
    limit_fraction: float | None
    limit_withheld: str | None


def _limit(case: BenchCase, images_per_s: float | None, limits: Limits | None, cores: int) -> Reached:
    """The share of the peak in the effective precision, or why there is none although the peak is known."""
    gpu = runs_on_gpu(case.provider, case.options)
    known = limits is not None and not case.fallback and (gpu or _on_as_many_threads(case, limits.threads, cores))
    peak = limits.peak_gflops(case.effective_precision, gpu=gpu) if limits is not None and known else None
    if case.macs is None or images_per_s is None or limits is None or peak is None:
        return Reached(limit_fraction=None, limit_withheld=None)
    reached = share_of_peak(2 * case.macs * images_per_s / 1e9, peak)
    where = "on the GPU" if gpu else f"on {limits.threads} thread{'' if limits.threads == 1 else 's'}"
    withheld = faster_in_words(case.effective_precision, peak, where) if reached.faster else None
    return Reached(limit_fraction=reached.share, limit_withheld=withheld)


def _on_as_many_threads(case: BenchCase, threads: int, cores: int) -> bool:
    """Whether a peak on `threads` threads is a limit of the case, whose callers may use more threads than one session.

    A peak on all cores is a limit of any number of callers.
    """
    row = BY_NAME.get(case.provider)
    callers = 1 if row is not None and row.streams_key else case.concurrency
    return case.threads * callers == threads or (case.threads == threads >= cores)
