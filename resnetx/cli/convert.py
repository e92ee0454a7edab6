"""`resnetx convert`: a float32 file to float16, but for the layers that would overflow."""

from pathlib import Path
from typing import Annotated, cast

import typer

from resnetx.base.precisions import ExportPrecision
from resnetx.cli.options import Force, JsonFile, MemoryLimit, Quiet, TimeLimit


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN.onnx", help="A float32 ONNX file.", show_default=False)],
    target: Annotated[Path, typer.Option("-o", "--out", metavar="OUT.onnx", help="The file to write.")],
    precision: Annotated[str, typer.Option(metavar="P", help="The precision of weights and inner tensors.")] = "fp16",
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER", help="A layer that stays in float32, besides those that overflow. Repeatable."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Find the ranges of tensors on the images of this folder, and verify on them."
        ),
    ] = None,
    half_boundary: Annotated[
        bool, typer.Option("--half-boundary", help="Convert inputs and outputs too; otherwise they stay float32.")
    ] = False,
    timeout: TimeLimit = None,
    memory_mb: MemoryLimit = None,
    force: Force = False,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Convert a float32 file to float16, and verify the result.

    The file first runs on samples of every kind. A layer that writes or reads a tensor that comes within a factor of
    two of the largest float16 stays in float32.

    Exit status: 0 OUT was written; 1 it disagrees with the original, and was not written; 2 the command could not run,
    or nothing could be proven.
    """
    import json

    from resnetx.cli.files import check_files
    from resnetx.cli.progress import show_progress
    from resnetx.cli.reports import show, write_report
    from resnetx.conversion.convert import ConvertOptions, convert_file
    from resnetx.report.conversion import render_conversion
    from resnetx.verification.isolated import IsolationOptions

    options = ConvertOptions(
        precision=cast(ExportPrecision, precision.strip().lower()),
        exclude=tuple(exclude or ()),
        images=images,
        half_boundary=half_boundary,
        force=force,
        limits=IsolationOptions(timeout_s=timeout, memory_mb=memory_mb),
    )
    check_files({"--out": target, "--json": json_file}, models={"IN.onnx": [source]}, images=images)
    with show_progress() as watch:
        result = convert_file(source, target, options, progress=watch.progress)
    write_report(json_file, lambda: json.dumps(result.to_json(), indent=2) + "\n")
    show(lambda _: render_conversion(result), reports=[json_file])
    raise typer.Exit(0 if result.written else 2 if result.verification.agrees else 1)
