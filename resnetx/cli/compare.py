"""`resnetx compare`: two benchmarks, and whether the second is slower."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.cli.options import AnyMachine, JsonFile, MaxSlowdown, parse_max_slowdown


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD.json", help="What bench --json wrote.", show_default=False)],
    new: Annotated[Path, typer.Argument(metavar="NEW.json", help="The run to judge.", show_default=False)],
    max_slowdown: MaxSlowdown = None,
    any_machine: AnyMachine = False,
    json_file: JsonFile = None,
) -> None:
    """Compare two benchmarks row by row: faster, slower, same, or can't tell.

    A row fails only where the whole interval of its ratio lies past --max-slowdown. The intervals of all rows together
    are wrong on that side in at most 1 of 100 comparisons. Runs that took turns (bench --against) are told apart best.

    Exit status: 0 no row is slower past the limit; 1 one is; 2 they cannot be compared.
    """
    import json

    from resnetx.base.files import require_writable, write_whole
    from resnetx.benchmark.comparison.compare import compare as compare_benchmarks
    from resnetx.benchmark.result_file import read_benchmark
    from resnetx.cli.terminal import console
    from resnetx.report.comparison import render_comparison

    limit = parse_max_slowdown(max_slowdown)
    if json_file:
        require_writable(json_file)
    result = compare_benchmarks(
        read_benchmark(old),
        read_benchmark(new),
        names=(str(old), str(new)),
        max_slowdown=limit,
        any_machine=any_machine,
    )
    if json_file:
        write_whole(json_file, json.dumps(result.to_json(), indent=2) + "\n")
    console().print(render_comparison(result))
    raise typer.Exit(0 if result.passed else 1)
