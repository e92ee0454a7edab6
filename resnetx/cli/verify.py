"""`resnetx verify`: a file compared with PyTorch, a golden bundle or another file."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.cli.options import (
    MAX_SEED,
    JsonFile,
    MemoryLimit,
    ProviderOptions,
    TimeLimit,
    finite,
    parse_ints,
    parse_pairs,
    parse_precision,
)


def verify(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The file to verify.", show_default=False)],
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="SRC",
            help="The checkpoint that the file was exported from.  [default: the local file that its card names]",
        ),
    ] = None,
    golden: Annotated[
        Path | None, typer.Option(metavar="FILE.npz", help="Compare with a golden bundle, which needs no torch.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(metavar="OTHER.onnx", help="Compare with the outputs of another file.")
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,NAME,...",
            help="Providers to verify on: cpu, openvino, cuda, cudnn, tensorrt or auto.  [default: cpu]",
        ),
    ] = None,
    provider_option: ProviderOptions = None,
    batch: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Batch sizes to run.  [default: 1,2,3,8,17]")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Number of distinct inputs.  [default: one of each kind]")
    ] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Verify on the images of this folder.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the synthetic inputs.")] = 0,
    atol: Annotated[
        float | None, typer.Option(min=0, help="Absolute tolerance, instead of multiples of PyTorch's error.")
    ] = None,
    rtol: Annotated[
        float | None, typer.Option(min=0, help="Relative tolerance, instead of multiples of PyTorch's error.")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="P",
            help="The precision that the file should have: fp32, fp16 or int8; or bf16, to compute it in that.  "
            "[default: that of most weights]",
        ),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also show every layer that was compared.")] = False,
    timeout: TimeLimit = None,
    memory_mb: MemoryLimit = None,
    json_file: JsonFile = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE.xml", help="Also write JUnit XML for a CI system.")
    ] = None,
) -> None:
    """Compare an ONNX file with its network, and each provider's results with PyTorch in float64.

    The file's weights, graph and inner tensors are compared with the network's; then each provider's outputs and
    inner tensors. Errors are given in multiples of the error that PyTorch itself makes; up to 8 of them pass.

    Exit status: 0 the file passes on every provider; 1 it fails; 2 the verification could not run, or nothing could be
    proven, because no output of the reference depends on the inputs.
    """
    import json

    from resnetx.base.files import write_whole
    from resnetx.cli.files import check_files
    from resnetx.cli.terminal import console, show_progress
    from resnetx.report.junit import render_junit
    from resnetx.report.verification import render_verification
    from resnetx.runtime.tuned_model import model_file, read_tuned
    from resnetx.verification.isolated import IsolationOptions, verify_isolated
    from resnetx.verification.parity import Tolerance
    from resnetx.verification.verify import VerifyOptions

    tuned = read_tuned(model) if model.is_dir() else None
    model = model_file(model)
    wanted = parse_precision(precision)
    atol, rtol = finite(atol, "--atol"), finite(rtol, "--rtol")
    options = VerifyOptions(
        weights=weights,
        golden=golden,
        reference=reference,
        providers=tuple(provider or ["cpu" if tuned is None else tuned.provider]),
        provider_options=parse_pairs(provider_option or [], "--provider-option"),
        batches=None if batch is None else parse_ints(batch, "--batch"),
        samples=samples,
        images=images,
        seed=seed,
        tolerance=None if atol is None and rtol is None else Tolerance(atol=atol or 0.0, rtol=rtol or 0.0),
        precision=None if wanted == "bf16" else wanted,
        session="bf16" if wanted == "bf16" else "fp32",
    )
    check_files(
        {"--json": json_file, "--junit": junit},
        models={"MODEL.onnx": [model], "--reference": [] if reference is None else [reference]},
        files={"--golden": golden},
        weights=weights,
        images=images,
    )
    with show_progress() as progress:
        limits = IsolationOptions(timeout_s=timeout, memory_mb=memory_mb)
        result = verify_isolated(model, options, limits, step=progress.step)
    if json_file:
        write_whole(json_file, json.dumps(result.to_json(), indent=2) + "\n")
    if junit:
        write_whole(junit, render_junit(result))
    console().print(render_verification(result, layers=layers))
    raise typer.Exit(0 if result.passed else 2 if result.agrees else 1)
