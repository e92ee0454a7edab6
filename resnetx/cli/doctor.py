"""`resnetx doctor`: what this machine can run, what is missing, and the command that mends it."""

from typing import Annotated

import typer


def doctor(
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Try only this one, which must work; again for another.  [default: all; cpu must work]"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every library looked for.")] = False,
) -> None:
    """Try every provider with a model of one convolution, each in a process of its own.

    Exit status: 0 what was asked for works; 1 it does not; 2 it could not be tried.
    """
    import json

    from resnetx.cli.terminal import console, show_progress
    from resnetx.doctor.checkup import examine
    from resnetx.report.doctor import render_checkup

    with show_progress() as progress:
        checkup = examine(provider or (), step=progress.step)
    if as_json:
        typer.echo(json.dumps(checkup.to_json(), indent=2))
    else:
        console().print(render_checkup(checkup))
    raise typer.Exit(0 if checkup.passed else 1)
