"""HTML and SVG in which every text is escaped unless this module made it."""

from collections.abc import Iterable, Mapping
from html import escape
from math import floor, log10

VOID = frozenset({"meta", "br"})
LONGEST_TEXT = 4000


class Html(str):
    """Text that is markup already; any other string is escaped on its way into the page."""


def element(name: str, attributes: Mapping[str, object] | None = None, *children: object) -> Html:
    """An element; attributes that are None are left out, and children that aren't Html are escaped."""
    pairs = "".join(f' {key}="{safe(value)}"' for key, value in (attributes or {}).items() if value is not None)
    if name in VOID:
        return Html(f"<{name}{pairs}>")
    return Html(f"<{name}{pairs}>{join(children)}</{name}>")


def join(parts: Iterable[object]) -> Html:
    return Html("".join(part if isinstance(part, Html) else safe(part) for part in parts))


def safe(value: object) -> Html:
    return Html(escape(legible(value), quote=True))


def legible(value: object) -> str:
    """Control characters, lone surrogates and marks that turn the text's direction become visible escapes."""
    text = shorten(str(value), LONGEST_TEXT)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in "\n\t" else _visible(character) for character in text
    )


def shorten(text: str, longest: int) -> str:
    """The start and the end of a text, because what tells two files apart often stands last."""
    if len(text) <= longest:
        return text
    tail = longest // 2
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def number(value: float) -> str:
    """Three digits that count, trailing zeros too; whole numbers from a thousand on, and 1e-05 for what is tiny."""
    if isinstance(value, int):
        return f"{value:,}"
    if value and 1e-3 <= abs(value) < 1e6:
        return f"{value:,.{max(2 - floor(log10(abs(value))), 0)}f}"
    return f"{value:.3g}"


def _visible(character: str) -> str:
    return (
        character.encode("ascii", "backslashreplace").decode() if ord(character) > 127 else f"\\x{ord(character):02x}"
    )
