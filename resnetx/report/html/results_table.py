"""The tables of a benchmark: what each row reached, and what it costs; with a reason for each missing figure."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from resnetx.report.bench_rows import BenchRow
from resnetx.report.html.markup import element, judged, mark, number, precisely, stacked
from resnetx.report.html.table import Cell, Column, Row, Table, figure, make_table, words
from resnetx.report.scenario_words import bound_verdict, verdict

Figure = Callable[[BenchRow], Cell]
UNFINISHED = "the case did not finish, see its error"
# Of an output's problems; all of them are in the section on parity.
MOST_REASONS = 3


def results_table(rows: Sequence[BenchRow]) -> Table:
    """A row for each case. Its provider leads to the command that repeats it, its problems stand below it."""
    columns = _speed_columns(rows)
    return make_table(
        [column for column, _ in columns],
        [
            Row(
                cells=tuple(make(row) for _, make in columns),
                below="\n".join(problems(row)) or None,
                kind="best" if row.best else "failed" if row.case.status != "ok" or row.parity_passed is False else "",
            )
            for row in rows
        ],
    )


def costs_table(rows: Sequence[BenchRow]) -> Table:
    """What a case needs beside its time, and how it was run."""
    columns: list[tuple[Column, Figure]] = [
        *_case_columns(rows),
        (Column("session", "session s"), _known(lambda row: row.case.cold.session_s if row.case.cold else None)),
        (Column("first", "first run ms"), _known(lambda row: row.case.cold.first_run_ms if row.case.cold else None)),
        (Column("memory", "peak MB"), _known(lambda row: row.case.peak_memory_mb, "not measured on this system")),
        (Column("gpu", "GPU MB"), _known(lambda row: row.case.gpu_memory_mb, "no GPU, or not measured")),
        (Column("energy", "J/image"), _known(lambda row: row.summary.joules_per_image, "no meter for it")),
        (Column("energy-of", "energy of", numeric=False), _told(lambda row: row.case.energy_of, "no meter for it")),
        (
            Column("engine", "engine", numeric=False),
            _told(lambda row: row.case.cold.engine if row.case.cold else None, "the provider keeps no engine"),
        ),
        (Column("spread", "process spread %"), _known(_spread_percent, "needs several processes")),
        (Column("processes", "processes"), _known(lambda row: row.case.processes or None)),
        (Column("placement", "nodes placed"), _placement),
        (Column("threads", "threads"), lambda row: figure(row.case.threads)),
        (Column("concurrency", "at once"), lambda row: figure(row.case.concurrency)),
        (Column("boundary", "arrays on", numeric=False), lambda row: words(row.case.boundary)),
    ]
    # What is the same usual value everywhere says nothing.
    usual = {"concurrency": all(row.case.concurrency == 1 for row in rows)}
    usual["boundary"] = all(row.case.boundary == "host" for row in rows)
    kept = [(column, make) for column, make in columns if not usual.get(column.key)]
    return make_table([column for column, _ in kept], [Row(tuple(make(row) for _, make in kept)) for row in rows])


def placed_nodes(row: BenchRow) -> tuple[int, int]:
    """All nodes, and those on the provider that was asked for."""
    return sum(c for _, c in row.case.placement), sum(c for name, c in row.case.placement if name == row.case.provider)


def worst_multiple(row: BenchRow) -> float | None:
    return max((check.multiple for check in row.checks if check.multiple is not None), default=None)


def rate_interval(row: BenchRow) -> tuple[float, float] | None:
    """The 95 % interval of the throughput, which is that of the median time."""
    interval, rate, median = row.summary.ci95_ms, row.summary.images_per_s, row.summary.median_ms
    if interval is None or not rate or not median or not interval[0] > 0:
        return None
    return rate * median / interval[1], rate * median / interval[0]


def problems(row: BenchRow) -> list[str]:
    """Why a row did not finish, or is wrong, or could not be verified."""
    reasons = [f"{check.output}, batch {check.batch}: {check.reason}" for check in row.checks if check.reason]
    more = len(reasons) - MOST_REASONS
    return [
        *([row.case.error] if row.case.error else []),
        *([f"Not verified: {row.case.parity.reason}"] if row.case.parity and row.case.parity.reason else []),
        *reasons[:MOST_REASONS],
        *([f"and {more} more"] if more > 0 else []),
    ]


def _speed_columns(rows: Sequence[BenchRow]) -> list[tuple[Column, Figure]]:
    units = dict.fromkeys(row.case.load.unit for row in rows if row.case.load is not None)
    # p50 is the median, which has a column already.
    percentiles = dict.fromkeys(name for row in rows for name in row.summary.percentiles_ms or {} if name != "p50")
    return [
        *_case_columns(rows, linked=True),
        *((Column(unit, unit, main=True), _merit(unit)) for unit in units),
        (Column("throughput", "images/s", main=True), _throughput),
        (Column("mean", "mean images/s"), _mean_throughput),
        (Column("median", "median ms", main=True), _median),
        (Column("precision", "precision", numeric=False, main=True), _precision),
        (Column("verdict", "verdict", numeric=False, main=True), _verdict),
        *((Column(name, f"{name} ms"), _percentile(name)) for name in percentiles),
        (Column("bound", "bound", numeric=False), _bound),
        (Column("torch", "× torch"), _known(lambda row: row.ratio, "no torch case with the same batch and threads")),
        (Column("limit", "% of limit"), _limit_percent),
        (Column("loadgen", "LoadGen", numeric=False), _loadgen),
    ]


def _case_columns(rows: Sequence[BenchRow], *, linked: bool = False) -> list[tuple[Column, Figure]]:
    """The model if there are several, the provider with what else distinguishes rows, and the batch."""
    several = len({row.case.model for row in rows}) > 1
    model: tuple[Column, Figure] = (Column("model", "model", numeric=False), lambda row: words(row.case.model))
    provider = Column("provider", "provider", numeric=False, head=True)
    return [
        *([model] if several else []),
        (provider, _provider if linked else lambda row: words(row.case.provider, shown=row.series)),
        (Column("batch", "batch", head=True), lambda row: figure(row.case.batch, shown=str(row.case.batch))),
    ]


def _provider(row: BenchRow) -> Cell:
    tags = [
        *([mark("★ fastest", "tag good")] if row.best else []),
        *([mark("⚠ fell back", "tag warn")] if row.case.fallback is not None else []),
    ]
    link = element("a", {"href": f"#case-{row.index}"}, row.series)
    return Cell(Markup(" ").join([link, *tags]), row.case.provider)


def _throughput(row: BenchRow) -> Cell:
    if row.case.load is not None and not row.case.load.unit.endswith(" ms"):
        return Cell()  # the figure of merit is the rate
    rate, interval = row.summary.images_per_s, rate_interval(row)
    return figure(rate, UNFINISHED, shown=None if rate is None else stacked(number(rate), _between(interval)))


def _mean_throughput(row: BenchRow) -> Cell:
    if row.case.load is not None:
        return Cell()  # LoadGen's own figures are not medians
    rate, interval = row.summary.mean_images_per_s, row.summary.mean_images_per_s_ci95
    return figure(rate, UNFINISHED, shown=None if rate is None else stacked(number(rate), _between(interval)))


def _median(row: BenchRow) -> Cell:
    median = row.summary.median_ms
    absent = "all samples are one query" if row.case.load else UNFINISHED
    return figure(
        median, absent, shown=None if median is None else stacked(number(median), _between(row.summary.ci95_ms))
    )


def _between(interval: tuple[float, float] | None) -> str | None:
    return None if interval is None else f"{precisely(interval[0])} to {precisely(interval[1])}"


def _percentile(name: str) -> Figure:
    def make(row: BenchRow) -> Cell:
        absent = UNFINISHED if row.summary.median_ms is None else "needs more samples than were taken"
        return figure((row.summary.percentiles_ms or {}).get(name), absent)

    return make


def _merit(unit: str) -> Figure:
    def make(row: BenchRow) -> Cell:
        load = row.case.load
        return figure(
            load.figure if load and load.unit == unit else None, "no rate was found, or the case did not finish"
        )

    return make


def _precision(row: BenchRow) -> Cell:
    opened = row.case.status == "ok" or row.case.cold is not None
    return words(row.case.effective_precision if opened else None, UNFINISHED)


def _bound(row: BenchRow) -> Cell:
    load = row.case.load
    found = None if load is None else bound_verdict(load)
    if load is None or found is None:
        return Cell(absent=UNFINISHED)
    return Cell(judged(found == "kept", f"{found} {load.latency_bound_ms:g} ms"), found)


def _loadgen(row: BenchRow) -> Cell:
    load = row.case.load
    return Cell(absent=UNFINISHED) if load is None else Cell(judged(load.run.valid, verdict(load)), verdict(load))


def _verdict(row: BenchRow) -> Cell:
    case, passed, multiple = row.case, row.parity_passed, worst_multiple(row)
    if case.status != "ok":
        return Cell(mark(f"✗ {case.status}", "bad", "strong"), case.status)
    if passed is None:
        return Cell(mark("not verified", "warn"), "not verified")
    shown = judged(passed, "✓ correct" if passed else "✗ WRONG")
    return Cell(
        stacked(shown, None if multiple is None else f"error {number(multiple)}×"), "correct" if passed else "wrong"
    )


def _placement(row: BenchRow) -> Cell:
    total, here = placed_nodes(row)
    if not total:
        return Cell(absent="the runtime does not tell")
    return Cell(f"all {total}" if here == total else mark(f"⚠ {here} of {total}", "warn"), here / total)


def _known(value: Callable[[BenchRow], float | None], absent: str = UNFINISHED) -> Figure:
    return lambda row: figure(value(row), UNFINISHED if row.case.status != "ok" else absent)


def _told(value: Callable[[BenchRow], str | None], absent: str) -> Figure:
    return lambda row: words(value(row), UNFINISHED if row.case.status != "ok" else absent)


def _limit_percent(row: BenchRow) -> Cell:
    share = row.summary.limit_fraction
    absent = row.summary.limit_withheld or "no peak was measured for that precision and threads"
    return figure(None if share is None else 100 * share, UNFINISHED if row.case.status != "ok" else absent)


def _spread_percent(row: BenchRow) -> float | None:
    return None if row.summary.process_spread is None else 100 * row.summary.process_spread
