"""A console for reports, which contain names and messages from files of unknown origin."""

import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from io import StringIO
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from resnetx.base.text import ELLIPSIS, MOST_CHARACTERS, MOST_OF_A_MESSAGE, WORD, printable

# The width of what goes into a file or a pipe: no honest line wraps, and the columns of a hostile table have an end.
UNLIMITED = 4000
# Names and lines that are longer are no honest ones; they are cut also where nothing else is.
LONGEST_NAME, LONGEST_LINE = 1000, 20_000
# A long name continues on the next line behind one of these.
SEPARATOR = re.compile(r"(?<=[/\\._:,;=@+-])")
# Whether names are shown whole, because no terminal limits the width.
WHOLE: ContextVar[bool] = ContextVar("WHOLE", default=False)


class ReportConsole(Console):
    """Shows all text as it is: nothing in it is markup or an emoji code, and it cannot control the terminal.

    Names of any length are shown: the middle of a long word is left out, and that of a long line. What does not fit
    into a line continues behind a separator, if it has one.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render_str(self, text: str, **how: Any) -> Text:
        return _shortened(super().render_str(text, **how))

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, str):
            renderable = self.render_str(renderable)
        if isinstance(renderable, Text):
            room = options or self.options
            renderable = _shortened(renderable)
            renderable = renderable if room.no_wrap or renderable.no_wrap else _broken(renderable, room.max_width)
        for segment in super().render(renderable, options):
            # rich's own control sequences, such as those of a progress bar, have no text of ours.
            text = segment.text if segment.control else "\n".join(map(printable, segment.text.split("\n")))
            yield segment if text == segment.text else Segment(text, segment.style)


def plain_text(render: Callable[[int], RenderableType], *, width: int = UNLIMITED) -> str:
    """The lines for a file or a pipe: names are whole, nothing is padded, and only a `width` that is given wraps."""
    whole = WHOLE.set(True)
    try:
        console = ReportConsole(file=StringIO(), width=width, color_system=None, force_terminal=False)
        with console.capture() as captured:
            console.print(render(width))
    finally:
        WHOLE.reset(whole)
    return "\n".join(line.rstrip() for line in captured.get().split("\n"))


def _shortened(text: Text) -> Text:
    """Without the middle of words and lines that are too long to be read; the styles stay."""
    word, line = (LONGEST_NAME, LONGEST_LINE) if WHOLE.get() else (MOST_CHARACTERS, MOST_OF_A_MESSAGE)
    if len(text.plain) <= word:
        return text
    lines = [_cut(each, line) for each in text.split("\n", allow_blank=True)]
    return _like(text, Text("\n").join(_short_words(each, word) for each in lines))


def _short_words(line: Text, most: int) -> Text:
    """The last words first, so that the places of the others stay."""
    for word in reversed(list(WORD.finditer(line.plain))):
        if len(word[0]) > most:
            start, end = word.span()
            line = Text.assemble(line[:start], _cut(line[start:end], most), line[end:])
    return line


def _cut(text: Text, most: int) -> Text:
    tail = most // 2
    return text if len(text) <= most else Text.assemble(text[: most - tail - 1], ELLIPSIS, text[len(text) - tail :])


def _broken(text: Text, width: int) -> Text:
    """With line breaks behind separators in the words that are longer than a line."""
    long = (word for word in WORD.finditer(text.plain) if cell_len(word[0]) > width)
    places = [word.start() + place for word in long for place in _breaks(word[0], width)]
    return _like(text, Text("\n").join(text.divide(places))) if places else text


def _breaks(word: str, width: int) -> Iterable[int]:
    place = taken = 0
    for part in SEPARATOR.split(word):
        if taken and taken + cell_len(part) > width:
            yield place
            taken = 0
        place += len(part)
        taken += cell_len(part)


def _like(text: Text, changed: Text) -> Text:
    changed.style, changed.justify, changed.overflow = text.style, text.justify, text.overflow
    changed.no_wrap, changed.end = text.no_wrap, text.end
    return changed
