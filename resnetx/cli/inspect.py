"""`resnetx inspect`: what an ONNX file contains."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.cli.options import JsonFile, Quiet
from resnetx.errors import UsageError


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The ONNX file.", show_default=False)],
    layers: Annotated[bool, typer.Option("--layers", help="Also list the layers, in network order.")] = False,
    input_shape: Annotated[
        str | None,
        typer.Option(metavar="1x3x224x224", help="Shape of the first input, if the file leaves it open."),
    ] = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Show what an ONNX file contains: layers, weights, model card.

    That is inputs, outputs, nodes, parameters, multiply-accumulates and the model card.

    Multiply-accumulates are for one image.

    Exit status: 0 the file was shown; 2 it could not be read.
    """
    from resnetx.cli.files import check_files
    from resnetx.cli.reports import show, write_report
    from resnetx.graph.inspection.inspect import inspect_model
    from resnetx.graph.reading.onnx_file import read_onnx_file
    from resnetx.report.inspection import inspection_json, render_inspection, render_layers
    from resnetx.runtime.tuned_model import model_file

    file = model_file(file)
    shape = None if input_shape is None else parse_shape(input_shape)
    check_files({"--json": json_file}, models={"FILE.onnx": [file]})
    source = read_onnx_file(file)
    inspection = inspect_model(source.model, file_bytes=source.file_bytes + source.external_bytes, input_shape=shape)
    write_report(json_file, lambda: inspection_json(inspection))
    show(lambda _: render_inspection(inspection, file=str(file)), reports=[json_file])
    if layers:
        show(lambda width: render_layers(inspection, width=width), reports=[json_file])


def parse_shape(text: str) -> tuple[int, ...]:
    """`1x3x224x224` as numbers."""
    parts = text.lower().split("x")
    if not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
        raise UsageError(f"--input-shape takes sizes joined by x, such as 1x3x224x224; found {text[:60]!r}.")
    return tuple(map(int, parts))
