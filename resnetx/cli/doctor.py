"""`resnetx doctor`: what this machine can run, what is missing, and the command that installs it."""

from typing import Annotated

import typer

from resnetx.cli.options import JsonFile, Quiet


def doctor(
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,NAME,...",
            help="Try only these providers, all of which must work.  [default: try all; cpu must work]",
        ),
    ] = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
) -> None:
    """Find out what works on this machine, and how to fix the rest.

    Each provider runs a model of one convolution in a process of its own.

    Exit status: 0 the providers that must work do; 1 one does not; 2 they could not be tried.
    """
    import json

    from resnetx.cli.files import check_files
    from resnetx.cli.progress import show_progress
    from resnetx.cli.reports import show, write_report
    from resnetx.doctor.checkup import examine
    from resnetx.report.doctor import render_checkup

    check_files({"--json": json_file})
    with show_progress() as watch:
        checkup = examine(provider or (), progress=watch.progress)
    write_report(json_file, lambda: json.dumps(checkup.to_json(), indent=2) + "\n")
    show(lambda _: render_checkup(checkup), reports=[json_file])
    raise typer.Exit(0 if checkup.passed else 1)
