"""`resnetx bench`: latency and throughput under every provider, with the verdict on what was timed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from resnetx.base.precisions import SessionPrecision
from resnetx.base.vocabulary import AUTO, LATENCY, Boundary, Scenario
from resnetx.cli.options import (
    AnyMachine,
    HtmlFile,
    JsonFile,
    MaxSlowdown,
    ProviderOptions,
    Quiet,
    RequireDecision,
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
        list[Path],
        typer.Argument(
            metavar="MODEL.onnx", help="Any ONNX image models, or folders of resnetx tune.", show_default=False
        ),
    ],
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,NAME,...",
            help="cpu, openvino, openvino-ep, cuda, cudnn, tensorrt, torch, torch-compile, or auto for the fastest "
            "that works.  [default: auto]",
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
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads of each case.  [default: the physical cores it may use]")
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            help="Seconds of timing for each case; in a scenario, for each run of LoadGen.  [default: 5; 10]",
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Rounds of each case over all its processes; in each, it runs for a share of its duration.  "
            "[default: 20]",
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Processes of each case, one after another, which share its rounds.  [default: 10]"
        ),
    ] = None,
    warmup: Annotated[int, typer.Option(metavar="N", help="Untimed runs in each process before its first round.")] = 5,
    concurrency: Annotated[int, typer.Option(metavar="N", help="Threads that run the model at the same time.")] = 1,
    scenario: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="latency: one run after another; or queries from MLPerf's LoadGen: single-stream, multi-stream, "
            "server, offline.",
        ),
    ] = LATENCY,
    target_qps: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Queries a second in the scenario server.  [default: find the most that keep the latency bound]",
        ),
    ] = None,
    latency_bound: Annotated[
        float | None,
        typer.Option(metavar="MS", help="Bound of the p99 latency in the scenario server.  [default: 15]"),
    ] = None,
    percentile: Annotated[
        str, typer.Option(metavar="P,P,...", help="Percentiles of the latency to report.")
    ] = "50,90,95,99",
    boundary: Annotated[
        str,
        typer.Option(
            metavar="host|device",
            help="Where inputs and outputs are: in the host's memory, or on the device that computes.",
        ),
    ] = "host",
    precision: Annotated[
        str,
        typer.Option(
            metavar="P",
            help="How float32 layers are computed: default, each provider's fastest; fp32, or bf16 where it can.",
        ),
    ] = "default",
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Don't compare the outputs of what was timed with a reference.")
    ] = False,
    golden: Annotated[
        Path | None, typer.Option(metavar="FILE.npz", help="Verify against a golden bundle, which needs no torch.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="OTHER.onnx", help="Verify against the outputs of another file.")
    ] = None,
    provider_option: ProviderOptions = None,
    allow_fallback: Annotated[
        bool,
        typer.Option(
            "--allow-fallback", help="If a provider can't run a model, time the one that runs it instead, marked."
        ),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="BASE.json", help="Compare with an earlier run, whose models run again in the same rounds."
        ),
    ] = None,
    max_slowdown: MaxSlowdown = None,
    any_machine: AnyMachine = False,
    require_decision: RequireDecision = False,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds after which a case that gives no answer has failed.")
    ] = 300.0,
    memory_mb: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Memory limit of a process in MB.  [default: from the sizes of the file and its inputs]",
        ),
    ] = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    html: HtmlFile = None,
) -> None:
    """Measure the speed of models, and verify what was timed.

    Each case is a model on a provider with a batch size. It runs in several processes, one after another, because each
    process has a speed of its own, and in rounds that are interleaved with those of the other cases. With --against,
    each model of the earlier run whose file is unchanged runs again in the same rounds; for the others the stored
    samples are compared.

    What was timed is compared with the network of its model card, or with what --golden or --reference name, as in
    verify; a file without any of them with itself, not optimized.

    Exit status: 0 every case ran and its outputs agree with the reference; 1 one did not, or could not be verified, is
    slower than the earlier run, or doesn't keep the latency bound, or with --require-decision it can't be told whether
    one is slower; 2 nothing could be run. Ctrl-C, SIGTERM and SIGHUP show and write what was measured so far, and exit
    with 130, 143 and 129.
    """
    import json

    from rich.console import Group

    from resnetx.benchmark.comparison.rerun import judge, run_against
    from resnetx.benchmark.options import BenchOptions
    from resnetx.benchmark.run import interrupted, passed, run_benchmark
    from resnetx.cli.files import check_files
    from resnetx.cli.progress import show_progress
    from resnetx.cli.reports import show, write_report
    from resnetx.cli.signals import interruptible
    from resnetx.report.bench import render_bench
    from resnetx.report.comparison import render_comparison
    from resnetx.runtime.tuned_model import model_file

    earlier = _earlier_run(against, max_slowdown, any_machine, require_decision)
    options = BenchOptions(
        providers=parse_words(provider or [AUTO], "--provider"),
        batches=None if batch is None else parse_ints(batch, "--batch"),
        threads=threads,
        duration_s=duration,
        rounds=rounds,
        processes=processes,
        warmup=warmup,
        concurrency=concurrency,
        percentiles=parse_numbers(percentile, "--percentile"),
        boundary=cast(Boundary, boundary),
        precision=cast(SessionPrecision, precision.strip().lower()),
        scenario=cast(Scenario, scenario),
        target_qps=target_qps,
        latency_bound_ms=latency_bound,
        verify=not no_verify,
        golden=None if golden is None else str(golden),
        reference=None if reference is None else str(reference),
        provider_options=parse_pairs(provider_option or [], "--provider-option"),
        allow_fallback=allow_fallback,
        timeout_s=timeout,
        memory_mb=memory_mb,
    )
    read = [model_file(path) for path in models]
    check_files(
        {"--json": json_file, "--html": html},
        models={"MODEL.onnx": read, "--reference": [] if reference is None else [reference]},
        files={"--against": against, "--golden": golden},
    )
    with interruptible() as ending, show_progress(timed=True) as watch:
        if earlier is None:
            result = run_benchmark(models, options, watch=watch)
        else:
            result = run_against(models, options, earlier, watch=watch)
    comparison = None if earlier is None else judge(result, earlier)
    write_report(json_file, lambda: json.dumps(result.to_json()) + "\n")
    if html:
        from resnetx.report.html.page import render_html

        write_report(html, lambda: render_html(result, comparison))
    show(lambda _: render_bench(result), reports=[json_file, html])
    if comparison is not None:
        show(lambda _: Group("", render_comparison(comparison)), reports=[json_file, html])
    good = passed(result) and (
        not require_decision if comparison is None else comparison.acceptable(require_decision=require_decision)
    )
    raise typer.Exit(ending.status if interrupted(result) else 0 if good else 1)


def _earlier_run(
    file: Path | None, max_slowdown: str | None, any_machine: bool, require_decision: bool
) -> "Against | None":
    from resnetx.benchmark.comparison.rerun import Against
    from resnetx.benchmark.result_file import read_benchmark

    if file is None:
        if max_slowdown is not None or any_machine or require_decision:
            raise UsageError(
                "--max-slowdown, --any-machine and --require-decision are for a comparison: say with which run, by "
                "--against."
            )
        return None
    limit = parse_max_slowdown(max_slowdown)
    return Against(path=file, base=read_benchmark(file), max_slowdown=limit, any_machine=any_machine)
