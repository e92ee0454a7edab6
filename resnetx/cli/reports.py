"""What a command tells at its end: reports in files or on standard output, and the result as text."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import RenderableType

from resnetx.base.files import write_whole
from resnetx.cli.files import STDOUT
from resnetx.cli.output import is_quiet
from resnetx.cli.terminal import console
from resnetx.report.console import UNLIMITED, plain_text


def write_report(target: Path | None, make: Callable[[], str]) -> None:
    """Write a report, if one is wanted, whole or not at all."""
    if target == STDOUT:
        sys.stdout.write(make())
    elif target is not None:
        write_whole(target, make())


def show(render: Callable[[int], RenderableType], *, reports: Iterable[Path | None] = ()) -> None:
    """The result as text, rendered for a width; nothing with --quiet, or where a report has standard output.

    Only a terminal, or COLUMNS, limits the width.
    """
    if is_quiet() or STDOUT in reports:
        return
    shown = console()
    if shown.is_terminal:
        shown.print(render(shown.width))
    else:
        asked = os.environ.get("COLUMNS", "").isdigit()
        sys.stdout.write(plain_text(render, width=shown.width if asked else UNLIMITED))
