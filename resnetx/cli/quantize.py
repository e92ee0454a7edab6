"""`resnetx quantize`: a float32 file to INT8, measured beside the float network."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.cli.options import Force, JsonFile, MemoryLimit, Quiet, TimeLimit


def quantize(
    source: Annotated[Path, typer.Argument(metavar="IN.onnx", help="A float32 ONNX file.", show_default=False)],
    target_file: Annotated[Path, typer.Option("-o", "--out", metavar="OUT.onnx", help="The file to write.")],
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|FILE.npz",
            help="Images of what the model is used on, or an array of prepared inputs; 'synthetic' for made-up images.",
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(metavar="T", help="The runtime that the file is for: cpu, openvino, tensorrt, or the best here."),
    ] = "auto",
    method: Annotated[
        str,
        typer.Option(
            metavar="M", help="How ranges are chosen: minmax, entropy, percentile, or auto, the closest to float."
        ),
    ] = "auto",
    samples: Annotated[int, typer.Option(metavar="N", help="How many samples to calibrate on.")] = 256,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="LAYER", help="A layer that stays in float. Repeatable.")
    ] = None,
    evaluate: Annotated[
        Path | None,
        typer.Option(metavar="DIR|CSV", help="Labelled images: a folder for each class, or rows of path and class."),
    ] = None,
    max_drop: Annotated[
        str | None,
        typer.Option(
            metavar="P%",
            help="Give layers back to float until top-1 drops by no more than this: of --evaluate, or of agreement.",
        ),
    ] = None,
    timeout: TimeLimit = None,
    memory_mb: MemoryLimit = None,
    force: Force = False,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Quantize a float32 file to INT8, and measure what that costs.

    It is measured on samples that calibration did not see.

    Exit status: 0 OUT was written; 1 the drop could not be held to --max-drop, and OUT was not written; 2 the command
    could not run.
    """
    import json

    from resnetx.cli.files import check_files
    from resnetx.cli.options import parse_share
    from resnetx.cli.progress import show_progress
    from resnetx.cli.reports import show, write_report
    from resnetx.conversion.quantization.quantize import QuantizeOptions, quantize_file
    from resnetx.report.quantization import render_quantization
    from resnetx.verification.isolated import IsolationOptions

    options = QuantizeOptions(
        calibrate=calibrate,
        target=target.strip().lower(),
        method=method.strip().lower(),
        samples=samples,
        exclude=tuple(exclude or ()),
        evaluate=evaluate,
        max_drop=None if max_drop is None else parse_share(max_drop, "--max-drop"),
        force=force,
        limits=IsolationOptions(timeout_s=timeout, memory_mb=memory_mb),
    )
    files = {"--calibrate": Path(calibrate) if calibrate and Path(calibrate).is_file() else None}
    check_files({"--out": target_file, "--json": json_file}, models={"IN.onnx": [source]}, files=files)
    with show_progress() as watch:
        result = quantize_file(source, target_file, options, progress=watch.progress)
    write_report(json_file, lambda: json.dumps(result.to_json(), indent=2) + "\n")
    show(lambda _: render_quantization(result), reports=[json_file])
    raise typer.Exit(0 if result.written else 1)
