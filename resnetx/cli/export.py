"""`resnetx export`: a network to one verified ONNX file."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.base.precisions import ExportPrecision
from resnetx.base.vocabulary import Exporter
from resnetx.cli.options import JsonFile, parse_batch, parse_ints
from resnetx.model.config import Block, Variant
from resnetx.model.preprocessing import InputForm


def export(
    output_file: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The file to write.  [default: resnet<depth>.onnx]"),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="SRC",
            help="A checkpoint (.safetensors, .pt, .pth, .bin, .h5, .keras), a Hugging Face folder, "
            "hf://owner/repo[@revision] or https://...#sha256=...; without it, random weights from --seed.",
        ),
    ] = None,
    depth: Annotated[int | None, typer.Option(help="18, 34, 50, 101 or 152.  [default: 50]")] = None,
    stages: Annotated[str | None, typer.Option(metavar="N,N,...", help="Blocks a stage, instead of a depth.")] = None,
    width: Annotated[int | None, typer.Option(help="Filters of the first stage.  [default: 64]")] = None,
    block: Annotated[
        Block | None, typer.Option(help="With --stages: basic or bottleneck.  [default: bottleneck]")
    ] = None,
    variant: Annotated[
        Variant | None,
        typer.Option(
            help="v1.5 (stride on the 3x3), v1 (on the first 1x1) or textbook.  [default: v1.5, or the weights']"
        ),
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="The same layers without shortcuts.")] = False,
    textbook_last_filters: Annotated[
        int | None,
        typer.Option(help="Textbook: filters in the last stage's identity blocks, 256 or 512.  [default: 256]"),
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes.  [default: 1000, or the weights']")] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Class names: a line each, or JSON.  [1000 classes: ImageNet's]")
    ] = None,
    new_head: Annotated[
        bool, typer.Option("--new-head", help="Keep the weights' body, start a new classifier of --classes.")
    ] = False,
    image_size: Annotated[int | None, typer.Option(help="Side of the images.  [default: 224; textbook: 64]")] = None,
    batch: Annotated[str, typer.Option(metavar="dynamic|N", help="The batch dimension.")] = "dynamic",
    opset: Annotated[int | None, typer.Option(help="ONNX opset, 13 to the runtime's newest.  [default: 20]")] = None,
    exporter: Annotated[
        Exporter | None, typer.Option(help="dynamo or torchscript.  [default: dynamo, torchscript below opset 18]")
    ] = None,
    precision: Annotated[ExportPrecision, typer.Option(help="fp32 or fp16.")] = "fp32",
    preprocess: Annotated[
        InputForm, typer.Option(help="none: normalized NCHW floats go in; uint8: raw NHWC pixels go in.")
    ] = "none",
    output: Annotated[
        str | None,
        typer.Option(help="logits, probabilities or topK, such as top5.  [default: logits; textbook: probabilities]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random weights, and of a new head.")] = 0,
    golden: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Keep inputs and PyTorch's answers for machines without torch."),
    ] = None,
    no_simplify: Annotated[bool, typer.Option("--no-simplify", help="Leave the exporter's graph as it is.")] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Don't compare the file with PyTorch.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Export a ResNet to one self-contained ONNX file, verified against PyTorch.

    Exit status: 0 written and verified; 1 it disagrees with PyTorch, and nothing was written; 2 it could not run.
    """
    from resnetx.base.files import write_whole
    from resnetx.cli.terminal import console, show_progress
    from resnetx.conversion.export import ExportOptions, export_subject
    from resnetx.conversion.subject import Wanted, resnet_subject
    from resnetx.report.export import export_json, render_export

    wanted = Wanted(
        depth=depth,
        stages=None if stages is None else parse_ints(stages, "--stages"),
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
    )
    with show_progress() as progress:
        subject = resnet_subject(
            wanted,
            weights=weights,
            new_head=new_head,
            labels=labels,
            image_size=image_size,
            preprocess=preprocess,
            output=output,
            seed=seed,
            download=progress.download,
        )
        path = output_file or Path(subject.default_name)
        result = export_subject(subject, path, options, step=progress.step)
    if json_file:
        write_whole(json_file, export_json(result))
    console().print(render_export(result))
    raise typer.Exit(0 if result.passed else 1)
