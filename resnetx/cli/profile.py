"""`resnetx profile`: where the time of one inference goes, layer by layer."""

from pathlib import Path
from typing import Annotated, cast

import typer

from resnetx.base.precisions import SessionPrecision
from resnetx.base.vocabulary import AUTO
from resnetx.cli.options import JsonFile, MemoryLimit, ProviderOptions, Quiet, TimeLimit, parse_pairs


def profile(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The ONNX file.", show_default=False)],
    provider: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A provider that tells the time of its layers: cpu, openvino, torch; or auto for the fastest that "
            "works.",
        ),
    ] = AUTO,
    batch: Annotated[
        int | None, typer.Option(metavar="N", help="Batch size.  [default: the one that the file fixes, or 1]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads.  [default: the physical cores it may use]")
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            metavar="P",
            help="How float32 layers are computed: default, the provider's fastest; fp32, or bf16 where it can.",
        ),
    ] = "default",
    provider_option: ProviderOptions = None,
    duration: Annotated[
        float | None,
        typer.Option(metavar="S", help="Seconds of timing, with profiling and without.  [default: 5]"),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=0, help="Layers to show, those that take the most time.")] = 20,
    timeout: TimeLimit = None,
    memory_mb: MemoryLimit = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write all layers as a web page.")] = None,
) -> None:
    """Show where the time of a run goes, layer by layer.

    For each: the time it takes, what it does in that time, and what limits it.

    A layer is what the engine runs as one kernel, often several nodes of the file. Runs with profiling take turns with
    runs without, so that what the layers do not explain is known. The machine's peaks are measured beside them.

    Exit status: 0 the file was profiled; 2 it could not be run, or the provider does not tell the time of its layers.
    """
    import json
    from dataclasses import replace

    from resnetx.benchmark.profiling.options import ProfileOptions
    from resnetx.benchmark.profiling.run import profile_file
    from resnetx.cli.files import check_files
    from resnetx.cli.progress import show_progress
    from resnetx.cli.reports import show, write_report
    from resnetx.report.profile import render_profile
    from resnetx.runtime.tuned_model import model_file, read_tuned

    options = ProfileOptions(
        provider=provider,
        batch=batch,
        threads=threads,
        precision=cast(SessionPrecision, precision.strip().lower()),
        provider_options=parse_pairs(provider_option or [], "--provider-option"),
        duration_s=duration,
        timeout_s=timeout,
        memory_mb=memory_mb,
    )
    if model.is_dir():
        tuned = read_tuned(model)
        model = model_file(model)
        options = replace(
            options,
            provider=tuned.provider if provider == AUTO else provider,
            batch=batch or tuned.batch,
            threads=threads or tuned.threads,
            precision=tuned.precision,
        )
    check_files({"--json": json_file, "--html": html}, models={"MODEL.onnx": [model]})
    with show_progress(timed=True) as watch:
        result = profile_file(model, options, progress=watch.progress)
    write_report(json_file, lambda: json.dumps(result.to_json()) + "\n")
    if html:
        from resnetx.report.html.profile_page import render_profile_page

        write_report(html, lambda: render_profile_page(result))
    show(lambda width: render_profile(result, top=top, width=width), reports=[json_file, html])
