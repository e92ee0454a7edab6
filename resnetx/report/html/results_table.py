"""The columns of the table of results: their titles, and the value of each row."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from resnetx.report.bench_rows import BenchRow


class Column(NamedTuple):
    """The page's script sorts by `value`, a number or a text; None is sorted last."""

    key: str
    title: str
    value: Callable[[BenchRow], float | str | None]
    numeric: bool = True


def filled_columns(rows: Sequence[BenchRow]) -> list[Column]:
    """The columns that have a value in at least one row."""
    return [column for column in _columns(rows) if any(column.value(row) is not None for row in rows)]


def placed_nodes(row: BenchRow) -> tuple[int, int]:
    """All nodes, and those on the provider that was asked for."""
    return sum(c for _, c in row.case.placement), sum(c for name, c in row.case.placement if name == row.case.provider)


def worst_multiple(row: BenchRow) -> float | None:
    return max((check.multiple for check in row.checks if check.multiple is not None), default=None)


def _columns(rows: Sequence[BenchRow]) -> list[Column]:
    # p50 is the median, which has a column already.
    percentiles = dict.fromkeys(name for row in rows for name in row.summary.percentiles_ms or {} if name != "p50")
    alone = all(row.case.concurrency == 1 for row in rows)
    return [
        Column("model", "model", lambda row: row.case.model, numeric=False),
        Column("provider", "provider", lambda row: row.case.provider, numeric=False),
        Column("batch", "batch", lambda row: row.case.batch),
        Column("throughput", "images/s", lambda row: row.summary.images_per_s),
        Column("torch", "× torch", lambda row: row.ratio),
        Column("median", "median ms", lambda row: row.summary.median_ms),
        *(Column(name, f"{name} ms", _percentile(name)) for name in percentiles),
        Column("spread", "process spread %", _spread_percent),
        Column("processes", "processes", lambda row: row.case.processes or None),
        Column("limit", "% of limit", _limit_percent),
        Column("precision", "precision", lambda row: row.case.effective_precision, numeric=False),
        Column("status", "status", lambda row: row.case.status, numeric=False),
        Column("parity", "parity", _parity, numeric=False),
        Column("session", "session s", lambda row: None if row.case.cold is None else row.case.cold.session_s),
        Column("first", "first run ms", lambda row: None if row.case.cold is None else row.case.cold.first_run_ms),
        Column("memory", "peak MB", lambda row: row.case.peak_memory_mb),
        Column("gpu", "GPU MB", lambda row: row.case.gpu_memory_mb),
        Column("energy", "J/image", lambda row: row.summary.joules_per_image),
        Column("energy-of", "energy of", lambda row: row.case.energy_of, numeric=False),
        Column("engine", "engine", lambda row: row.case.cold.engine if row.case.cold else None, numeric=False),
        Column("placement", "placement", _placed_share),
        Column("threads", "threads", lambda row: row.case.threads),
        Column("concurrency", "at once", lambda row: None if alone else row.case.concurrency),
        Column("boundary", "arrays on", lambda row: row.case.boundary, numeric=False),
    ]


def _percentile(name: str) -> Callable[[BenchRow], float | None]:
    return lambda row: (row.summary.percentiles_ms or {}).get(name)


def _limit_percent(row: BenchRow) -> float | None:
    return None if row.summary.limit_fraction is None else 100 * row.summary.limit_fraction


def _spread_percent(row: BenchRow) -> float | None:
    return None if row.summary.process_spread is None else 100 * row.summary.process_spread


def _parity(row: BenchRow) -> str | None:
    passed = row.parity_passed
    return None if passed is None else "passed" if passed else "failed"


def _placed_share(row: BenchRow) -> float | None:
    total, here = placed_nodes(row)
    return here / total if total else None
