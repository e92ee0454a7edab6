"""The `resnetx` program: its commands, and the one place where errors become messages and exit codes."""

import os
import sys
import textwrap
from typing import Annotated

import typer

from resnetx import __version__
from resnetx.base.text import one_line
from resnetx.cli import bench, compare, doctor, export, inspect, simplify, verify
from resnetx.errors import ResnetxError

# Without rich markup Typer's help needs no rich, which would double the time of `--help`.
app = typer.Typer(
    name="resnetx",
    help="From a PyTorch image classifier to the fastest correct thing this machine can run.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"resnetx {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


app.command("export")(export.export)
app.command("simplify")(simplify.simplify)
app.command("inspect")(inspect.inspect)
app.command("verify")(verify.verify)
app.command("bench")(bench.bench)
app.command("compare")(compare.compare)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the program: 0 is yes, 1 is no, 2 could not run."""
    try:
        app()
    except ResnetxError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output left (`| head`): nothing to say, and nothing may be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _fail(message: str) -> None:
    # Text from files may reach a message: control characters must not reach the terminal.
    width = min(os.get_terminal_size(2).columns if os.isatty(2) else 100, 100)
    print(
        textwrap.fill(f"resnetx: {one_line(message)}", width, break_long_words=False, break_on_hyphens=False),
        file=sys.stderr,
    )
    sys.exit(2)


if __name__ == "__main__":
    main()
