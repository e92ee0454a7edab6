"""The commands of the `resnetx` program."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from resnetx import __version__
from resnetx.cli import (
    bench,
    compare,
    convert,
    doctor,
    export,
    inspect,
    profile,
    quantize,
    simplify,
    study,
    tune,
    verify,
)
from resnetx.cli.options import Quiet

# Without rich markup Typer's help needs no rich, which would double the time of `--help`.
app = typer.Typer(
    name="resnetx",
    help="From a PyTorch image classifier to the fastest correct thing this machine can run.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Command(TyperCommand):
    """A command in whose help an argument stands without the type that Python reads it as: `<path>`."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write = formatter.write_dl

        def write_plain(rows: Iterable[tuple[str, str]]) -> None:
            write([(name if name.startswith("-") else name.partition(" <")[0], text) for name, text in rows])

        formatter.write_dl = write_plain
        super().format_options(ctx, formatter)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"resnetx {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("-V", "--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    pass


COMMANDS: dict[str, Callable[..., None]] = {
    "export": export.export,
    "simplify": simplify.simplify,
    "convert": convert.convert,
    "quantize": quantize.quantize,
    "tune": tune.tune,
    "inspect": inspect.inspect,
    "verify": verify.verify,
    "bench": bench.bench,
    "profile": profile.profile,
    "compare": compare.compare,
    "doctor": doctor.doctor,
}
for name, command in COMMANDS.items():
    app.command(name, cls=Command)(command)

studies = typer.Typer(help=study.HELP, rich_markup_mode=None)
for name, command in study.STUDIES.items():
    studies.command(name, cls=Command)(command)
app.add_typer(studies, name="study")
