"""The page's facts in words: placement, parity, the machine and its limits, and the command for each row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from resnetx.benchmark.result import Benchmark
from resnetx.report.bench_rows import BenchRow
from resnetx.report.html.charts import placement_chart
from resnetx.report.html.markup import Html, element, join, number, shorten
from resnetx.report.html.results_table import NOTHING, parity_words, scrolling
from resnetx.report.rerun_command import bench_command

# Results nested deeper than this are not made by resnetx.
DEEPEST = 4
LIMITS = {
    "threads": ("threads", ""),
    "fp32_gflops": ("fp32 peak", " GFLOP/s"),
    "bf16_gflops": ("bf16 peak", " GFLOP/s"),
    "int8_gops": ("int8 peak", " GOP/s"),
    "bandwidth_gb_s": ("memory bandwidth", " GB/s"),
}
GPU_LIMITS = {f"gpu_{name}": (f"GPU {title}", unit) for name, (title, unit) in LIMITS.items() if name != "threads"} | {
    "gpu_tf32_gflops": ("GPU tf32 peak", " GFLOP/s"),
    "gpu_fp16_gflops": ("GPU fp16 peak", " GFLOP/s"),
}


def placement_section(rows: Sequence[BenchRow]) -> Html:
    lines = [
        [
            shorten(row.case.model, 120),
            row.label,
            placement_chart(f"placement-{row.index}", row.case.placement),
            ", ".join(f"{count} node{'' if count == 1 else 's'} on {name}" for name, count in row.case.placement),
        ]
        for row in rows
        if row.case.placement
    ]
    words = "The nodes of each graph by the provider that really ran them, as the runtime reports after optimizing."
    return listed(words, ["model", "case", "share", "nodes"], lines, "Placement of nodes")


def parity_section(rows: Sequence[BenchRow]) -> Html:
    lines = [line for row in rows for line in _parity_lines(row)]
    words = (
        "The session that was timed, held against the reference. The error is given in multiples of the error that "
        "PyTorch itself makes in that precision."
    )
    heads = ["model", "case", "verdict", "output", "batch", "× PyTorch's error", "allowed", "top-1 agreement", "why"]
    return listed(words, heads, lines, "Parity of each case")


def machine_section(benchmark: Benchmark) -> Html:
    limits = benchmark.limits
    peaks: list[tuple[str, object]] = (
        [(title, _peak(getattr(limits, name), unit)) for name, (title, unit) in LIMITS.items()] if limits else []
    )
    gpu = {name: getattr(limits, name, None) for name in GPU_LIMITS}
    if any(value is not None for value in gpu.values()):
        peaks += [(title, _peak(gpu[name], unit)) for name, (title, unit) in GPU_LIMITS.items()]
    parts: list[tuple[str, list[tuple[str, object]]]] = [
        ("Machine", list(_flat(benchmark.machine))),
        ("Limits, measured in this run", peaks or [("limits", "not measured")]),
        ("Settings", list(_flat(benchmark.settings))),
    ]
    return join(element("div", None, element("h3", None, title), _facts(facts)) for title, facts in parts if facts)


def reproduce_section(rows: Sequence[BenchRow], settings: Mapping[str, Any]) -> Html:
    items = []
    for row in rows:
        command = element("pre", {"tabindex": 0}, element("code", None, bench_command(row.case, settings)))
        options = list(row.case.options.items())
        held = element("details", None, element("summary", None, f"{len(options)} options in force"), _facts(options))
        title = element("h3", None, f"{shorten(row.case.model, 120)}, {row.label}")
        items.append(element("article", {"id": f"case-{row.index}"}, title, command, held if options else Html()))
    words = "Run in the folder that holds the model. Timings of another machine, or another day, are not comparable."
    return join([element("p", {"class": "dim"}, words), *items])


def _parity_lines(row: BenchRow) -> Iterator[list[object]]:
    head: list[object] = [shorten(row.case.model, 120), row.label]
    if row.parity_passed is None:
        if row.case.status == "ok":
            yield [*head, parity_words(row), *([NOTHING] * 6)]
        return
    for check in row.checks or [{}]:
        passed = check.get("passed", row.parity_passed)
        verdict = ("good", "✓ passed") if passed else ("bad", "✗ FAILED")
        metrics = check.get("metrics") or {}
        top1 = metrics.get("top1")
        yield [
            *head,
            element("strong", {"class": verdict[0]}, verdict[1]),
            *(_cell(check.get(key)) for key in ("output", "batch", "multiple", "allowed")),
            f"{top1:.1%}" if isinstance(top1, int | float) else NOTHING,
            element("span", {"class": "reason"}, _cell(check.get("reason"))),
        ]


def _cell(value: object) -> object:
    return NOTHING if value is None else number(value) if isinstance(value, float) else value


def _peak(value: float | None, unit: str) -> str:
    return "not measured" if value is None else f"{number(value)}{unit}"


def listed(words: str, heads: Sequence[str], lines: Sequence[Sequence[object]], label: str) -> Html:
    if not lines:
        return element("p", {"class": "dim"}, "Nothing was measured that could be shown here.")
    head = element("tr", None, *(element("th", {"scope": "col"}, title) for title in heads))
    body = [
        element(
            "tr",
            None,
            element("th", {"scope": "row"}, element("span", {"class": "name"}, line[0])),
            *(element("td", None, cell) for cell in line[1:]),
        )
        for line in lines
    ]
    table = element("table", None, element("thead", None, head), element("tbody", None, *body))
    return join([element("p", {"class": "dim"}, words), scrolling(table, label)])


def _facts(facts: Iterable[tuple[str, object]]) -> Html:
    pairs = (element("div", None, element("dt", None, name), element("dd", None, value)) for name, value in facts)
    return element("dl", None, *pairs)


def _flat(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Nested facts as one list of names and texts."""
    if depth > DEEPEST:
        yield name, "…"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            words = str(key).replace("_", " ")
            yield from _flat(item, f"{name}, {words}" if name else words, depth + 1)
    elif isinstance(value, list | tuple):
        if any(isinstance(item, Mapping | list | tuple) for item in value):
            for index, item in enumerate(value, 1):
                yield from _flat(item, f"{name} {index}", depth + 1)
        elif value:
            yield name, ", ".join(map(str, value))
    elif value is not None:
        yield name, ("yes" if value else "no") if isinstance(value, bool) else value
