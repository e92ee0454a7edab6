"""A benchmark as one self-contained HTML page: it makes no requests, and no text of a result runs as code."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resnetx.base.text import shorten
from resnetx.benchmark.comparison.compare import Comparison
from resnetx.benchmark.result import Benchmark, Limits
from resnetx.report.bench_rows import BenchRow, bench_rows, by_model, provider_in_words
from resnetx.report.comparison import change_in_words, interval_in_words, turns_in_words, verdict_in_words
from resnetx.report.html.charts import describe, latency_chart, limit_chart, placement_chart, throughput_chart
from resnetx.report.html.markup import legible, number
from resnetx.report.html.results_table import filled_columns, placed_nodes, worst_multiple
from resnetx.report.html.spread import measure_spread
from resnetx.report.process_words import processes_in_words
from resnetx.report.rerun_command import bench_command
from resnetx.report.scenario_words import bound_verdict, captions, load_notes, verdict

# resnetx does not write results that are nested deeper.
DEEPEST = 4
LIMITS = {
    "threads": ("threads", ""),
    "fp32_gflops": ("fp32 peak", " GFLOP/s"),
    "tf32_gflops": ("tf32 peak", " GFLOP/s"),
    "fp16_gflops": ("fp16 peak", " GFLOP/s"),
    "bf16_gflops": ("bf16 peak", " GFLOP/s"),
    "int8_gops": ("int8 peak", " GOP/s"),
    "bandwidth_gb_s": ("memory bandwidth", " GB/s"),
}
# What the template calls.
FUNCTIONS = (
    *(bench_command, bound_verdict, captions, change_in_words, describe, interval_in_words, latency_chart, limit_chart),
    *(load_notes, measure_spread, placed_nodes, placement_chart, processes_in_words, provider_in_words),
    *(throughput_chart, turns_in_words),
    *(verdict, verdict_in_words, worst_multiple),
)
NOTHING = Markup('<span class="dim">–</span>')


def render_html(benchmark: Benchmark, comparison: Comparison | None = None) -> str:
    """The same benchmark gives the same page, byte for byte."""
    rows = bench_rows(benchmark)
    return ENVIRONMENT.get_template("page.html.jinja").render(
        style=resource("page.css"),
        script=resource("page.js"),
        benchmark=benchmark,
        comparison=comparison,
        rows=rows,
        counts=_counts(rows),
        warnings=[(row, warning) for row in rows for warning in row.case.warnings],
        columns=filled_columns(rows),
        loads=[row for row in rows if row.case.load is not None],
        rates=by_model(row for row in rows if row.summary.images_per_s is not None),
        shares=by_model(row for row in rows if row.summary.limit_fraction is not None),
        styles={series: index for index, series in enumerate(dict.fromkeys(row.series for row in rows))},
        machine=machine_facts(benchmark),
    )


def machine_facts(benchmark: Benchmark) -> dict[str, list[tuple[str, str]]]:
    """The machine, its peaks and the settings, as names and texts."""
    earlier = {"against": benchmark.against and benchmark.against.file, "interleaved_with": benchmark.interleaved_with}
    return {
        "Machine": list(flat(benchmark.machine)),
        "Limits, measured in this run": list(peaks(benchmark.limits, benchmark.limits_problem)),
        "Settings": list(flat(asdict(benchmark.settings) | earlier)),
    }


def resource(name: str) -> Markup:
    """A file of this folder, which is inserted as it is."""
    return Markup(files("resnetx.report.html").joinpath(name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def _number(value: object) -> object:
    """Format a number; anything else is returned unchanged."""
    return number(value) if isinstance(value, int | float) else value


def _counts(rows: tuple[BenchRow, ...]) -> list[tuple[str, int, str]]:
    """The colour, the number of rows, and the problem that they have."""
    return [
        ("bad", sum(row.case.status != "ok" for row in rows), "not finished"),
        ("bad", sum(row.parity_passed is False for row in rows), "with wrong outputs"),
        ("bad", sum(row.case.load is not None and not row.case.load.kept for row in rows), "beyond the latency bound"),
        ("warn", sum(row.case.status == "ok" and row.parity_passed is None for row in rows), "not verified"),
    ]


def peaks(limits: Limits | None, problem: str | None) -> Iterator[tuple[str, str]]:
    """GPU peaks are included if one of them was measured."""
    if limits is None:
        yield "limits", f"not measured: {problem}" if problem else "not measured"
    known = vars(limits) if limits else {}
    on_gpu = any(value is not None for name, value in known.items() if name.startswith("gpu_"))
    for name, value in known.items():
        of_gpu = name.startswith("gpu_")
        title, unit = LIMITS[name.removeprefix("gpu_")]
        if on_gpu or not of_gpu:
            yield f"GPU {title}" if of_gpu else title, "not measured" if value is None else f"{number(value)}{unit}"


def flat(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Nested facts as one list of names and texts."""
    if depth > DEEPEST:
        yield name, "…"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            words = str(key).replace("_", " ")
            yield from flat(item, f"{name}, {words}" if name else words, depth + 1)
    elif isinstance(value, list | tuple):
        if any(isinstance(item, Mapping | list | tuple) for item in value):
            for index, item in enumerate(value, 1):
                yield from flat(item, f"{name} {index}", depth + 1)
        elif value:
            yield name, ", ".join(map(_plain, value))
    elif value is not None:
        yield name, _plain(value)


def _plain(value: object) -> str:
    """50 and 50.0 look the same, because JSON does not distinguish them."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


ENVIRONMENT = Environment(
    loader=PackageLoader("resnetx.report.html", ""),
    autoescape=True,
    finalize=lambda value: NOTHING if value is None else legible(value),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
ENVIRONMENT.globals.update((function.__name__, function) for function in FUNCTIONS)
ENVIRONMENT.filters.update(shorten=shorten, digest=_digest, number=_number)
