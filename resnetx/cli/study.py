"""`resnetx study`: the claims of the classic account of residual networks, each checked on networks trained here."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnetx.cli.options import JsonFile, Quiet, checked_seed, parse_ints

if TYPE_CHECKING:
    from resnetx.base.progress import OnProgress
    from resnetx.study.result import Study

HELP = """Check a claim about residual networks, on networks that are trained here within minutes.

Each study prints a table and a verdict that follows from its numbers. A claim that did not hold in this run is a result
too, with exit status 0.
"""
PICTURES = (".png", ".svg")

PictureFile = Annotated[
    Path | None,
    typer.Option(
        "-o", "--out", metavar="FILE", help="Also write the picture as FILE.png or FILE.svg, or a page as FILE.html."
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of the weights, and of the order of the images.")]
Seeds = Annotated[int, typer.Option(metavar="N", help="How often all is repeated, each time with the next seed.")]


def gradients(
    depths: Annotated[
        str, typer.Option(metavar="N,N,...", help="Depths of the networks, 6n + 2 layers each.")
    ] = "20,56,110",
    steps: Annotated[
        str, typer.Option(metavar="N,N,...", help="Training steps after which the gradients are taken.")
    ] = "0,10,50",
    seed: Seed = 0,
    out: PictureFile = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Gradient norm by layer, with and without shortcuts.

    The claim: in a plain network the gradient of the shallow layers falls toward zero as the network gets deeper; in
    the residual network it does not.

    Exit status: 0 whether the claim held or not; 2 the study could not be made.
    """

    def conduct(progress: "OnProgress") -> "Study":
        from resnetx.study.gradients import GradientOptions, study_gradients

        options = GradientOptions(
            depths=parse_ints(depths, "--depths"), steps=parse_ints(steps, "--steps"), seed=checked_seed(seed)
        )
        return study_gradients(options, progress=progress)

    _show_study(conduct, out, json_file)


def depth(
    depths: Annotated[
        str, typer.Option(metavar="N,N,...", help="Depths of the networks, 6n + 2 layers each.")
    ] = "8,20,56",
    steps: Annotated[int, typer.Option(metavar="N", help="Training steps of each network.")] = 200,
    seed: Seed = 0,
    out: PictureFile = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Training loss of deeper networks, and 152 layers at work.

    The claim: a deeper plain network trains worse, and a deeper residual network does not; residual networks of 152
    layers have gradients that are finite and do not vanish in any layer.

    Exit status: 0 whether the claim held or not; 2 the study could not be made.
    """

    def conduct(progress: "OnProgress") -> "Study":
        from resnetx.study.depth import DepthOptions, study_depth

        options = DepthOptions(depths=parse_ints(depths, "--depths"), steps=steps, seed=checked_seed(seed))
        return study_depth(options, progress=progress)

    _show_study(conduct, out, json_file)


def identity(
    error: Annotated[float, typer.Option(metavar="X", help="The relative error that is to be reached.")] = 0.01,
    steps: Annotated[int, typer.Option(metavar="N", help="Training steps of each block, at most.")] = 500,
    seeds: Seeds = 5,
    seed: Seed = 0,
    out: PictureFile = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """How soon a block learns to return its input.

    The claim: a residual block whose last BatchNorm scale is 0 is exactly the identity, and a residual block learns the
    identity in fewer steps than a plain one.

    Exit status: 0 whether the claim held or not; 2 the study could not be made.
    """

    def conduct(progress: "OnProgress") -> "Study":
        from resnetx.study.identity import IdentityOptions, study_identity

        options = IdentityOptions(error=error, steps=steps, seeds=seeds, seed=checked_seed(seed))
        return study_identity(options, progress=progress)

    _show_study(conduct, out, json_file)


def transfer(
    samples: Annotated[
        str, typer.Option(metavar="N,N,...", help="Labelled samples of each new class, each number a case of its own.")
    ] = "1,5",
    steps: Annotated[int, typer.Option(metavar="N", help="Training steps on the new classes.")] = 60,
    seeds: Seeds = 10,
    seed: Seed = 0,
    out: PictureFile = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """A trained body learns new classes, beside one from nothing.

    The claim: from few labelled samples of new classes, a body that was trained on other classes becomes more accurate
    than one that starts from nothing.

    Exit status: 0 whether the claim held or not; 2 the study could not be made.
    """

    def conduct(progress: "OnProgress") -> "Study":
        from resnetx.study.transfer import TransferOptions, study_transfer

        options = TransferOptions(
            samples=parse_ints(samples, "--samples"), steps=steps, seeds=seeds, seed=checked_seed(seed)
        )
        return study_transfer(options, progress=progress)

    _show_study(conduct, out, json_file)


def _show_study(conduct: "Callable[[OnProgress], Study]", out: Path | None, json_file: Path | None) -> None:
    """Check the targets, conduct the study, and show it in every form that was asked for."""
    import json

    from resnetx.base.files import write_whole
    from resnetx.base.text import readable
    from resnetx.cli.files import check_files
    from resnetx.cli.progress import show_progress
    from resnetx.cli.reports import show, write_report
    from resnetx.errors import UsageError
    from resnetx.study.requirements import require_packages

    if out is not None and _kind(out) not in (*PICTURES, ".html"):
        raise UsageError(f"-o takes a file that ends in .png, .svg or .html; found {readable(str(out))}.")
    check_files({"-o": out, "--json": json_file})
    require_packages(picture=out is not None and _kind(out) in PICTURES)
    with show_progress() as watch:
        study = conduct(watch.progress)
    write_report(json_file, lambda: json.dumps(study.to_json(), indent=2, allow_nan=False) + "\n")
    if out is not None:
        write_whole(out, _drawn(study, out))
    from resnetx.report.study import render_study

    show(lambda _: render_study(study), reports=[json_file])


def _drawn(study: "Study", out: Path) -> str | bytes:
    """In the format that the file's ending names."""
    if _kind(out) == ".html":
        from resnetx.report.html.study_page import render_study_page

        return render_study_page(study)
    from resnetx.report.study_picture import render_picture

    return render_picture(study, "png" if _kind(out) == ".png" else "svg")


def _kind(out: Path) -> str:
    return out.suffix.lower()


STUDIES: dict[str, Callable[..., None]] = {
    "gradients": gradients,
    "depth": depth,
    "identity": identity,
    "transfer": transfer,
}
