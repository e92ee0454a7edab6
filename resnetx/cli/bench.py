"""`resnetx bench`: latency and throughput under every provider, with the verdict on what was timed."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.cli.options import JsonFile, parse_ints, parse_numbers, parse_pairs, parse_words


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
        str | None, typer.Option(metavar="N,N,...", help="Batch sizes.  [default: 1, or the one that the file fixes]")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Of each case.  [default: the cores it may use]")] = None,
    duration: Annotated[float, typer.Option(metavar="S", help="Seconds of timing for each case.")] = 5.0,
    rounds: Annotated[int, typer.Option(help="Turns that the cases take, in an order that reverses.")] = 10,
    warmup: Annotated[int, typer.Option(help="Untimed runs of each case before its first round.")] = 5,
    concurrency: Annotated[int, typer.Option(help="Runs at a time, from as many threads.")] = 1,
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
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds after which a case that gives no answer has failed.")
    ] = 300.0,
    json_file: JsonFile = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the report as a web page.")] = None,
) -> None:
    """Time models on providers: each case in a process of its own, in interleaved rounds, verified afterwards.

    Exit status: 0 every case ran and agrees with its reference; 1 one did not; 2 nothing could be run. Ctrl-C shows
    and writes what there is, and exits with 130.
    """
    import json

    from resnetx.bench.plan import BenchOptions, parse_boundary
    from resnetx.bench.run import interrupted, passed, run_benchmark
    from resnetx.cli.benchwatch import watch_benchmark
    from resnetx.cli.terminal import console
    from resnetx.files import require_writable, write_whole
    from resnetx.report.bench import render_bench

    options = BenchOptions(
        providers=parse_words(provider or ["auto"], "--provider"),
        batches=None if batch is None else parse_ints(batch, "--batch"),
        threads=threads,
        duration_s=duration,
        rounds=rounds,
        warmup=warmup,
        concurrency=concurrency,
        percentiles=parse_numbers(percentile, "--percentile"),
        boundary=parse_boundary(boundary),
        verify=not no_verify,
        provider_options=parse_pairs(provider_option or [], "--provider-option"),
        timeout_s=timeout,
    )
    for target in filter(None, (json_file, html)):
        require_writable(target)
    with watch_benchmark() as watch:
        result = run_benchmark(models, options, watch=watch)
    if json_file:
        write_whole(json_file, json.dumps(result.to_json()) + "\n")
    if html:
        from resnetx.report.html import render_html

        write_whole(html, render_html(result))
    console().print(render_bench(result))
    raise typer.Exit(130 if interrupted(result) else 0 if passed(result) else 1)
