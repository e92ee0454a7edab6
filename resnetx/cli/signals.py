"""SIGINT, SIGTERM and SIGHUP end a command alike: it cleans up, and the exit status tells which signal it was."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
# A terminal that closes and a supervisor may send several signals at once; a second would interrupt the cleanup.
AGAIN_S = 1.0


class Interrupted(KeyboardInterrupt):
    """A subclass, because Python remembers a plain KeyboardInterrupt that leaves an `exec`, and exits by SIGINT."""


class Interruption:
    """`status` is what an interrupted command exits with; `happened` is true after a signal."""

    def __init__(self) -> None:
        self.status = 128 + signal.SIGINT
        self.happened = False
        self._last = 0.0

    def interrupt(self, number: int, _: object) -> None:
        now = time.monotonic()
        if self.happened and now - self._last < AGAIN_S:
            return
        self.happened, self._last, self.status = True, now, 128 + number
        raise Interrupted


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """An interruption that nothing inside handles ends the program."""
    interruption = Interruption()
    # Python lets only the main thread set handlers. A signal that is ignored, as by nohup, stays ignored.
    settable = threading.current_thread() is threading.main_thread()
    wanted = [number for number in SIGNALS if settable and signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.getsignal(number) for number in wanted}
    try:
        for number in wanted:
            signal.signal(number, interruption.interrupt)
        yield interruption
    except KeyboardInterrupt:
        sys.exit(interruption.status)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
