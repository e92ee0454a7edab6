"""The tables of a benchmark: both throughputs, what they are, and shares of the limit or why there are none."""

import io
from dataclasses import replace

from rich.console import Console

from resnetx.benchmark.result import Benchmark, Limits
from resnetx.benchmark.summary import summarized
from resnetx.report.bench import render_bench
from tests.support.sample_benchmark import sample_benchmark


def shown(benchmark: Benchmark, width: int = 80) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(render_bench(benchmark))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def row_of(text: str, *words: str) -> str:
    return next(line for line in text.splitlines() if all(word in line for word in words))


def test_throughput_at_the_median_says_so_and_the_mean_stands_beside_it() -> None:
    run = sample_benchmark()
    text = shown(run)
    assert all(len(line) <= 80 for line in text.splitlines())
    upper, lower = text.splitlines()[1:3]
    assert upper.split() == ["median", "95", "%", "ci", "img/s", "img/s", "x"]
    assert lower.split()[3:] == ["ms", "of", "median", "median", "mean", "torch", "parity"]
    summary = run.cases[0].summary
    assert summary.images_per_s is not None and summary.mean_images_per_s is not None
    row = row_of(text, "torch", f"{summary.images_per_s:#.4g}", f"{summary.mean_images_per_s:#.4g} ±")
    assert row.index(f"{summary.images_per_s:#.4g}") < row.index("±")
    words = "img/s: at the median time of a run; mean: all images over the time of all runs, ± its 95 % interval"
    assert words in " ".join(text.split())


def test_a_mean_of_few_rounds_has_no_interval() -> None:
    run = sample_benchmark()
    few = tuple(replace(case, samples_ms=case.samples_ms[:2]) for case in run.cases)
    assert not any("±" in line for line in shown(summarized(replace(run, cases=few))).splitlines() if "fp32" in line)


def test_a_share_above_the_limit_is_a_dash_and_a_note() -> None:
    """Rows that share the reason share the note."""
    run = sample_benchmark()
    assert "so no share of it is given" not in shown(run) and row_of(shown(run), "  openvino", "%")
    low = summarized(replace(run, limits=Limits(threads=2, fp32_gflops=0.5, bf16_gflops=2500.0)))
    text = " ".join(shown(low, width=100).split())
    assert text.count("It was faster than the fp32 peak that was measured on 2 threads, 0.5 GFLOP/s") == 1
    assert not any(
        "torch" in line and "%" in line.split("torch")[1] for line in shown(low).splitlines() if "±" not in line
    )
