"""`resnetx tune`: a search for the fastest correct way to run a file on this machine."""

from pathlib import Path
from typing import Annotated, cast

import typer

from resnetx.cli.options import (
    Force,
    JsonFile,
    MemoryLimit,
    Quiet,
    TimeLimit,
    parse_ints,
    parse_milliseconds,
    parse_share,
    parse_words,
)


def tune(
    source: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="Any ONNX image model.", show_default=False)],
    folder: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="The folder to write.")],
    objective: Annotated[
        str, typer.Option(metavar="latency|throughput", help="What to search for: the time of a run, or images/s.")
    ] = "latency",
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Batch sizes to try.  [default: the one that the file fixes; 1 for latency, 1,8,32 for throughput]",
        ),
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,NAME,...", help="Providers to try.  [default: all that run files and work here]"),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", help="Threads to use.  [default: tries some numbers, up to all processors]"),
    ] = None,
    latency_bound: Annotated[
        str | None, typer.Option(metavar="MS", help="Bound of the p95 latency, such as 15ms.")
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(metavar="DIR|FILE.npz", help="Also try INT8, calibrated on this, as resnetx quantize takes it."),
    ] = None,
    evaluate: Annotated[
        Path | None,
        typer.Option(metavar="DIR|CSV", help="Labelled images, on which INT8 must hold --max-drop."),
    ] = None,
    max_drop: Annotated[
        str | None,
        typer.Option(metavar="P%", help="The share of samples whose best class may change; in INT8, layers go back."),
    ] = None,
    duration: Annotated[float, typer.Option(metavar="S", help="Seconds of timing for each finalist.")] = 5.0,
    restart: Annotated[bool, typer.Option("--restart", help="Don't go on with an interrupted search.")] = False,
    timeout: TimeLimit = None,
    memory_mb: MemoryLimit = None,
    force: Force = False,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Search for the fastest correct way to run a model here.

    Files, providers, threads, streams and batches are tried.

    Each candidate runs for about a second, in turn with the file as it is on the cpu provider; what is clearly slower
    goes no further. The best are measured as resnetx bench does, and verified. DIR gets the winner's file, how to run
    it, and a report; resnetx bench DIR runs it. An interrupted search goes on where it was.

    Exit status: 0 DIR has a winner; 1 no candidate is right and holds the bounds; 2 the command could not run.
    """
    import json

    from resnetx.base.files import write_whole
    from resnetx.cli.files import check_files
    from resnetx.cli.progress import show_progress
    from resnetx.cli.reports import show, write_report
    from resnetx.cli.signals import interruptible
    from resnetx.report.html.tuning import render_tuning_page
    from resnetx.report.tuning import render_tuning
    from resnetx.tuning.folder import REPORT
    from resnetx.tuning.options import Objective, TuneOptions
    from resnetx.tuning.tune import tune_file
    from resnetx.verification.isolated import IsolationOptions

    options = TuneOptions(
        objective=cast(Objective, objective.strip().lower()),
        providers=None if provider is None else parse_words(provider, "--provider"),
        batches=None if batch is None else parse_ints(batch, "--batch"),
        threads=threads,
        latency_bound_ms=None if latency_bound is None else parse_milliseconds(latency_bound, "--latency-bound"),
        calibrate=calibrate,
        evaluate=evaluate,
        max_drop=None if max_drop is None else parse_share(max_drop, "--max-drop"),
        duration_s=duration,
        restart=restart,
        force=force,
        limits=IsolationOptions(timeout_s=timeout, memory_mb=memory_mb),
    )
    files = {"--calibrate": Path(calibrate) if calibrate and Path(calibrate).is_file() else None}
    check_files({"--json": json_file}, models={"MODEL.onnx": [source]}, files=files)
    with interruptible(), show_progress(timed=True) as watch:
        result = tune_file(source, folder, options, watch=watch)
    write_whole(folder / REPORT, render_tuning_page(result))
    write_report(json_file, lambda: json.dumps(result.to_json()) + "\n")
    show(lambda _: render_tuning(result), reports=[json_file])
    raise typer.Exit(0 if result.winner is not None else 1)
