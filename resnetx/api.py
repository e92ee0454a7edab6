"""resnetx from Python: the commands' work as functions."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from resnetx.base.precisions import ExportPrecision
from resnetx.base.vocabulary import Exporter
from resnetx.conversion.export import ExportOptions, export_subject
from resnetx.conversion.result import Export
from resnetx.conversion.subject import Wanted, module_subject, resnet_subject
from resnetx.errors import UsageError
from resnetx.model.config import ResNetConfig, Variant


def export(
    model: nn.Module | ResNetConfig | None,
    path: str | Path,
    *,
    example: Tensor | Sequence[Tensor] | None = None,
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
) -> Export:
    """Write `model` to `path` as one verified ONNX file and say what was done.

    `model` is any module (with an `example` of its input), a config of the residual family, or None where `weights`
    says what the network is. A file that does not agree with PyTorch is not written: look at `passed` of the result.
    """
    options = ExportOptions(
        batch=batch,
        opset=opset,
        exporter=exporter,
        precision=precision,
        golden=None if golden is None else Path(golden),
        simplify=simplify,
        verify=verify,
    )
    if isinstance(model, nn.Module):
        if weights is not None or labels is not None or preprocess != "none" or output is not None:
            raise UsageError(
                "weights, labels, preprocess and output belong to resnetx's own networks; a module brings its own."
            )
        subject = module_subject(model, example)
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
        )
    return export_subject(subject, Path(path), options)
