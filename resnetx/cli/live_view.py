"""The live view of a benchmark on stderr: the state of the cases, and the time left."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from resnetx.benchmark.result import BenchCase
from resnetx.cli.output import is_quiet
from resnetx.cli.terminal import console
from resnetx.report.bench import render_progress


class LiveWatch:
    """Redraws only between rounds, because redrawing during a round would disturb the measurement."""

    def __init__(self, live: Live) -> None:
        self._live = live
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TimeRemainingColumn())
        self._progress = Progress(*columns, auto_refresh=False, console=live.console)
        self._task = self._progress.add_task("", total=None)

    def step(self, text: str) -> None:
        self._live.update(Text(f"{text} ..."), refresh=True)

    def cases(self, cases: Sequence[BenchCase], done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total, description=f"run {done} of {total}")
        self._live.update(Group(render_progress(cases), self._progress.get_renderable()), refresh=True)


@contextmanager
def watch_benchmark() -> Iterator[LiveWatch]:
    """Removed at the end; nothing is shown with --quiet, or if stderr is not a terminal."""
    shown = console(stderr=True)
    shown.quiet = not shown.is_terminal or is_quiet()
    with Live(console=shown, auto_refresh=False, transient=True) as live:
        yield LiveWatch(live)
