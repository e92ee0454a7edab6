"""`resnetx bench`: latency and throughput under every provider, with the verdict on what was timed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnetx.cli.options import (
    AnyMachine,
    JsonFile,
    MaxSlowdown,
    parse_ints,
    parse_max_slowdown,
    parse_numbers,
    parse_pairs,
    parse_words,
)
from resnetx.errors import UsageError

if TYPE_CHECKING:
    from resnetx.benchmark.comparison.rerun import Against


def bench(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL.onnx...", help="Any ONNX image models.", show_default=False)
    ],
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,NAME,...",
            help="cpu, openvino, cuda, tensorrt, torch, torch-compile, or auto for the best that works.  "
            "[default: auto]",
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Batch sizes; in a scenario, the most samples that run together.  [default: the one that the file "
            "fixes, or 1; 8 in multi-stream, server and offline]",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Of each case.  [default: the cores it may use]")] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Seconds of timing for each case; in a scenario, of each run of LoadGen.  [default: 5; 10]",
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Turns that the cases take, in an order that reverses.  [default: 20]")
    ] = None,
    warmup: Annotated[int, typer.Option(help="Untimed runs of each case before its first round.")] = 5,
    concurrency: Annotated[int, typer.Option(help="Runs at a time, from as many threads.")] = 1,
    scenario: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="latency: runs, one after another; or traffic of MLPerf's LoadGen: single-stream, multi-stream, "
            "server, offline.",
        ),
    ] = "latency",
    target_qps: Annotated[
        float | None,
        typer.Option(
            metavar="N", help="Queries a second in server.  [default: look for the highest that keeps the bound]"
        ),
    ] = None,
    latency_bound: Annotated[
        float | None, typer.Option(metavar="MS", help="What p99 must stay within in server.  [default: 15]")
    ] = None,
    percentile: Annotated[str, typer.Option(metavar="P,P,...", help="Percentiles of latency.")] = "50,90,95,99",
    boundary: Annotated[
        str, typer.Option(metavar="host|device", help="Between which arrays is timed: in the host's memory or not.")
    ] = "host",
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Don't hold what was timed against PyTorch.")] = False,
    provider_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[PROVIDER:]K=V", help="An option of a provider's own, such as torch:precision=bf16; repeatable."
        ),
    ] = None,
    allow_fallback: Annotated[
        bool, typer.Option("--allow-fallback", help="Where a provider doesn't run a model, time what does, and say so.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(metavar="BASE.json", help="Judge this run against an earlier one, which runs again in turns."),
    ] = None,
    max_slowdown: MaxSlowdown = None,
    any_machine: AnyMachine = False,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds after which a case that gives no answer has failed.")
    ] = 300.0,
    json_file: JsonFile = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the report as a web page.")] = None,
) -> None:
    """Time models on providers: each case in a process of its own, in interleaved rounds, verified afterwards.

    With --against each case of the earlier run whose model is still here, byte for byte, runs again beside the new
    one; of the others the stored samples are compared.

    Exit status: 0 every case ran and agrees with its reference; 1 one did not, or is slower than in the run that it is
    held against, or serves no rate (or not --target-qps) within its bound; 2 nothing could be run. Ctrl-C and SIGTERM
    show and write what there is, and exit with 130 and 143.
    """
    import json

    from resnetx.base.files import require_writable, write_whole
    from resnetx.benchmark.comparison.rerun import judge, run_against
    from resnetx.benchmark.loadgen.options import parse_load
    from resnetx.benchmark.plan import BenchOptions, chosen_duration, chosen_rounds, parse_boundary
    from resnetx.benchmark.run import interrupted, passed, run_benchmark
    from resnetx.cli.live_view import watch_benchmark
    from resnetx.cli.signals import sigterm_interrupts
    from resnetx.cli.terminal import console
    from resnetx.report.bench import render_bench
    from resnetx.report.comparison import render_comparison

    earlier = _earlier_run(against, max_slowdown, any_machine)
    load = parse_load(scenario, target_qps, latency_bound)
    options = BenchOptions(
        providers=parse_words(provider or ["auto"], "--provider"),
        batches=None if batch is None else parse_ints(batch, "--batch"),
        threads=threads,
        duration_s=chosen_duration(duration, load),
        rounds=chosen_rounds(rounds, load),
        warmup=warmup,
        concurrency=concurrency,
        percentiles=parse_numbers(percentile, "--percentile"),
        boundary=parse_boundary(boundary),
        load=load,
        verify=not no_verify,
        provider_options=parse_pairs(provider_option or [], "--provider-option"),
        allow_fallback=allow_fallback,
        timeout_s=timeout,
    )
    for target in filter(None, (json_file, html)):
        require_writable(target)
    with sigterm_interrupts() as ending, watch_benchmark() as watch:
        if earlier is None:
            result = run_benchmark(models, options, watch=watch)
        else:
            result = run_against(models, options, earlier, watch=watch)
    comparison = None if earlier is None else judge(result, earlier)
    if json_file:
        write_whole(json_file, json.dumps(result.to_json()) + "\n")
    if html:
        from resnetx.report.html.page import render_html

        write_whole(html, render_html(result, comparison))
    console().print(render_bench(result))
    if comparison is not None:
        console().print("", render_comparison(comparison))
    good = passed(result) and (comparison is None or comparison.passed)
    raise typer.Exit(ending.status if interrupted(result) else 0 if good else 1)


def _earlier_run(file: Path | None, max_slowdown: str | None, any_machine: bool) -> "Against | None":
    from resnetx.benchmark.comparison.rerun import Against
    from resnetx.benchmark.result_file import read_benchmark

    if file is None:
        if max_slowdown is not None or any_machine:
            raise UsageError("--max-slowdown and --any-machine are for a comparison: say with which run, by --against.")
        return None
    limit = parse_max_slowdown(max_slowdown)
    return Against(path=file, base=read_benchmark(file), max_slowdown=limit, any_machine=any_machine)
