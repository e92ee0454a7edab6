"""A benchmark as one self-contained HTML page: no request leaves it, and nothing in a result can act in it."""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from resnetx.benchmark.comparison.compare import Comparison
from resnetx.benchmark.result import Benchmark
from resnetx.report.bench_rows import BenchRow, bench_rows
from resnetx.report.html.comparison import comparison_section
from resnetx.report.html.figures import latency_section, limit_section, throughput_section
from resnetx.report.html.markup import Html, element, join, number, shorten
from resnetx.report.html.results_table import results_table
from resnetx.report.html.scenario import load_section
from resnetx.report.html.sections import machine_section, parity_section, placement_section, reproduce_section

SECTIONS = (
    ("results", "Results"),
    ("load", "Scenario"),
    ("comparison", "Against the earlier run"),
    ("throughput", "Throughput against batch"),
    ("limit", "Fraction of the limit"),
    ("latency", "Latency by round"),
    ("placement", "Placement"),
    ("parity", "Parity"),
    ("machine", "Machine and settings"),
    ("reproduce", "Reproduce a row"),
)


def render_html(benchmark: Benchmark, comparison: Comparison | None = None) -> str:
    """The same benchmark gives the same page, byte for byte."""
    rows = bench_rows(benchmark)
    styles = {series: index for index, series in enumerate(dict.fromkeys(row.series for row in rows))}
    bodies = {
        "results": results_table(rows),
        "throughput": throughput_section(rows, styles),
        "limit": limit_section(rows, styles),
        "latency": latency_section(rows),
        "placement": placement_section(rows),
        "parity": parity_section(rows),
        "machine": machine_section(benchmark),
        "reproduce": reproduce_section(rows, benchmark.settings),
    }
    if any(row.case.load is not None for row in rows):
        bodies["load"] = load_section(rows)
    if comparison is not None:
        bodies["comparison"] = comparison_section(comparison)
    sections = [(key, title) for key, title in SECTIONS if key in bodies]
    main = [_head(benchmark, rows, sections), *(_section(key, title, bodies[key]) for key, title in sections)]
    return _page("resnetx benchmark", element("main", None, *main))


def _page(title: str, body: Html) -> str:
    """Only the style and the script whose digests stand in the policy are allowed; everything else is refused."""
    style, script = (_resource(name) for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head = [
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": Html(policy)}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "color-scheme", "content": "light dark"}),
        element("title", None, title),
        element("style", None, style),
    ]
    page = element(
        "html",
        {"lang": "en"},
        element("head", None, *head),
        element("body", None, body, element("script", None, script)),
    )
    return f"<!DOCTYPE html>\n{page}\n"


def _head(benchmark: Benchmark, rows: tuple[BenchRow, ...], sections: list[tuple[str, str]]) -> Html:
    links = [element("a", {"href": f"#{key}"}, title) for key, title in sections]
    return element(
        "header",
        None,
        element("h1", None, "Benchmark"),
        element("p", {"class": "dim"}, f"resnetx, {benchmark.created}"),
        element("p", {"class": "lead"}, *_counts(rows)),
        _best(rows),
        element("nav", {"aria-label": "Sections"}, *links),
        _warnings(rows),
    )


def _counts(rows: tuple[BenchRow, ...]) -> list[Html]:
    failed = sum(row.case.status != "ok" for row in rows)
    wrong = sum(row.parity_passed is False for row in rows)
    late = sum(row.case.load is not None and not row.case.load.kept for row in rows)
    unchecked = sum(row.case.status == "ok" and row.parity_passed is None for row in rows)
    parts = [join([f"{len(rows)} case{'' if len(rows) == 1 else 's'}"])]
    if failed:
        parts.append(join([", ", element("strong", {"class": "bad"}, f"{failed} not finished")]))
    if wrong:
        parts.append(join([", ", element("strong", {"class": "bad"}, f"{wrong} with wrong answers")]))
    if late:
        parts.append(join([", ", element("strong", {"class": "bad"}, f"{late} beyond the latency bound")]))
    if unchecked:
        parts.append(join([", ", element("strong", {"class": "warn"}, f"{unchecked} not verified")]))
    if rows and not failed + wrong + late + unchecked:
        parts.append(join([", all finished, and their answers verified"]))
    return [*parts, Html(".")]


def _best(rows: tuple[BenchRow, ...]) -> Html:
    items = []
    for row in rows:
        load = row.case.load
        if row.best and load is not None and load.figure is not None:
            figure = element("strong", None, f"{number(float(load.figure))} {load.unit}")
            items.append(element("li", None, f"{shorten(row.case.model, 90)}: ", figure, f" on {row.label}"))
        elif row.best and row.summary.images_per_s is not None:
            ratio = "" if row.ratio is None else f", {number(row.ratio)} times torch at this batch"
            figure = element("strong", None, f"{number(row.summary.images_per_s)} images/s")
            items.append(element("li", None, f"{shorten(row.case.model, 90)}: ", figure, f" on {row.label}{ratio}"))
    if not items:
        return Html()
    title = element("p", {"class": "dim"}, "The best row of each model, among those that are not wrong:")
    return join([title, element("ul", {"class": "fastest"}, *items)])


def _warnings(rows: tuple[BenchRow, ...]) -> Html:
    items = [
        element("li", None, element("strong", None, f"{shorten(row.case.model, 60)}, {row.label}: "), warning)
        for row in rows
        for warning in row.case.warnings
    ]
    if not items:
        return Html()
    return element(
        "aside",
        {"class": "warnings", "aria-label": "Warnings"},
        element("h2", None, f"{len(items)} warning{'' if len(items) == 1 else 's'}"),
        element("ul", None, *items),
    )


def _section(key: str, title: str, body: Html) -> Html:
    heading = element("h2", {"id": f"{key}-heading"}, title)
    return element("section", {"id": key, "aria-labelledby": f"{key}-heading"}, heading, body)


def _resource(name: str) -> Html:
    return Html(files("resnetx.report.html").joinpath(name).read_text(encoding="utf-8"))


def _digest(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
