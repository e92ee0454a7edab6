"""The public functions that write ONNX files: export, simplify, convert, quantize."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnetx.api.parameters import names_parameters
from resnetx.base.optional_torch import require_torch
from resnetx.base.precisions import ExportPrecision
from resnetx.base.progress import OnProgress, ignore
from resnetx.base.vocabulary import Exporter
from resnetx.conversion.convert import ConvertOptions, convert_file
from resnetx.conversion.quantization.quantize import QuantizeOptions, Quantizing, quantize_file
from resnetx.conversion.result import Conversion, Export
from resnetx.conversion.simplify import simplify_file
from resnetx.errors import UsageError
from resnetx.graph.simplification.simplify import Simplification
from resnetx.model.config import ResNetConfig, Variant

if TYPE_CHECKING:
    from torch import Tensor, nn


@names_parameters
def simplify(
    source: str | Path,
    path: str | Path,
    *,
    timeout_s: float = 120,
    force: bool = False,
    progress: OnProgress | None = None,
) -> Simplification:
    """Simplify any ONNX file with onnxsim, compare inputs, outputs and numbers before and after, and write it.

    If anything differs, what is written is the unchanged graph: look at `applied` and `reason` of the result.

    >>> resnetx.simplify("small.onnx", "simple.onnx")
    <Simplification: 29 -> 29 nodes>
    """
    return simplify_file(Path(source), Path(path), timeout_s=timeout_s, force=force, progress=progress or ignore)


@names_parameters
def quantize(
    source: str | Path,
    path: str | Path,
    *,
    calibrate: str | Path,
    target: str = "auto",
    method: str = "auto",
    samples: int = 256,
    exclude: Sequence[str] = (),
    evaluate: str | Path | None = None,
    max_drop: float | None = None,
    force: bool = False,
    progress: OnProgress | None = None,
) -> Quantizing:
    """Quantize a float32 file to INT8, measured on samples that calibration does not see.

    `calibrate` is a folder of images, an .npz file of prepared inputs, or "synthetic". With `max_drop`, a share such as
    0.005, layers go back to float until top-1 drops by no more: look at `written` of the result.

    >>> resnetx.quantize("small.onnx", "int8.onnx", calibrate="synthetic", target="cpu", samples=32)
    <Quantizing of small.onnx to int8.onnx: written, top-1 agreement ...%, ... of 13 layers in float>
    """
    options = QuantizeOptions(
        calibrate=calibrate,
        target=target,
        method=method,
        samples=samples,
        exclude=tuple(exclude),
        evaluate=None if evaluate is None else Path(evaluate),
        max_drop=max_drop,
        force=force,
    )
    return quantize_file(Path(source), Path(path), options, progress=progress or ignore)


@names_parameters
def convert(
    source: str | Path,
    path: str | Path,
    *,
    exclude: Sequence[str] = (),
    images: str | Path | None = None,
    half_boundary: bool = False,
    force: bool = False,
    progress: OnProgress | None = None,
) -> Conversion:
    """Convert a float32 file to float16, but for what would overflow; `written` if it agrees with the source.

    >>> resnetx.convert("small.onnx", "half.onnx")
    <Conversion of small.onnx to half.onnx: passed, 0 nodes in float32>
    """
    options = ConvertOptions(
        exclude=tuple(exclude),
        images=None if images is None else Path(images),
        half_boundary=half_boundary,
        force=force,
    )
    return convert_file(Path(source), Path(path), options, progress=progress or ignore)


@names_parameters
def export(
    model: "nn.Module | ResNetConfig | None",
    path: str | Path,
    *,
    example: "Tensor | Sequence[Tensor] | None" = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_shapes: Mapping[str, Mapping[int, str]] | None = None,
    weights: str | Path | None = None,
    variant: Variant | None = None,
    classes: int | None = None,
    new_head: bool = False,
    labels: str | Path | None = None,
    image_size: int | None = None,
    preprocess: str = "none",
    output: str | None = None,
    seed: int = 0,
    batch: int | None = None,
    opset: int | None = None,
    exporter: Exporter | None = None,
    precision: ExportPrecision = "fp32",
    golden: str | Path | None = None,
    simplify: bool = True,
    verify: bool = True,
    force: bool = False,
    progress: OnProgress | None = None,
) -> Export:
    """Write `model` to `path` as one verified ONNX file and say what was done.

    `model` is any module (with an `example` of its input, or a sequence of several), a config of the residual family,
    or None where `weights` says what the network is. A file that does not agree with PyTorch is not written: look at
    `passed` of the result. An existing file of another network is replaced only with `force`.

    A module's outputs are named by `output_names`, or by the keys of the dictionary and the fields of the dataclass
    that it returns. `dynamic_shapes` names sizes that are free beside the batch, by input and axis; the file is
    verified at the example's sizes and at others. With `batch`, the batch is fixed.

    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU())
    >>> sizes = {"image": {2: "height", 3: "width"}}
    >>> example = torch.zeros(1, 3, 16, 16)
    >>> resnetx.export(network, "own.onnx", example=example, input_names=["image"], dynamic_shapes=sizes)
    <Export of Sequential to own.onnx: passed, ... kB, error at most ... of 8 times the reference's own>
    """
    require_torch("resnetx.export")
    from torch import nn

    from resnetx.conversion.export import ExportOptions, export_steps, export_subject
    from resnetx.conversion.own_module import module_subject
    from resnetx.conversion.subject import Wanted, resnet_subject

    options = ExportOptions(
        batch=batch,
        opset=opset,
        exporter=exporter,
        precision=precision,
        golden=None if golden is None else Path(golden),
        simplify=simplify,
        verify=verify,
        force=force,
    )
    steps = export_steps(progress or ignore, options)
    steps.begin("building the network" if weights is None else "loading the weights")
    if isinstance(model, nn.Module):
        if weights is not None or labels is not None or preprocess != "none" or output is not None:
            raise UsageError(
                "weights, labels, preprocess and output belong to resnetx's own networks; a module brings its own."
            )
        subject = module_subject(
            model, example, input_names=input_names, output_names=output_names, dynamic_shapes=dynamic_shapes
        )
    elif any(own is not None for own in (example, input_names, output_names, dynamic_shapes)):
        raise UsageError(
            "example, input_names, output_names and dynamic_shapes belong to modules of your own; resnetx's networks "
            f"have theirs. Give a torch module; found {'nothing' if model is None else type(model).__name__}."
        )
    else:
        subject = resnet_subject(
            model or Wanted(variant=variant, classes=classes),
            weights=weights,
            new_head=new_head,
            labels=None if labels is None else Path(labels),
            image_size=image_size,
            preprocess=preprocess,
            output=output,
            seed=seed,
            download=steps.download,
        )
    return export_subject(subject, Path(path), options, steps=steps)
