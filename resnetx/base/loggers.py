"""Silences the loggers of libraries, and what they print to standard error, for a while."""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, TextIO


@contextmanager
def silenced(*names: str) -> Iterator[None]:
    """Only critical messages of these loggers; their levels are the user's, and are restored."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def without_stderr() -> Iterator[None]:
    """Nothing that this thread prints to standard error; other threads may show the progress there."""
    if sys.stderr is None:
        yield
        return
    muted: Any = _Muted(sys.stderr)
    with redirect_stderr(muted):
        yield


class _Muted:
    def __init__(self, stream: TextIO) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self._thread else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
