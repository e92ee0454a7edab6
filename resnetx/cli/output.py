"""The standard streams of the program: checked writes, and messages that cannot control a terminal."""

import logging
import os
import sys
import textwrap
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from typing import Any, TextIO

from resnetx.base.text import message, printable
from resnetx.errors import FileError

WIDEST, NARROWEST = 100, 20


_quiet = False


def be_quiet(asked: bool) -> bool:
    """Show nothing but errors and the reports that were asked for, until the program ends."""
    global _quiet
    _quiet = _quiet or asked
    return asked


def is_quiet() -> bool:
    return _quiet


class CheckedStream:
    """A text stream whose reader may leave (`| head`), whose device may be full, and whose encoding may be narrow."""

    def __init__(self, stream: TextIO, *, required: bool) -> None:
        self._stream = stream
        self._required = required
        self._problem: str | None = None

    def write(self, text: str) -> int:
        try:
            self._try(self._stream.write, text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            self._try(self._stream.write, text.encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, call: Any, *arguments: object) -> None:
        try:
            call(*arguments)
        except BrokenPipeError:
            self._drop_the_rest()
        except OSError as error:
            self._drop_the_rest()
            self._problem = error.strerror or str(error)
        # Raised at every call, because the first may be a library's that ignores it.
        if self._problem and self._required:
            raise FileError(
                f"The output cannot be written: {self._problem}. Give it a file or a terminal that can hold it."
            )

    def _drop_the_rest(self) -> None:
        """What is still buffered goes nowhere, also at the end of the process, where it would be an error again."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def checked_output() -> Iterator[None]:
    """Check everything that is printed; warnings and log messages of libraries become lines without control codes."""
    global _quiet
    _fill_closed_descriptors()
    before = sys.stdout, sys.stderr, sys.unraisablehook, threading.excepthook
    fallback = logging.lastResort
    formatter = fallback.formatter if fallback else None
    # The streams of a process whose descriptors are closed are None.
    streams: tuple[Any, Any] = (
        CheckedStream(sys.stdout or StringIO(), required=True),
        CheckedStream(sys.stderr or StringIO(), required=False),
    )
    sys.stdout, sys.stderr = streams
    if not debugging():
        sys.unraisablehook = lambda _: None  # an interruption in a destructor is no news
        threading.excepthook = _show_thread_error
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]  # of its arguments, one is used
            if fallback:
                fallback.setFormatter(_OneLine())
            yield
    finally:
        _quiet = False
        sys.stdout, sys.stderr, sys.unraisablehook, threading.excepthook = before
        if fallback:
            fallback.setFormatter(formatter)


def print_error(text: str, *, code: Sequence[str] = ()) -> None:
    """One paragraph on stderr, and lines of code. Both may contain text from files: nothing controls the terminal."""
    columns = 0
    with suppress(OSError):
        columns = os.get_terminal_size(2).columns
    width = min(columns, WIDEST) if columns >= NARROWEST else WIDEST
    print(
        textwrap.fill(f"resnetx: {message(text)}", width, break_long_words=False, break_on_hyphens=False),
        file=sys.stderr,
    )
    for line in code:
        print(f"    {printable(line)}", file=sys.stderr)


def print_traceback(error: BaseException) -> None:
    for line in "".join(traceback.format_exception(error)).splitlines():
        print(printable(line), file=sys.stderr)


def debugging() -> bool:
    """Whether the user wants tracebacks."""
    return os.environ.get("RESNETX_DEBUG", "") not in ("", "0")


def _show_warning(text: Warning | str, *_: object, **__: object) -> None:
    print_error(f"warning: {text}")


def _show_thread_error(failed: threading.ExceptHookArgs) -> None:
    print_error(f"warning: work in the background failed: {failed.exc_type.__name__} ({failed.exc_value})")


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return message(super().format(record))


def _fill_closed_descriptors() -> None:
    """Open what the caller closed (`>&-`): the next file would get its number, and what libraries print as content."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
