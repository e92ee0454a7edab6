"""A console for reports, which contain names and messages from files of unknown origin."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from resnetx.base.text import printable


class ReportConsole(Console):
    """Shows all text as it is: nothing in it is markup or an emoji code, and it cannot control the terminal."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            # rich's own control sequences, such as those of a progress bar, have no text of ours.
            text = segment.text if segment.control else "\n".join(map(printable, segment.text.split("\n")))
            yield segment if text == segment.text else Segment(text, segment.style)
