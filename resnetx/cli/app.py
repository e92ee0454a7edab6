"""The commands of the `resnetx` program."""

from typing import Annotated

import typer

from resnetx import __version__
from resnetx.cli import bench, compare, convert, doctor, export, inspect, profile, quantize, simplify, tune, verify

# Without rich markup Typer's help needs no rich, which would double the time of `--help`.
app = typer.Typer(
    name="resnetx",
    help="From a PyTorch image classifier to the fastest correct thing this machine can run.",
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
app.command("convert")(convert.convert)
app.command("quantize")(quantize.quantize)
app.command("tune")(tune.tune)
app.command("inspect")(inspect.inspect)
app.command("verify")(verify.verify)
app.command("bench")(bench.bench)
app.command("profile")(profile.profile)
app.command("compare")(compare.compare)
app.command("doctor")(doctor.doctor)
