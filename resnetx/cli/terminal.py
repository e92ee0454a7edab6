"""Terminal output that the commands share: a console, and progress on stderr, which keeps stdout clean."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from resnetx.cli.output import is_quiet
from resnetx.report.console import ReportConsole

MIN_WIDTH, DEFAULT_WIDTH, MAX_WIDTH = 20, 80, 110


def console(*, stderr: bool = False) -> Console:
    """A console of a width that tables fit in; a terminal of unknown width says 0."""
    shown = ReportConsole(stderr=stderr)
    width = min(shown.width, MAX_WIDTH) if shown.width >= MIN_WIDTH else MIN_WIDTH if shown.width else DEFAULT_WIDTH
    return shown if width == shown.width else ReportConsole(stderr=stderr, width=width)


class Steps:
    """A spinner with the current step, and a bar for each download."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._spinner = progress.add_task("", total=None, visible=False)
        self._downloads: dict[str, TaskID] = {}

    def step(self, text: str) -> None:
        self._progress.update(self._spinner, description=Text(text).markup, visible=True)

    def download(self, name: str, done: int, total: int | None) -> None:
        if name not in self._downloads:
            self._downloads[name] = self._progress.add_task(Text(name).markup, total=total)
        self._progress.update(self._downloads[name], completed=done, total=total)


@contextmanager
def show_progress() -> Iterator[Steps]:
    """Progress, removed at the end; nothing is shown with --quiet, or if stderr is not a terminal."""
    shown = console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    download = (BarColumn(bar_width=20), DownloadColumn(), TimeRemainingColumn())
    with Progress(
        *columns, *download, console=shown, transient=True, disable=not shown.is_terminal or is_quiet()
    ) as progress:
        yield Steps(progress)
