"""A scenario's result as text, for the terminal and the HTML page."""

from collections.abc import Iterator, Sequence

from resnetx.benchmark.loadgen.result import LoadResult
from resnetx.report.bench_rows import BenchRow

SCENARIOS = {
    "single-stream": "one sample a query, the next when it is answered",
    "multi-stream": "8 samples a query, the next when all are answered",
    "server": "single samples at random times (Poisson), run together up to the batch",
    "offline": "all samples at once",
}


def captions(rows: Sequence[BenchRow]) -> list[str]:
    """What the scenario is, and why the runs are not official MLPerf; what is true of all rows is shown once."""
    loads = [(row, row.case.load) for row in rows if row.case.load is not None]
    kinds = dict.fromkeys(f"{load.scenario}: {SCENARIOS[load.scenario]}{_bound(load)}" for _, load in loads)
    labels: dict[str, list[str]] = {}
    for row, load in loads:
        if load.unofficial:
            labels.setdefault(load.unofficial, []).append(row.label)
    if len(labels) == 1:
        return [*kinds, *labels]
    return [*kinds, *(f"{label} ({'; '.join(names)})" for label, names in labels.items())]


def verdict(load: LoadResult) -> str:
    return "valid" if load.run.valid else "INVALID"


def bound_verdict(load: LoadResult) -> str | None:
    """None outside server."""
    if load.run.bound_kept is None or load.latency_bound_ms is None:
        return None
    return "kept" if load.run.bound_kept else "MISSED"


def load_notes(load: LoadResult) -> Iterator[str]:
    rate = load.run.rate
    if load.searched and load.figure is None and rate is not None:
        yield (
            f"No rate was found that keeps p99 within {load.latency_bound_ms:g} ms; the last of {len(load.probes)} "
            f"runs had {rate:.4g} queries/s."
        )
    if load.run.reasons:
        start = "LoadGen reports" if load.run.valid else "LoadGen calls the run invalid"
        yield f"{start}: {'; '.join(load.run.reasons)}."


def _bound(load: LoadResult) -> str:
    return "" if load.latency_bound_ms is None else f", p99 within {load.latency_bound_ms:g} ms"
