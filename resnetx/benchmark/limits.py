"""Measures the limits of the machine in a few seconds: peak arithmetic by precision, and memory bandwidth."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from resnetx.benchmark.result import Limits
from resnetx.errors import UsageError

if TYPE_CHECKING:
    from resnetx.base.precisions import Precision
    from resnetx.benchmark.peak_kernels import Work

Clock = Callable[[], int]
# For each of the three precisions, and for the streams.
BUDGET_S = 0.9
SAMPLES = 9
# Slow samples do not count, because the peak is the undisturbed rate. The single fastest one may be a clock error, so
# that the median of the fastest few is used.
BEST = 3
# Smallest first: the time of each shows whether the next one fits into the budget. Small ones stay in the caches, large
# ones use all units of machines with many cores.
SIZES = (256, 512, 1024, 2048, 4096)
# Smaller products do not use the whole GPU.
GPU_SIZES = (1024, 2048, 4096, 8192)


# The approximate amount of work and a function that prepares it, because preparing large work takes time as well.
Task = tuple[int, Callable[[], Sequence["Work"]]]


def measure_limits(threads: int, *, clock: Clock = time.perf_counter_ns, budget_s: float = BUDGET_S) -> Limits:
    """The peaks that `threads` threads reach; None for what cannot be measured. Takes four times the budget."""
    if threads < 1:
        raise UsageError(f"Limits are measured on at least one thread; found {threads}.")
    from resnetx.benchmark import peak_kernels

    def rate(tasks: Iterable[Task]) -> float | None:
        return best_rate(tasks, clock=clock, budget_s=budget_s)

    def products(precision: "Precision") -> list[Task]:
        return [
            (peak_kernels.operations(size), partial(peak_kernels.products, precision, size, threads=threads))
            for size in SIZES
        ]

    with peak_kernels.on_threads(threads):
        return Limits(
            threads=threads,
            fp32_gflops=rate(products("fp32")),
            bf16_gflops=rate(products("bf16")),
            int8_gops=rate(products("int8")),
            bandwidth_gb_s=rate([(0, peak_kernels.streams)]),
        )


def with_gpu_limits(
    limits: Limits, *, device: str = "cuda", clock: Clock = time.perf_counter_ns, budget_s: float = BUDGET_S
) -> Limits:
    """`limits` with the peaks that PyTorch reaches on the GPU; None for what it cannot compute there."""
    from resnetx.benchmark import peak_kernels

    def rate(precision: "Precision") -> float | None:
        products = partial(peak_kernels.gpu_products, precision, device=device)
        with peak_kernels.on_gpu(precision):
            tasks = [(peak_kernels.operations(size), partial(products, size)) for size in GPU_SIZES]
            return best_rate(tasks, clock=clock, budget_s=budget_s)

    return replace(
        limits,
        gpu_fp32_gflops=rate("fp32"),
        gpu_tf32_gflops=rate("tf32"),
        gpu_fp16_gflops=rate("fp16"),
        gpu_bf16_gflops=rate("bf16"),
        gpu_int8_gops=rate("int8"),
        gpu_bandwidth_gb_s=best_rate(
            [(0, partial(peak_kernels.gpu_streams, device=device))], clock=clock, budget_s=budget_s
        ),
    )


def best_rate(tasks: Iterable[Task], *, clock: Clock, budget_s: float) -> float | None:
    """The highest rate of any work of the tasks, in 10^9 per second; None if nothing ran.

    The smallest task comes first. A task that would exceed the rest of the budget at the best rate so far is skipped.
    """
    end, best = clock() + int(budget_s * 1e9), 0.0
    for amount, make in tasks:
        if best and (BEST + 1) * amount / best > end - clock():
            break
        for work in _made(make):
            best = max(best, _rate(work, clock, end))
    return best or None


def _made(make: Callable[[], Sequence["Work"]]) -> Sequence["Work"]:
    try:
        return make()
    except Exception:  # unsupported precision or not enough memory; each library raises its own types
        return ()


def _rate(work: "Work", clock: Clock, end: int) -> float:
    """Operations per nanosecond, i.e. 10^9 per second; zero for work that fails."""
    samples: list[int] = []
    try:
        work.run()  # allocates, packs and compiles
        while len(samples) < BEST or (len(samples) < SAMPLES and clock() < end):
            before = clock()
            work.run()
            samples.append(max(clock() - before, 1))
    except Exception:  # as above
        return 0.0
    return work.amount / statistics.median(sorted(samples)[:BEST])
