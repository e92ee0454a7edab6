"""A console for reports, which contain names and messages from files of unknown origin."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from resnetx.base.text import ELLIPSIS, MOST_CHARACTERS, MOST_OF_A_MESSAGE, WORD, printable


class ReportConsole(Console):
    """Shows all text as it is: nothing in it is markup or an emoji code, and it cannot control the terminal.

    Names of any length are shown: the middle of a long word is left out, and that of a long line.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **how: Any) -> Text:
        return _shortened(super().render_str(text, **how))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, Text):
            renderable = _shortened(renderable)
        for segment in super().render(renderable, options):
            # rich's own control sequences, such as those of a progress bar, have no text of ours.
            text = segment.text if segment.control else "\n".join(map(printable, segment.text.split("\n")))
            yield segment if text == segment.text else Segment(text, segment.style)


def _shortened(text: Text) -> Text:
    """Without the middle of words and lines that are too long to be read; the styles stay."""
    if len(text.plain) <= MOST_CHARACTERS:
        return text
    lines = [_cut(line, MOST_OF_A_MESSAGE) for line in text.split("\n", allow_blank=True)]
    shown = Text("\n").join(map(_short_words, lines))
    shown.style, shown.justify, shown.overflow = text.style, text.justify, text.overflow
    shown.no_wrap, shown.end = text.no_wrap, text.end
    return shown


def _short_words(line: Text) -> Text:
    """The last words first, so that the places of the others stay."""
    for word in reversed(list(WORD.finditer(line.plain))):
        if len(word[0]) > MOST_CHARACTERS:
            start, end = word.span()
            line = Text.assemble(line[:start], _cut(line[start:end], MOST_CHARACTERS), line[end:])
    return line


def _cut(text: Text, most: int) -> Text:
    tail = most // 2
    return text if len(text) <= most else Text.assemble(text[: most - tail - 1], ELLIPSIS, text[len(text) - tail :])
