"""What a task tells of itself while it runs: its step, what goes on within that, and how much of that is done."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from resnetx.base.text import file_size, readable


@dataclass(frozen=True, kw_only=True, repr=False)
class Progress:
    """`step` counts from 1 up to `steps`, which is None where their number is unknown. `detail` is what goes on within
    the step, `share` how much of that is done, and `elapsed_s` the time since the task began.
    """

    text: str
    step: int | None = None
    steps: int | None = None
    detail: str | None = None
    share: float | None = None
    elapsed_s: float = 0.0

    @property
    def title(self) -> str:
        """The step without its detail, as one printable line."""
        number = "" if self.steps is None else f"step {self.step} of {self.steps}: "
        return f"{number}{readable(self.text)}"

    def __str__(self) -> str:
        return self.title if self.detail is None else f"{self.title}: {readable(self.detail)}"

    def __repr__(self) -> str:
        return f"<Progress after {self.elapsed_s:.1f} s: {self}>"


OnProgress = Callable[[Progress], None]


def ignore(_: object) -> None:
    """For a task that nobody watches."""


class Steps:
    """Numbers the steps of a task as they begin."""

    def __init__(self, tell: OnProgress, total: int | None = None) -> None:
        self._tell = tell
        self._total = total
        self._begun = time.monotonic()
        self._now = Progress(text="")

    def begin(self, text: str) -> None:
        number = (self._now.step or 0) + 1
        self._now = Progress(text=text, step=number, steps=self._total and max(self._total, number))
        self._say(self._now)

    def detail(self, text: str, share: float | None = None) -> None:
        self._say(replace(self._now, detail=text, share=share))

    def within(self, event: Progress) -> None:
        """Show the progress of a task that is part of this step."""
        self.detail(event.text if event.detail is None else f"{event.text}: {event.detail}", event.share)

    def follow(self, event: Progress) -> None:
        """Show the progress of a process that does the steps from this one on."""
        if event.text != self._now.text:
            self.begin(event.text)
        if event.detail is not None:
            self.detail(event.detail, event.share)

    def download(self, name: str, done: int, total: int | None) -> None:
        of = f" of {file_size(total)}" if total else ""
        self.detail(f"downloading {name}: {file_size(done)}{of}", done / total if total else None)

    def _say(self, event: Progress) -> None:
        self._tell(replace(event, elapsed_s=time.monotonic() - self._begun))
