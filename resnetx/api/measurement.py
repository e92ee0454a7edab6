"""The public functions that measure: bench, compare, profile, tune."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from resnetx.api.parameters import names_parameters
from resnetx.base.precisions import SessionPrecision
from resnetx.base.progress import OnProgress, ignore
from resnetx.base.vocabulary import AUTO, LATENCY, Boundary, Scenario
from resnetx.benchmark.comparison.compare import MAX_SLOWDOWN, Comparison
from resnetx.benchmark.comparison.compare import compare as compare_benchmarks
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.profiling.options import ProfileOptions
from resnetx.benchmark.profiling.result import Profile
from resnetx.benchmark.profiling.run import profile_file
from resnetx.benchmark.result import Benchmark
from resnetx.benchmark.result_file import read_benchmark
from resnetx.benchmark.run import run_benchmark
from resnetx.benchmark.watch import Watch
from resnetx.tuning.options import Objective, TuneOptions
from resnetx.tuning.result import Tuning
from resnetx.tuning.tune import tune_file


@names_parameters
def bench(
    models: str | Path | Sequence[str | Path],
    *,
    providers: Sequence[str] = (AUTO,),
    batches: Sequence[int] | None = None,
    threads: int | None = None,
    duration_s: float | None = None,
    rounds: int | None = None,
    processes: int | None = None,
    warmup: int = 5,
    concurrency: int = 1,
    percentiles: Sequence[float] = (50, 90, 95, 99),
    boundary: Boundary = "host",
    precision: SessionPrecision = "default",
    scenario: Scenario = LATENCY,
    target_qps: float | None = None,
    latency_bound_ms: float | None = None,
    golden: str | Path | None = None,
    reference: str | Path | None = None,
    verify: bool = True,
    provider_options: Mapping[str, str] | None = None,
    allow_fallback: bool = False,
    timeout_s: float = 300.0,
    memory_mb: int | None = None,
    progress: OnProgress | None = None,
) -> Benchmark:
    """Measure the speed of files, or folders of `tune`, under every provider and batch size, and verify what was timed.

    `duration_s` is for each row, over all its `rounds`. The reference is the network of the model card, a `golden`
    bundle or another file, as in `verify`; a file without any is compared with itself, not optimized. `to_json` of the
    result is what `compare` and `resnetx compare` read.

    >>> resnetx.bench("small.onnx", providers=["cpu"], duration_s=0.1, rounds=2, processes=1)
    <Benchmark of 1 row: passed, fastest small.onnx on cpu, batch 1: ... ms, ... images/s>
    """
    paths = [models] if isinstance(models, str | Path) else models
    options = BenchOptions(
        providers=tuple(providers),
        batches=None if batches is None else tuple(batches),
        threads=threads,
        duration_s=duration_s,
        rounds=rounds,
        processes=processes,
        warmup=warmup,
        concurrency=concurrency,
        percentiles=tuple(percentiles),
        boundary=boundary,
        precision=precision,
        scenario=scenario,
        target_qps=target_qps,
        latency_bound_ms=latency_bound_ms,
        golden=None if golden is None else str(golden),
        reference=None if reference is None else str(reference),
        verify=verify,
        provider_options=dict(provider_options or {}),
        allow_fallback=allow_fallback,
        timeout_s=timeout_s,
        memory_mb=memory_mb,
    )
    return run_benchmark([Path(path) for path in paths], options, watch=Watch(progress=progress or ignore))


@names_parameters
def compare(
    old: str | Path | Benchmark,
    new: str | Path | Benchmark,
    *,
    max_slowdown: float = MAX_SLOWDOWN,
    any_machine: bool = False,
) -> Comparison:
    """Compare two benchmarks, or files of `resnetx bench --json`, row by row: faster, slower, same, or can't tell.

    A row fails if the whole interval of its ratio is above `max_slowdown`, a share such as 0.02.

    >>> quick = {"providers": ["cpu"], "duration_s": 0.2, "rounds": 10, "processes": 1}
    >>> old = resnetx.bench("small.onnx", **quick)
    >>> resnetx.compare(old, resnetx.bench("small.onnx", **quick), max_slowdown=0.5)
    <Comparison of 1 row: ...>
    """
    return compare_benchmarks(
        *(each if isinstance(each, Benchmark) else read_benchmark(each) for each in (old, new)),
        names=("old" if isinstance(old, Benchmark) else str(old), "new" if isinstance(new, Benchmark) else str(new)),
        max_slowdown=max_slowdown,
        any_machine=any_machine,
    )


@names_parameters
def profile(
    path: str | Path,
    *,
    provider: str = AUTO,
    batch: int | None = None,
    threads: int | None = None,
    precision: SessionPrecision = "default",
    provider_options: Mapping[str, str] | None = None,
    duration_s: float | None = None,
    timeout_s: float | None = None,
    memory_mb: int | None = None,
    progress: OnProgress | None = None,
) -> Profile:
    """Where the time of a run of a file goes, layer by layer, on a provider that tells it: cpu, openvino or torch.

    The file runs in a process with limits: `timeout_s` and `memory_mb`, by default from its size.

    >>> resnetx.profile("small.onnx", provider="cpu", duration_s=0.1)
    <Profile of small.onnx on cpu: ... ms a run, ... layers, most in ... (...%)>
    """
    options = ProfileOptions(
        provider=provider,
        batch=batch,
        threads=threads,
        precision=precision,
        provider_options=dict(provider_options or {}),
        duration_s=duration_s,
        timeout_s=timeout_s,
        memory_mb=memory_mb,
    )
    return profile_file(Path(path), options, progress=progress or ignore)


@names_parameters
def tune(
    source: str | Path,
    folder: str | Path,
    *,
    objective: Objective = "latency",
    providers: Sequence[str] | None = None,
    batches: Sequence[int] | None = None,
    threads: int | None = None,
    latency_bound_ms: float | None = None,
    calibrate: str | Path | None = None,
    evaluate: str | Path | None = None,
    max_drop: float | None = None,
    force: bool = False,
    progress: OnProgress | None = None,
) -> Tuning:
    """Search for the fastest correct way to run a file on this machine, and write it into `folder`.

    With `calibrate`, as in `quantize`, INT8 files are tried too. Look at `best` of the result, which may be None.
    It takes minutes.

    >>> resnetx.tune("small.onnx", "tuned", providers=["cpu"])  # doctest: +SKIP
    <Tuning of small.onnx: cpu, batch 1, 0.05 ms>
    """
    options = TuneOptions(
        objective=objective,
        providers=None if providers is None else tuple(providers),
        batches=None if batches is None else tuple(batches),
        threads=threads,
        latency_bound_ms=latency_bound_ms,
        calibrate=calibrate,
        evaluate=None if evaluate is None else Path(evaluate),
        max_drop=max_drop,
        force=force,
    )
    return tune_file(Path(source), Path(folder), options, watch=Watch(progress=progress or ignore))
