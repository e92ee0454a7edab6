"""The kernels that run the layers of a benchmark's cases, as text."""

from collections.abc import Sequence

from resnetx.report.bench_rows import BenchRow


def kernels_in_words(rows: Sequence[BenchRow]) -> list[str]:
    """A line for each different set of kernels, with the rows that it runs."""
    rows_of: dict[str, list[str]] = {}
    for row in rows:
        counted = ", ".join(f"{count} by {name}" for name, count in row.case.kernels)
        if counted:
            rows_of.setdefault(counted, []).append(row.label)
    return [f"{'; '.join(labels)}: layers that multiply: {counted}" for counted, labels in rows_of.items()]
