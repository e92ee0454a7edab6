"""The progress of a command as drawn in a terminal, where the drawing is removed at the end."""

import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from resnetx.base.progress import Progress
from resnetx.base.text import clock_time, readable
from resnetx.benchmark.result import BenchCase
from resnetx.report.bench import render_progress

BAR_WIDTH = 30
REFRESHES_PER_S = 4


class LiveView:
    """The current step with the time so far, what goes on within it, and in a benchmark the state of the cases."""

    def __init__(self, terminal: Console, *, ticking: bool) -> None:
        self._begun = time.monotonic()
        self._event: Progress | None = None
        self._table: RenderableType | None = None
        self._ticking = ticking
        self._live = Live(
            self, console=terminal, auto_refresh=ticking, refresh_per_second=REFRESHES_PER_S, transient=True
        )

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def progress(self, event: Progress) -> None:
        self._event = event
        if not self._ticking:
            self._live.refresh()

    def cases(self, cases: Sequence[BenchCase]) -> None:
        """Drawn with the next progress."""
        self._table = render_progress(cases)

    def __rich__(self) -> RenderableType:
        event = self._event
        if event is None:
            return Text()
        parts: list[RenderableType] = [Text(f"[{clock_time(time.monotonic() - self._begun)}] {event.title}")]
        if event.detail is not None:
            parts.append(Text(f"  {readable(event.detail)}"))
        if event.share is not None:
            # The text ends the line of the bar.
            parts += [ProgressBar(total=1.0, completed=min(max(event.share, 0.0), 1.0), width=BAR_WIDTH), Text()]
        # Last, because a terminal that is too small for all cuts off the end.
        return Group(*parts, *([self._table] if self._table is not None else []))
