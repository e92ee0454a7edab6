"""The table of results: a row a case, what failed with its error beneath; columns that nobody fills are left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from resnetx.report.bench_rows import BenchRow, provider_in_words
from resnetx.report.html.markup import Html, element, join, number, shorten

Figure = Callable[[BenchRow], float | None]
NOTHING = element("span", {"class": "dim"}, "–")


@dataclass(frozen=True, kw_only=True)
class Column:
    """`order` is what the page's script sorts by, a number or a text; None is sorted last."""

    key: str
    title: str
    show: Callable[[BenchRow], Html]
    order: Callable[[BenchRow], float | str | None]
    numeric: bool = True


def results_table(rows: Sequence[BenchRow]) -> Html:
    if not rows:
        return element("p", {"class": "dim"}, "There are no cases.")
    columns = [column for column in _columns(rows) if any(column.order(row) is not None for row in rows)]
    heads = [
        element(
            "th",
            {
                "scope": "col",
                "data-key": column.key,
                "data-kind": "number" if column.numeric else "text",
                "class": "n" if column.numeric else None,
            },
            column.title,
        )
        for column in columns
    ]
    table = element(
        "table",
        {"id": "results-table", "aria-labelledby": "results-heading"},
        element("thead", None, element("tr", None, *heads)),
        *(_body(row, columns) for row in rows),
    )
    status = element("p", {"id": "sorted", "role": "status", "class": "small dim"})
    return join([scrolling(table, "Table of results"), status])


def scrolling(table: Html, label: str) -> Html:
    """A wide table moves in its own frame, which a keyboard can reach."""
    return element("div", {"class": "scroll", "tabindex": 0, "role": "region", "aria-label": label}, table)


def parity_words(row: BenchRow) -> Html:
    if row.parity_passed is None:
        return NOTHING if row.case.status != "ok" else element("span", {"class": "warn"}, "not checked")
    multiple = worst_multiple(row)
    words = "" if multiple is None else f" {number(multiple)}×"
    if row.parity_passed:
        return element("span", {"class": "good"}, f"✓ passed{words}")
    return element("strong", {"class": "bad"}, f"✗ FAILED{words}")


def worst_multiple(row: BenchRow) -> float | None:
    multiples = [check.get("multiple") for check in row.checks]
    return max((float(m) for m in multiples if isinstance(m, int | float)), default=None)


def _body(row: BenchRow, columns: Sequence[Column]) -> Html:
    cells = []
    for column in columns:
        order = column.order(row)
        attributes = {"data-sort": order, "class": "n" if column.numeric else None}
        head = {"scope": "row"} if column.key == "model" else {}
        cells.append(element("th" if head else "td", {**head, **attributes}, column.show(row)))
    lines = [element("tr", None, *cells)]
    if row.case.error is not None:
        cell = element("td", {"colspan": len(columns), "class": "error"}, element("div", None, row.case.error))
        lines.append(element("tr", {"class": "why"}, cell))
    kind = " ".join(word for word, holds in (("best", row.best), ("failed", row.case.status != "ok")) if holds)
    return element("tbody", {"class": kind or None}, *lines)


def _columns(rows: Sequence[BenchRow]) -> list[Column]:
    return [
        Column(key="model", title="model", show=_model, order=lambda row: row.case.model, numeric=False),
        Column(key="provider", title="provider", show=_provider, order=lambda row: row.case.provider, numeric=False),
        Column(key="batch", title="batch", show=lambda r: join([f"{r.case.batch}"]), order=lambda row: row.case.batch),
        _figure("throughput", "images/s", lambda row: row.summary.images_per_s),
        _figure("torch", "× torch", lambda row: row.ratio),
        Column(key="median", title="median ms", show=_median, order=lambda row: row.summary.median_ms),
        *(_figure(name, f"{name} ms", _percentile(name)) for name in _percentile_names(rows)),
        _figure("limit", "% of limit", _limit_percent),
        _text("precision", "precision", lambda row: row.case.effective_precision),
        Column(key="status", title="status", show=_status, order=lambda row: row.case.status, numeric=False),
        Column(key="parity", title="parity", show=parity_words, order=_parity_order, numeric=False),
        _figure("session", "session s", lambda row: None if row.case.cold is None else row.case.cold.session_s),
        _figure("first", "first run ms", lambda row: None if row.case.cold is None else row.case.cold.first_run_ms),
        _figure("memory", "peak MB", lambda row: row.case.peak_memory_mb),
        _figure("gpu", "GPU MB", lambda row: row.case.gpu_memory_mb),
        _figure("energy", "J/image", lambda row: row.summary.joules_per_image),
        _maybe("energy-of", "energy of", lambda row: row.case.energy_of),
        _maybe("engine", "engine", lambda row: row.case.cold.engine if row.case.cold else None),
        Column(key="placement", title="placement", show=_placement, order=_placed_share),
        _figure("threads", "threads", lambda row: row.case.threads),
        _figure("concurrency", "at once", _concurrency(rows)),
        _text("boundary", "arrays on", lambda row: row.case.boundary),
    ]


def _figure(key: str, title: str, value: Figure) -> Column:
    def show(row: BenchRow) -> Html:
        known = value(row)
        return NOTHING if known is None else join([number(known)])

    return Column(key=key, title=title, show=show, order=value)


def _text(key: str, title: str, value: Callable[[BenchRow], str]) -> Column:
    return Column(key=key, title=title, show=lambda row: join([value(row)]), order=value, numeric=False)


def _maybe(key: str, title: str, value: Callable[[BenchRow], str | None]) -> Column:
    def show(row: BenchRow) -> Html:
        words = value(row)
        return NOTHING if words is None else join([words])

    return Column(key=key, title=title, show=show, order=value, numeric=False)


def _model(row: BenchRow) -> Html:
    return element("span", {"class": "name"}, shorten(row.case.model, 120))


def _provider(row: BenchRow) -> Html:
    """What a row is worth stands beside its name, because on a narrow screen the verdicts are out of sight."""
    parts: list[object] = [element("a", {"href": f"#case-{row.index}"}, shorten(provider_in_words(row.case), 60))]
    if row.best:
        parts += [" ", element("span", {"class": "tag good"}, "★ best")]
    if row.case.fallback is not None:
        parts += [" ", element("span", {"class": "tag warn"}, "⚠ fell back")]
    if row.parity_passed is False:
        parts += [" ", element("span", {"class": "tag bad"}, "✗ wrong")]
    if row.case.status != "ok":
        parts += [" ", element("span", {"class": "tag bad"}, f"✗ {row.case.status}")]
    return join(parts)


def _status(row: BenchRow) -> Html:
    if row.case.status == "ok":
        count = len(row.case.warnings)
        words = f"⚠ {count} warning{'' if count == 1 else 's'}"
        return element("span", {"class": "warn"}, words) if count else Html("ok")
    return element("strong", {"class": "bad"}, f"✗ {row.case.status}")


def _parity_order(row: BenchRow) -> str | None:
    passed = row.parity_passed
    return None if passed is None else "passed" if passed else "failed"


def _median(row: BenchRow) -> Html:
    summary = row.summary
    if summary.median_ms is None:
        return NOTHING
    if summary.ci95_ms is None:
        return join([number(summary.median_ms)])
    interval = f"{number(summary.ci95_ms[0])} to {number(summary.ci95_ms[1])}"
    return join([number(summary.median_ms), element("br"), element("span", {"class": "small dim"}, interval)])


def _percentile_names(rows: Sequence[BenchRow]) -> list[str]:
    """p50 is the median, which has a column already."""
    names = dict.fromkeys(name for row in rows for name in row.summary.percentiles_ms or {})
    return [name for name in names if name != "p50"]


def _percentile(name: str) -> Figure:
    return lambda row: (row.summary.percentiles_ms or {}).get(name)


def _limit_percent(row: BenchRow) -> float | None:
    return None if row.summary.limit_fraction is None else 100 * row.summary.limit_fraction


def _concurrency(rows: Sequence[BenchRow]) -> Figure:
    alone = all(row.case.concurrency == 1 for row in rows)
    return lambda row: None if alone else row.case.concurrency


def _placement(row: BenchRow) -> Html:
    total, here = _placed(row)
    if not total:
        return NOTHING
    if here == total:
        return join([f"all {total}"])
    return element("span", {"class": "warn"}, f"⚠ {here} of {total}")


def _placed_share(row: BenchRow) -> float | None:
    total, here = _placed(row)
    return here / total if total else None


def _placed(row: BenchRow) -> tuple[int, int]:
    """All nodes, and those on the provider that was asked for."""
    return sum(c for _, c in row.case.placement), sum(c for name, c in row.case.placement if name == row.case.provider)
