"""`resnetx doctor`: what this machine can run, what is missing, and the command that installs it."""

from typing import Annotated

import typer


def doctor(
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,NAME,...",
            help="Try only these providers, all of which must work.  [default: try all; cpu must work]",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with every library that was looked for.")] = False,
) -> None:
    """Find out which providers work on this machine, and how to fix the others.

    Each provider runs a model of one convolution in a process of its own.

    Exit status: 0 the providers that must work do; 1 one does not; 2 they could not be tried.
    """
    import json

    from resnetx.cli.progress import show_progress
    from resnetx.cli.terminal import console, print_text
    from resnetx.doctor.checkup import examine
    from resnetx.report.doctor import render_checkup

    with show_progress() as watch:
        checkup = examine(provider or (), progress=watch.progress)
    if as_json:
        print_text(json.dumps(checkup.to_json(), indent=2) + "\n")
    else:
        console().print(render_checkup(checkup))
    raise typer.Exit(0 if checkup.passed else 1)
