"""The public functions that look at files: verify, inspect."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnetx.api.parameters import names_parameters
from resnetx.base.progress import OnProgress, ignore
from resnetx.graph.inspection.inspect import Inspection, inspect_model
from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.runtime.tuned_model import model_file
from resnetx.verification.isolated import IsolationOptions, verify_isolated
from resnetx.verification.parity import Tolerance
from resnetx.verification.result import Verification
from resnetx.verification.verify import VerifyOptions, verify_file

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


@names_parameters
def inspect(path: str | Path, *, input_shape: Sequence[int] | None = None) -> Inspection:
    """What a file contains: inputs, outputs, nodes, parameters, multiply-accumulates for one image, and its card.

    `input_shape` is that of the first input, where the file leaves it open.

    >>> resnetx.inspect("small.onnx")
    <Inspection of ResNet: 29 nodes, 13,562 parameters, 563,840 multiply-accumulates an image>
    """
    source = read_onnx_file(model_file(Path(path)))
    return inspect_model(
        source.model,
        file_bytes=source.file_bytes + source.external_bytes,
        input_shape=None if input_shape is None else tuple(input_shape),
    )


@names_parameters
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
    images: "np.ndarray | str | Path | None" = None,
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

    >>> result = resnetx.verify("small.onnx")
    >>> result
    <Verification of small.onnx: passed on cpu, error at most ... of 8 times the reference's own>
    >>> result.passed
    True
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
