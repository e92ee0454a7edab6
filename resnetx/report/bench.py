"""A benchmark as tables that fit in 80 columns: speed, correctness and cost."""

from collections.abc import Callable, Sequence
from statistics import median

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resnetx.base.text import printable
from resnetx.benchmark.result import BenchCase, Benchmark, Summary
from resnetx.report.bench_rows import BenchRow, bench_rows, by_model
from resnetx.report.kernel_words import kernels_in_words
from resnetx.report.process_words import processes_in_words, spread_in_words
from resnetx.report.scenario_words import bound_verdict, captions, load_notes, verdict

NOTHING = Text("-", "dim")


def render_bench(benchmark: Benchmark) -> RenderableType:
    """For each model its results and their costs; below, failures and warnings."""
    rows = bench_rows(benchmark)
    parts: list[RenderableType] = []
    for model, own in by_model(rows).items():
        loaded = any(row.case.load is not None for row in own)
        parts += [Text(printable(model), "bold"), *(Text(printable(words), "yellow") for words in captions(own))]
        parts += [_load_figures(own) if loaded else _figures(own), Text(), _costs(own)]
        parts += _device_costs(own)
        parts += [
            Text(),
            *(Text(printable(words), "dim") for words in (*processes_in_words(own), *kernels_in_words(own))),
            Text(),
        ]
    return Group(*parts, *_all_notes(rows), *_limits_note(benchmark), _ending(rows))


def render_progress(cases: Sequence[BenchCase]) -> Table:
    """The state of the cases while they run."""
    table = _table(("model", False), ("provider", False), ("batch", True), ("median ms", True), ("rounds", True))
    for case in cases:
        samples = [sample for samples in case.samples_ms for sample in samples]
        middle = f"{median(samples):.3f}" if samples else NOTHING
        state = Text(case.status, "red") if case.status != "ok" else Text(str(len(case.samples_ms)))
        name = Text(printable(case.model), overflow="ellipsis", no_wrap=True)
        table.add_row(name, case.provider, str(case.batch), middle, state)
    return table


def _figures(rows: Sequence[BenchRow]) -> Table:
    # Headers in two lines keep the table within 80 columns.
    numeric = ("batch", "median\nms", "95 % ci\nof median", "img/s\nmedian", "img/s\nmean", "x\ntorch")
    table = _table(("provider", False), ("prec", False), *((name, True) for name in numeric), ("parity", False))
    for row in rows:
        summary = row.summary
        low_high = summary.ci95_ms
        table.add_row(
            _provider(row),
            printable(row.case.effective_precision) if row.case.cold else NOTHING,
            str(row.case.batch),
            _number(summary.median_ms),
            NOTHING if low_high is None else f"{_short(low_high[0])}..{_short(low_high[1])}",
            _number(summary.images_per_s),
            _mean(summary),
            _number(row.ratio),
            _parity(row),
            style="bold" if row.best else "",
        )
    return table


def _mean(summary: Summary) -> str | Text:
    """The mean throughput, and the larger half of its interval as a share of it."""
    mean, interval = summary.mean_images_per_s, summary.mean_images_per_s_ci95
    if mean is None or interval is None:
        return _number(mean)
    half = max(mean - interval[0], interval[1] - mean) / mean
    return f"{_short(mean)} ±{half:.1%}" if half < 0.0995 else f"{_short(mean)} ±{half:.0%}"


def _limit(summary: Summary) -> str | Text:
    return NOTHING if summary.limit_fraction is None else f"{summary.limit_fraction:.0%}"


def _load_figures(rows: Sequence[BenchRow]) -> Table:
    """For MLPerf's scenarios: the figure of merit, and LoadGen's verdict on the run."""
    units = list(dict.fromkeys(row.case.load.unit for row in rows if row.case.load is not None))
    served = any(row.case.load is not None and row.case.load.scenario == "server" for row in rows)
    rates = ["img/s"] if all(unit.endswith(" ms") for unit in units) else []
    numeric = ("batch", *units, *(("p99 ms",) if served else ()), *rates, "limit", "x torch")
    words = (*(("bound",) if served else ()), "LoadGen", "parity")
    names = ((name, True) for name in numeric)
    table = _table(("provider", False), ("prec", False), *names, *((name, False) for name in words))
    for row in rows:
        summary, load = row.summary, row.case.load
        known = {} if load is None else {load.unit: load.figure}
        bound = None if load is None else bound_verdict(load)
        table.add_row(
            _provider(row),
            printable(row.case.effective_precision) if row.case.cold else NOTHING,
            str(row.case.batch),
            *(_number(known.get(unit)) for unit in units),
            *([_number(load.run.percentiles_ms.get("p99") if load else None)] if served else []),
            *(_number(summary.images_per_s) for _ in rates),
            _limit(summary),
            _number(row.ratio),
            *([NOTHING if bound is None else Text(bound, "" if bound == "kept" else "bold red")] if served else []),
            NOTHING if load is None else Text(verdict(load), "green" if load.run.valid else "yellow"),
            _parity(row),
            style="bold" if row.best else "",
        )
    return table


def _provider(row: BenchRow) -> Text:
    """`!` marks a fallback; the table of costs has the space to name it."""
    mark, fell_back = "*" if row.best else " ", "" if row.case.fallback is None else "!"
    return Text(printable(f"{mark} {row.case.provider}{fell_back}{row.settings}"))


def _costs(rows: Sequence[BenchRow]) -> Table:
    # p50 is the median, which is in the first table.
    known_names = dict.fromkeys(name for row in rows for name in row.summary.percentiles_ms or {})
    percentiles = [name for name in known_names if name != "p50"][:4]
    spreads = any(row.summary.process_spread is not None for row in rows)
    # The figures of a scenario have their limit beside them.
    limits = any(row.summary.limit_fraction is not None and row.case.load is None for row in rows)
    table = _table(
        ("provider", False),
        ("batch", True),
        *((f"{name} ms", True) for name in percentiles),
        *([("spread", True)] if spreads else []),
        *([("limit", True)] if limits else []),
        ("open s", True),
        ("1st ms", True),
        ("MB", True),
        ("nodes", False),
    )
    for row in rows:
        case, known = row.case, row.summary.percentiles_ms or {}
        table.add_row(
            Text(printable(f"  {row.series}")),
            str(case.batch),
            *(_number(known.get(name)) for name in percentiles),
            *([spread_in_words(row.summary.process_spread) or NOTHING] if spreads else []),
            *([_limit(row.summary)] if limits else []),
            _number(case.cold.session_s if case.cold else None),
            _number(case.cold.first_run_ms if case.cold else None),
            NOTHING if case.peak_memory_mb is None else f"{case.peak_memory_mb:.0f}",
            Text(printable(", ".join(f"{count} {name}" for name, count in case.placement)) or "-"),
        )
    return table


def _device_costs(rows: Sequence[BenchRow]) -> list[RenderableType]:
    """What only some machines report: GPU memory, energy, and the origin of a compiled engine."""
    columns: list[tuple[str, bool, Callable[[BenchRow], str | Text | None]]] = [
        ("GPU MB", True, lambda row: None if row.case.gpu_memory_mb is None else f"{row.case.gpu_memory_mb:.0f}"),
        (
            "J/img",
            True,
            lambda row: None if row.summary.joules_per_image is None else _short(row.summary.joules_per_image),
        ),
        ("energy of", False, lambda row: row.case.energy_of and printable(row.case.energy_of)),
        ("engine", False, lambda row: printable(row.case.cold.engine or "") if row.case.cold else None),
    ]
    shown = [column for column in columns if any(column[2](row) for row in rows)]
    table = _table(("provider", False), ("batch", True), *(column[:2] for column in shown))
    for row in rows:
        figures = [value(row) for _, _, value in shown]
        if any(figures):
            cells = (figure or NOTHING for figure in figures)
            table.add_row(Text(printable(f"  {row.series}")), str(row.case.batch), *cells)
    return [Text(), table] if shown else []


def _parity(row: BenchRow) -> Text:
    case = row.case
    if case.status != "ok":
        return Text(case.status, "bold red" if case.status != "interrupted" else "yellow")
    if row.parity_passed is None:
        return Text("not verified", "yellow" if case.parity is None else "bold red")
    multiples = [check.multiple for check in row.checks if check.multiple is not None]
    worst = f" {max(multiples):.2g}x" if multiples else ""
    return Text(f"ok{worst}", "green") if row.parity_passed else Text(f"FAILED{worst}", "bold red")


def _all_notes(rows: Sequence[BenchRow]) -> list[Text]:
    """Failures and warnings; those of several rows are shown once."""
    several = len({row.case.model for row in rows}) > 1
    rows_of: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        name = f"{row.case.model} on {row.label}" if several else row.label
        for note in _notes(row):
            rows_of.setdefault(note, []).append(name)
    return [Text(printable(f"{'; '.join(names)}: {words}"), style) for (words, style), names in rows_of.items()]


def _notes(row: BenchRow) -> list[tuple[str, str]]:
    """Each note with its colour."""
    case = row.case
    reason = case.parity.reason if case.parity is not None else None
    failed = [check for check in row.checks if check.reason and not check.passed]
    return [
        *([(case.error, "red")] if case.error else []),
        *((str(check.reason), "red") for check in failed),
        *([(f"not verified: {reason}", "red")] if reason else []),
        *((words, "yellow") for words in (load_notes(case.load) if case.load else ())),
        *([(row.summary.limit_withheld, "yellow")] if row.summary.limit_withheld else []),
        *((warning, "yellow") for warning in case.warnings),
    ]


def _limits_note(benchmark: Benchmark) -> list[Text]:
    problem = benchmark.limits_problem
    return [Text(printable(f"The machine's limits were not measured: {problem}"), "yellow")] if problem else []


def _ending(rows: Sequence[BenchRow]) -> Text:
    best = next((row.case for row in rows if row.best), None)
    merit = "the most images a second" if best is None or best.load is None else f"the best {best.load.unit}"
    words = [] if best is None else [f"* {merit}"]
    if any(row.case.fallback is not None for row in rows):
        words.append("! fell back")
    if any(row.case.load is None and row.summary.mean_images_per_s is not None for row in rows):
        words.append(
            "img/s: at the median time of a run; mean: all images over the time of all runs, ± its 95 % interval"
        )
    if any(row.checks for row in rows):
        words.append("parity in multiples of the reference's own error")
    if any(row.summary.limit_fraction is not None for row in rows):
        words.append("limit: share of the machine's peak in that precision")
    if any(row.summary.process_spread is not None for row in rows):
        words.append("spread: standard deviation between processes")
    return Text("; ".join(words), "dim")


def _table(*columns: tuple[str, bool]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name, numeric in columns:
        table.add_column(name, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    return table


def _number(value: float | None) -> str | Text:
    return NOTHING if value is None else _short(value)


def _short(value: float) -> str:
    """Four significant figures, without an exponent."""
    return (
        f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.4g}".rstrip(".") if abs(value) >= 1e-3 else f"{value:.4f}"
    )
