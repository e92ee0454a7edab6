"""`resnetx compare`: two benchmarks, and whether the second is slower."""

from pathlib import Path
from typing import Annotated

import typer

from resnetx.cli.options import (
    AnyMachine,
    HtmlFile,
    JsonFile,
    MaxSlowdown,
    Quiet,
    RequireDecision,
    parse_max_slowdown,
)


def compare(
    old: Annotated[
        Path,
        typer.Argument(metavar="OLD.json", help="The baseline: a file that bench --json wrote.", show_default=False),
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW.json", help="The run to compare with it.", show_default=False)],
    max_slowdown: MaxSlowdown = None,
    any_machine: AnyMachine = False,
    require_decision: RequireDecision = False,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the table as Markdown, for a pull request.")
    ] = None,
    html: HtmlFile = None,
) -> None:
    """Compare two benchmarks: is a run slower than an earlier one?

    Each row is faster, slower, the same, or can't be told.

    A row fails only if the whole confidence interval of its ratio is above --max-slowdown; that is wrong in at most 1
    of 100 comparisons, over all rows. Small differences are found best between runs with interleaved rounds, as
    bench --against makes them. Of files of older versions, with one process for each case, the intervals are narrower
    than the truth, and the comparison says so.

    Exit status: 0 no row is slower than the limit; 1 one is, or with --require-decision can't be told; 2 the runs
    cannot be compared.
    """
    import json

    from resnetx.benchmark.comparison.compare import compare as compare_benchmarks
    from resnetx.benchmark.result_file import read_benchmark
    from resnetx.cli.files import check_files
    from resnetx.cli.reports import show, write_report
    from resnetx.report.comparison import render_comparison
    from resnetx.report.markdown import render_markdown

    limit = parse_max_slowdown(max_slowdown)
    targets = {"--json": json_file, "--markdown": markdown, "--html": html}
    check_files(targets, files={"OLD.json": old, "NEW.json": new})
    result = compare_benchmarks(
        read_benchmark(old),
        read_benchmark(new),
        names=(str(old), str(new)),
        max_slowdown=limit,
        any_machine=any_machine,
    )
    write_report(json_file, lambda: json.dumps(result.to_json(), indent=2) + "\n")
    write_report(markdown, lambda: render_markdown(result))
    if html:
        from resnetx.report.html.comparison_page import render_comparison_page

        write_report(html, lambda: render_comparison_page(result))
    show(lambda _: render_comparison(result), reports=[json_file, markdown, html])
    raise typer.Exit(0 if result.acceptable(require_decision=require_decision) else 1)
