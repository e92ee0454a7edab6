"""`resnetx export`: a network to one verified ONNX file."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.base.precisions import ExportPrecision
from resnetx.base.vocabulary import Exporter
from resnetx.cli.options import Force, JsonFile, Quiet, checked_seed, parse_batch, parse_ints
from resnetx.model.config import Block, Variant
from resnetx.model.preprocessing import InputForm


def export(
    output_file: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="FILE", help="The file to write.  [default: what it is, such as resnet50-10.onnx]"
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="SRC",
            help="A checkpoint (.safetensors, .pt, .pth, .bin, .h5, .keras), a Hugging Face folder, "
            "hf://owner/repo[@revision] or https://...#sha256=...; without it, random weights from --seed.",
        ),
    ] = None,
    depth: Annotated[
        int | None, typer.Option(metavar="N", help="Depth of the network: 18, 34, 50, 101 or 152.  [default: 50]")
    ] = None,
    stages: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Number of blocks in each stage, instead of --depth.")
    ] = None,
    width: Annotated[
        int | None, typer.Option(metavar="N", help="Number of filters in the first stage.  [default: 64]")
    ] = None,
    block: Annotated[Block | None, typer.Option(help="Kind of block, with --stages.  [default: bottleneck]")] = None,
    variant: Annotated[
        Variant | None,
        typer.Option(
            help="v1.5 (stride in the 3x3 convolution), v1 (in the first 1x1) or textbook (the classic step-by-step "
            "description).  [default: the weights', or v1.5]"
        ),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Leave out the shortcuts.")] = False,
    textbook_last_filters: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of filters in the last stage's identity blocks of the textbook variant, 256 or 512.  "
            "[default: 256]",
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(metavar="N", help="Number of classes.  [default: the weights', or 1000]")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Class names, one per line or as JSON.  [default for 1000 classes: ImageNet's]"
        ),
    ] = None,
    new_head: Annotated[
        bool,
        typer.Option("--new-head", help="Replace the classifier of the weights by a new one with --classes outputs."),
    ] = False,
    image_size: Annotated[
        int | None, typer.Option(metavar="N", help="Height and width of the images.  [default: 224; textbook: 64]")
    ] = None,
    batch: Annotated[str, typer.Option(metavar="dynamic|N", help="Size of the batch dimension.")] = "dynamic",
    opset: Annotated[
        int | None,
        typer.Option(metavar="N", help="ONNX opset, from 13 to the newest that ONNX Runtime loads.  [default: 20]"),
    ] = None,
    exporter: Annotated[
        Exporter | None, typer.Option(help="PyTorch's exporter.  [default: dynamo; torchscript below opset 18]")
    ] = None,
    precision: Annotated[
        ExportPrecision, typer.Option(help="Precision of the weights and of the computation.")
    ] = "fp32",
    preprocess: Annotated[
        InputForm, typer.Option(help="Form of the input. none: normalized floats, NCHW; uint8: raw pixels, NHWC.")
    ] = "none",
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FORM",
            help="Form of the output: logits, probabilities or topK, such as top5.  "
            "[default: logits; textbook: probabilities]",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", callback=checked_seed, help="Seed of random weights and of a new classifier.")
    ] = 0,
    golden: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Also write inputs and PyTorch's outputs, to verify the file where torch is not installed.",
        ),
    ] = None,
    no_simplify: Annotated[bool, typer.Option("--no-simplify", help="Don't simplify the exporter's graph.")] = False,
    no_verify: Annotated[
        bool,
        typer.Option("--no-verify", help="Don't compare the file's outputs with PyTorch's; with --golden they are."),
    ] = False,
    force: Force = False,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Export a ResNet to one self-contained, verified ONNX file.

    Exit status: 0 the file was written and verified; 1 it disagrees with PyTorch and was not written; 2 the export
    could not run, or nothing could be proven.
    """
    from resnetx.base.optional_torch import require_torch
    from resnetx.cli.files import check_files
    from resnetx.cli.progress import show_progress
    from resnetx.cli.reports import show, write_report
    from resnetx.conversion.file_names import default_name

    require_torch("resnetx export")
    from resnetx.conversion.export import ExportOptions, export_steps, export_subject
    from resnetx.conversion.subject import Wanted, resnet_subject
    from resnetx.report.export import export_json, render_export

    wanted = Wanted(
        depth=depth,
        stages=None if stages is None else parse_ints(stages, "--stages", example="3,4,6,3"),
        width=width,
        block=block,
        variant=variant,
        plain=plain,
        last_filters=textbook_last_filters,
        classes=classes,
    )
    options = ExportOptions(
        batch=parse_batch(batch),
        opset=opset,
        exporter=exporter,
        precision=precision,
        simplify=not no_simplify,
        verify=not no_verify,
        golden=golden,
        force=force,
    )
    targets = {"--out": output_file, "--golden": golden, "--json": json_file}
    check_files(targets, files={"--labels": labels}, weights=weights)
    with show_progress() as watch:
        steps = export_steps(watch.progress, options)
        steps.begin("building the network" if weights is None else "loading the weights")
        subject = resnet_subject(
            wanted,
            weights=weights,
            new_head=new_head,
            labels=labels,
            image_size=image_size,
            preprocess=preprocess,
            output=output,
            seed=seed,
            download=steps.download,
        )
        path = output_file or Path(default_name(subject.card, precision=precision, batch=options.batch))
        if output_file is None:
            check_files(targets | {"--out": path}, files={"--labels": labels}, weights=weights)
        result = export_subject(subject, path, options, steps=steps)
    write_report(json_file, lambda: export_json(result))
    show(lambda _: render_export(result), reports=[json_file])
    raise typer.Exit(0 if result.passed else 2 if result.agrees else 1)
