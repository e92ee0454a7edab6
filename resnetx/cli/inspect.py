"""`resnetx inspect`: what an ONNX file contains."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.errors import UsageError


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="The ONNX file.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with every layer.")] = False,
    layers: Annotated[bool, typer.Option("--layers", help="Also list the layers, in network order.")] = False,
    input_shape: Annotated[
        str | None,
        typer.Option(metavar="1x3x224x224", help="Shape of the first input, if the file leaves it open."),
    ] = None,
) -> None:
    """Show what an ONNX file contains: inputs, outputs, nodes, parameters, multiply-accumulates, model card.

    Multiply-accumulates are for one image.

    Exit status: 0 the file was shown; 2 it could not be read.
    """
    from resnetx.cli.terminal import console, print_text
    from resnetx.graph.inspection.inspect import inspect_model
    from resnetx.graph.reading.onnx_file import read_onnx_file
    from resnetx.report.inspection import inspection_json, render_inspection, render_layers
    from resnetx.runtime.tuned_model import model_file

    file = model_file(file)
    shape = None if input_shape is None else parse_shape(input_shape)
    source = read_onnx_file(file)
    inspection = inspect_model(source.model, file_bytes=source.file_bytes + source.external_bytes, input_shape=shape)
    if as_json:
        print_text(inspection_json(inspection))
        return
    terminal = console()
    terminal.print(render_inspection(inspection, file=str(file)))
    if layers:
        terminal.print(render_layers(inspection, width=terminal.width))


def parse_shape(text: str) -> tuple[int, ...]:
    """`1x3x224x224` as numbers."""
    parts = text.lower().split("x")
    if not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
        raise UsageError(f"--input-shape takes sizes joined by x, such as 1x3x224x224; found {text[:60]!r}.")
    return tuple(map(int, parts))
