"""Makes untrusted text readable, limits its length and escapes it; builds SVG elements."""

from collections.abc import Mapping
from math import floor, log10

from markupsafe import Markup, escape

from resnetx.base.text import shorten

LONGEST_TEXT = 4000


def element(name: str, attributes: Mapping[str, object], *children: object) -> Markup:
    """Attributes that are None are left out; what is not markup is escaped."""
    pairs = "".join(f' {key}="{safe(value)}"' for key, value in attributes.items() if value is not None)
    return Markup(f"<{name}{pairs}>{''.join(map(safe, children))}</{name}>")


def safe(value: object) -> Markup:
    return escape(legible(value))


def legible(value: object) -> str:
    """Control characters, lone surrogates and marks that change the direction of text become visible escapes."""
    if isinstance(value, Markup):
        return value
    text = shorten(str(value), LONGEST_TEXT)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def number(value: float) -> str:
    """Three significant digits, including trailing zeros; whole numbers from 1,000 on; 1e-05 if tiny."""
    if isinstance(value, int):
        return f"{value:,}"
    if value and 1e-3 <= abs(value) < 1e6:
        return f"{value:,.{max(2 - floor(log10(abs(value))), 0)}f}"
    return f"{value:.3g}"


def precisely(value: float) -> str:
    """Four significant digits, for the ends of an interval; whole numbers from 1,000 on."""
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.4g}"


def mark(words: object, kind: str = "", tag: str = "span") -> Markup:
    return element(tag, {"class": kind or None}, words)


def judged(good: bool, words: object) -> Markup:
    """A verdict in its colour."""
    return mark(words, "good") if good else mark(words, "bad", "strong")


def stacked(first: object, second: object | None) -> Markup:
    """Two lines of a cell, the second small; one if there is no second."""
    return safe(first) if second is None else Markup("{}<br>{}").format(safe(first), mark(second, "small dim"))
