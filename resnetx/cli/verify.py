"""`resnetx verify`: a file compared with PyTorch, a golden bundle or another file."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.cli.options import (
    HtmlFile,
    JsonFile,
    MemoryLimit,
    ProviderOptions,
    Quiet,
    TimeLimit,
    checked_seed,
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
        Path | None,
        typer.Option(metavar="OTHER.onnx", help="Compare with the outputs of another file, and not with PyTorch."),
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
        int | None, typer.Option(metavar="N", min=1, help="Number of distinct inputs.  [default: one of each kind]")
    ] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Verify on the images of this folder.")] = None,
    seed: Annotated[int, typer.Option(metavar="N", callback=checked_seed, help="Seed of the synthetic inputs.")] = 0,
    atol: Annotated[
        float | None,
        typer.Option(metavar="X", min=0, help="Absolute tolerance, instead of multiples of the reference's error."),
    ] = None,
    rtol: Annotated[
        float | None,
        typer.Option(metavar="X", min=0, help="Relative tolerance, instead of multiples of the reference's error."),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="P",
            help="The precision that the file should have: fp32, fp16 or int8; or bf16, to compute it in that.  "
            "[default: int8 if any layer is, or that of most weights]",
        ),
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Also show every layer that was compared.")] = False,
    timeout: TimeLimit = None,
    memory_mb: MemoryLimit = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE.xml", help="Also write JUnit XML for a CI system.")
    ] = None,
    html: HtmlFile = None,
) -> None:
    """Compare an ONNX file with its network, on each provider.

    The file's weights, graph and inner tensors are compared with the network's; then each provider's outputs and
    inner tensors. Errors are given in multiples of the error that the reference itself makes in that precision; up to 8
    of them pass. A provider that cannot run the file is shown with the reason, and the others are verified.

    Exit status: 0 the file passes on every provider; 1 it fails on one, or is not the network; 2 the verification could
    not run, a provider could not run the file and all others pass, or nothing could be proven, because no output of
    the reference depends on the inputs.
    """
    import json

    from resnetx.cli.files import check_files
    from resnetx.cli.progress import show_progress
    from resnetx.cli.reports import show, write_report
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
        {"--json": json_file, "--junit": junit, "--html": html},
        models={"MODEL.onnx": [model], "--reference": [] if reference is None else [reference]},
        files={"--golden": golden},
        weights=weights,
        images=images,
    )
    with show_progress() as watch:
        limits = IsolationOptions(timeout_s=timeout, memory_mb=memory_mb)
        result = verify_isolated(model, options, limits, progress=watch.progress)
    write_report(json_file, lambda: json.dumps(result.to_json(), indent=2) + "\n")
    write_report(junit, lambda: render_junit(result))
    if html:
        from resnetx.report.html.verification_page import render_verification_page

        write_report(html, lambda: render_verification_page(result))
    show(lambda _: render_verification(result, layers=layers), reports=[json_file, junit, html])
    raise typer.Exit(0 if result.passed else 1 if result.failed else 2)
