"""resnetx from Python: the commands' work as functions.

Each takes `progress`, which is called with a `resnetx.Progress` whenever a step begins and while it goes on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from resnetx.base.optional_torch import require_torch
from resnetx.base.precisions import ExportPrecision, SessionPrecision
from resnetx.base.progress import OnProgress, ignore
from resnetx.base.vocabulary import AUTO, Exporter
from resnetx.benchmark.profiling.options import ProfileOptions
from resnetx.benchmark.profiling.result import Profile
from resnetx.benchmark.profiling.run import profile_file
from resnetx.benchmark.watch import Watch
from resnetx.conversion.convert import ConvertOptions, convert_file
from resnetx.conversion.quantization.quantize import QuantizeOptions, Quantizing, quantize_file
from resnetx.conversion.result import Conversion, Export
from resnetx.errors import UsageError
from resnetx.model.config import ResNetConfig, Variant
from resnetx.tuning.options import Objective, TuneOptions
from resnetx.tuning.result import Tuning
from resnetx.tuning.tune import tune_file
from resnetx.verification.isolated import IsolationOptions, verify_isolated
from resnetx.verification.parity import Tolerance
from resnetx.verification.result import Verification
from resnetx.verification.verify import VerifyOptions, verify_file

if TYPE_CHECKING:
    from torch import Tensor, nn


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


def tune(
    source: str | Path,
    folder: str | Path,
    *,
    objective: Objective = "latency",
    providers: Sequence[str] | None = None,
    batches: Sequence[int] | None = None,
    threads: int | None = None,
    latency_bound_ms: float | None = None,
    calibrate: str | Path | None = None,
    evaluate: str | Path | None = None,
    max_drop: float | None = None,
    force: bool = False,
    progress: OnProgress | None = None,
) -> Tuning:
    """Search for the fastest correct way to run a file on this machine, and write it into `folder`.

    With `calibrate`, as in `quantize`, INT8 files are tried too. Look at `best` of the result, which may be None.
    """
    options = TuneOptions(
        objective=objective,
        providers=None if providers is None else tuple(providers),
        batches=None if batches is None else tuple(batches),
        threads=threads,
        latency_bound_ms=latency_bound_ms,
        calibrate=calibrate,
        evaluate=None if evaluate is None else Path(evaluate),
        max_drop=max_drop,
        force=force,
    )
    return tune_file(Path(source), Path(folder), options, watch=Watch(progress=progress or ignore))


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
    """Convert a float32 file to float16, but for what would overflow; `written` if it agrees with the source."""
    options = ConvertOptions(
        exclude=tuple(exclude),
        images=None if images is None else Path(images),
        half_boundary=half_boundary,
        force=force,
    )
    return convert_file(Path(source), Path(path), options, progress=progress or ignore)


def export(
    model: "nn.Module | ResNetConfig | None",
    path: str | Path,
    *,
    example: "Tensor | Sequence[Tensor] | None" = None,
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

    `model` is any module (with an `example` of its input), a config of the residual family, or None where `weights`
    says what the network is. A file that does not agree with PyTorch is not written: look at `passed` of the result.
    An existing file of another network is replaced only with `force`.
    """
    require_torch("resnetx.export")
    from resnetx.conversion.export import ExportOptions, export_steps, export_subject
    from resnetx.conversion.subject import Wanted, module_subject, resnet_subject

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
    if model is not None and not isinstance(model, ResNetConfig):
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
            download=steps.download,
        )
    return export_subject(subject, Path(path), options, steps=steps)


def profile(
    path: str | Path,
    *,
    provider: str = AUTO,
    batch: int | None = None,
    threads: int | None = None,
    precision: SessionPrecision = "default",
    provider_options: Mapping[str, str] | None = None,
    duration_s: float | None = None,
    timeout_s: float | None = None,
    memory_mb: int | None = None,
    progress: OnProgress | None = None,
) -> Profile:
    """Where the time of a run of a file goes, layer by layer, on a provider that tells it: cpu, openvino or torch.

    The file runs in a process with limits: `timeout_s` and `memory_mb`, by default from its size.
    """
    options = ProfileOptions(
        provider=provider,
        batch=batch,
        threads=threads,
        precision=precision,
        provider_options=dict(provider_options or {}),
        duration_s=duration_s,
        timeout_s=timeout_s,
        memory_mb=memory_mb,
    )
    return profile_file(Path(path), options, progress=progress or ignore)


def verify(
    path: str | Path,
    module: "nn.Module | None" = None,
    *,
    weights: str | Path | None = None,
    golden: str | Path | None = None,
    reference: str | Path | None = None,
    providers: Sequence[str] = ("cpu",),
    provider_options: Mapping[str, str] | None = None,
    batches: Sequence[int] | None = None,
    samples: int | None = None,
    images: np.ndarray | str | Path | None = None,
    seed: int = 0,
    atol: float | None = None,
    rtol: float | None = None,
    layers: bool = False,
    timeout_s: float | None = None,
    memory_mb: int | None = None,
    progress: OnProgress | None = None,
) -> Verification:
    """Compare the outputs of a file with `module`, or with what the options or its model card name as the reference.

    Without a module, the file runs in a process with limits: `timeout_s` and `memory_mb`, by default from its size.
    """
    options = VerifyOptions(
        module=module,
        weights=None if weights is None else str(weights),
        golden=None if golden is None else Path(golden),
        reference=None if reference is None else Path(reference),
        providers=tuple(providers),
        provider_options=dict(provider_options or {}),
        batches=None if batches is None else tuple(batches),
        samples=samples,
        images=Path(images) if isinstance(images, str) else images,
        seed=seed,
        tolerance=None if atol is None and rtol is None else Tolerance(atol=atol or 0.0, rtol=rtol or 0.0),
        layers=layers,
    )
    if module is not None:
        return verify_file(Path(path), options, progress=progress or ignore)
    limits = IsolationOptions(timeout_s=timeout_s, memory_mb=memory_mb)
    return verify_isolated(Path(path), options, limits, progress=progress or ignore)
