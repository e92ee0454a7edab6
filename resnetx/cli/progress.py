"""The progress of a command on stderr: drawn in a terminal, a line for each step elsewhere, nothing if quiet."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from resnetx.base.progress import Progress
from resnetx.base.text import clock_time
from resnetx.benchmark.watch import Watch
from resnetx.cli.output import is_quiet

# So often a line tells what goes on within a long step.
EVERY_S = 20.0


@contextmanager
def show_progress(*, timed: bool = False) -> Iterator[Watch]:
    """Show progress until the end; what is drawn is then removed.

    While a command is `timed`, a terminal is redrawn only when there is news: a clock that ticks would disturb it.
    """
    if is_quiet():
        yield Watch()
        return
    from resnetx.cli.live_view import LiveView
    from resnetx.cli.terminal import console

    terminal = console(stderr=True)
    if terminal.is_terminal and not terminal.is_dumb_terminal:
        with LiveView(terminal, ticking=not timed) as view:
            yield Watch(progress=view.progress, cases=view.cases)
    else:
        with Lines() as lines:
            yield Watch(progress=lines.progress)


class Lines:
    """A line for each step as it begins, and now and then one for what goes on within it."""

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._begun = time.monotonic()
        self._event: Progress | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)

    def __enter__(self) -> "Lines":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def progress(self, event: Progress) -> None:
        new = self._event is None or self._event.title != event.title
        self._event = event
        if new:
            self._print()

    def _repeat(self) -> None:
        while not self._ended.wait(self._every_s):
            if self._event is not None:
                self._print()

    def _print(self) -> None:
        print(f"[{clock_time(time.monotonic() - self._begun)}] {self._event}", file=sys.stderr, flush=True)
