"""Sanitizes text from files and libraries for terminals, XML, web pages and messages."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from unicodedata import combining

MOST_CHARACTERS = 200
# Of a message: several names and the reason.
MOST_OF_A_MESSAGE = 3000
# More marks than this on one character would be drawn over other lines; no language needs as many.
MOST_MARKS = 4
ELLIPSIS = "…"
# Printable by Python's definition, which follows the character's category, but drawn as nothing: names that look alike.
INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]"
)
WORD = re.compile(r"\S+")


def printable(text: str) -> str:
    """Replace what can control or deceive a terminal, or what XML and UTF-8 do not allow, with `?`.

    These are control characters (C0, C1), marks of direction, characters without width or shape, and lone surrogates.
    """
    if text.isascii() and text.isprintable():
        return text
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return "".join(_few_marks(INVISIBLE.sub("?", shown)))


def one_line(text: str) -> str:
    """Printable text, with every run of white space replaced by one space."""
    return printable(" ".join(text.split()))


def readable(text: str, most: int = MOST_CHARACTERS) -> str:
    """One printable line, cut after `most` characters."""
    # Cut first: a text of any length costs no more than one of a message's length.
    line = one_line(text[: 4 * max(most, MOST_CHARACTERS)])
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 3] + "..."


def message(text: str) -> str:
    """One printable line of a text that contains names from files, without the middle of what is too long."""
    return shorten(one_line(short_words(text)), MOST_OF_A_MESSAGE)


def short_words(text: str, most: int = MOST_CHARACTERS) -> str:
    """Cut the middle of every word longer than `most`."""
    return WORD.sub(lambda word: shorten(word[0], most), text)


def shorten(text: str, most: int) -> str:
    """Cut the middle of a text, because the names of two files often differ at the end."""
    if len(text) <= most:
        return text
    tail = most // 2
    return f"{text[: most - tail - 1]}{ELLIPSIS}{text[-tail:]}"


def grouped(reasons: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The names of each reason, from pairs of name and reason: what several have in common is said once."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons:
        names.setdefault(reason, []).append(name)
    return names


def file_size(size: int) -> str:
    """Bytes in the unit that shows them best."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{size} bytes"


def clock_time(seconds: float) -> str:
    """Minutes and seconds: 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _few_marks(text: str) -> Iterator[str]:
    for marks, group in groupby(text, key=lambda character: combining(character) != 0):
        characters = "".join(group)
        yield characters[:MOST_MARKS] if marks else characters
