"""How many processes the cases of a benchmark ran in, and how much these differ, as text."""

from collections.abc import Sequence

from resnetx.report.bench_rows import BenchRow

ONE_PROCESS = "one process a case: the intervals do not include how processes differ, and are narrower than the truth"


def processes_in_words(rows: Sequence[BenchRow]) -> list[str]:
    """A line for the rows that ran in several processes, and one for those that ran in one."""
    timed = [row for row in rows if row.case.samples_ms and row.case.load is None]
    several = [row for row in timed if row.case.processes > 1]
    counts = sorted({row.case.processes for row in several})
    lines = []
    if several:
        count = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        lines.append(f"{count} processes a case{_differences(several)}{_starts(several)}")
    if len(several) < len(timed):
        which = f" ({'; '.join(row.label for row in timed if row.case.processes == 1)})" if several else ""
        lines.append(f"{ONE_PROCESS}{which}")
    if any(row.case.load is not None for row in rows):
        lines.append("one process a case: how processes differ is not measured in a scenario")
    return lines


def spread_in_words(spread: float | None) -> str | None:
    return None if spread is None else f"{spread:.1%}" if spread < 0.0995 else f"{spread:.0%}"


def _differences(rows: Sequence[BenchRow]) -> str:
    spreads = sorted(row.summary.process_spread for row in rows if row.summary.process_spread is not None)
    if not spreads:
        return ""
    low, high = spread_in_words(spreads[0]), spread_in_words(spreads[-1])
    return f", which differ by {low if low == high else f'{low} to {high}'} (standard deviation)"


def _starts(rows: Sequence[BenchRow]) -> str:
    seconds = [
        start.start_s for row in rows for start in (row.case.cold, *row.case.restarts) if start and start.start_s
    ]
    return f"; starting them took {sum(seconds):.0f} s" if seconds else ""
