"""Limits of weight files that may come from anyone, and names from them, made short enough for messages."""

from collections.abc import Iterable

# ResNet-152 in float64 takes 0.5 GB; no supported network needs more than this.
MAX_BYTES = 2 * 2**30
MAX_ENTRIES = 20_000


def clip(text: object, limit: int = 80) -> str:
    """A name from a file, short enough for a message."""
    shown = str(text)
    return shown if len(shown) <= limit else f"{shown[:limit]}..."


def listed(names: Iterable[str], limit: int = 4) -> str:
    """The first few of the names and how many more there are."""
    known = list(names)
    more = f" and {len(known) - limit} more" if len(known) > limit else ""
    return ", ".join(clip(name) for name in known[:limit]) + more
