"""`resnetx simplify`: any ONNX file to a simpler one that computes the same."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.cli.options import JsonFile, finite


def simplify(
    source: Annotated[Path, typer.Argument(metavar="IN.onnx", help="The ONNX file.", show_default=False)],
    target: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="OUT.onnx", help="The file to write; may be IN.onnx.", show_default=False),
    ],
    timeout: Annotated[
        float, typer.Option(metavar="S", min=1, help="Time limit in seconds, for simplifying and again for comparing.")
    ] = 120,
    json_file: JsonFile = None,
) -> None:
    """Simplify an ONNX file with onnxsim, and compare inputs, outputs and numbers before and after.

    Exit status: 0 OUT is simplified; 1 OUT is the unchanged graph, because the simplified one failed the comparison; 2
    the command could not run.
    """
    from resnetx.base.files import write_whole
    from resnetx.base.progress import Steps
    from resnetx.cli.files import check_files
    from resnetx.cli.progress import show_progress
    from resnetx.cli.terminal import console
    from resnetx.conversion.checked_simplify import simplify_checked
    from resnetx.graph.reading.onnx_file import read_onnx
    from resnetx.graph.simplification.simplify import serialize
    from resnetx.report.simplification import render_simplification, simplification_json

    finite(timeout, "--timeout")
    check_files({"--out": target, "--json": json_file}, models={"IN.onnx": [source]}, may_be={"--out": source})
    with show_progress() as watch:
        steps = Steps(watch.progress, 3)
        steps.begin(f"reading {source.name}")
        model = read_onnx(source)
        steps.begin(f"simplifying {source.name}")
        result = simplify_checked(model, timeout_s=timeout, step=steps.begin)
    write_whole(target, serialize(result.model))
    if json_file:
        write_whole(json_file, simplification_json(result, source=source, target=target))
    console().print(render_simplification(result, source=source, target=target))
    raise typer.Exit(0 if result.applied else 1)
