"""`resnetx simplify`: any ONNX file to a simpler one that computes the same."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.cli.options import Force, JsonFile, Quiet, finite


def simplify(
    source: Annotated[Path, typer.Argument(metavar="IN.onnx", help="The ONNX file.", show_default=False)],
    target: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="OUT.onnx", help="The file to write; may be IN.onnx.", show_default=False),
    ],
    timeout: Annotated[
        float, typer.Option(metavar="S", min=1, help="Time limit in seconds, for simplifying and again for comparing.")
    ] = 120,
    force: Force = False,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Simplify an ONNX file, with the same numbers or unchanged.

    onnxsim rewrites the graph; inputs, outputs and numbers are compared before and after.

    Exit status: 0 OUT is simplified; 1 OUT is the unchanged graph, because the simplified one failed the comparison, or
    its outputs and graph proved nothing; 2 the command could not run.
    """
    from resnetx.cli.files import check_files
    from resnetx.cli.progress import show_progress
    from resnetx.cli.reports import show, write_report
    from resnetx.conversion.simplify import simplify_file
    from resnetx.report.simplification import render_simplification, simplification_json

    finite(timeout, "--timeout")
    check_files({"--out": target, "--json": json_file}, models={"IN.onnx": [source]}, may_be={"--out": source})
    with show_progress() as watch:
        result = simplify_file(source, target, timeout_s=timeout, force=force, progress=watch.progress)
    write_report(json_file, lambda: simplification_json(result, source=source, target=target))
    show(lambda _: render_simplification(result, source=source, target=target), reports=[json_file])
    raise typer.Exit(0 if result.applied else 1)
