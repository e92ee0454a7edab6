"""SIGTERM handled as Ctrl-C: what runs is ended and cleaned up, and the exit status tells the two apart."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Ending:
    """`status` is what an interrupted command exits with."""

    status = 130

    def terminate(self, *_: object) -> None:
        self.status = 143
        raise KeyboardInterrupt


@contextmanager
def sigterm_interrupts() -> Iterator[Ending]:
    """An interruption that nothing inside keeps ends the program."""
    ending = Ending()
    # Python lets only the main thread set handlers; elsewhere SIGTERM stays what it was.
    settable = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, ending.terminate) if settable else None
    try:
        yield ending
    except KeyboardInterrupt:
        sys.exit(ending.status)
    finally:
        if settable:
            signal.signal(signal.SIGTERM, before)
