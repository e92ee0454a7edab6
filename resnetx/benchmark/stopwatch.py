"""The loop that times one case in its own process: between two clock readings there is nothing but one run."""

import gc
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from resnetx.runtime.runner import Call

Clock = Callable[[], int]

# Other cases used the processor since this case's last round, so it first runs untimed for this long.
REHEAT_S = 0.05
# Per round and thread: for a model that takes microseconds, more samples would only fill memory and files.
MOST_SAMPLES = 20_000


class Stopwatch:
    """Times calls, one after another or from several threads at once."""

    def __init__(self, calls: Sequence[Call], *, concurrency: int = 1, clock: Clock = time.perf_counter_ns) -> None:
        self._calls = tuple(calls)
        self._clock = clock
        self._concurrency = concurrency
        # The threads are reused, because a runtime may keep data for each calling thread.
        self._threads = ThreadPoolExecutor(concurrency) if concurrency > 1 else None

    def first_ms(self) -> float:
        """The time of the first run, which allocates and compiles."""
        return self._timed(self._calls[0]) / 1e6

    def warm_up(self, runs: int) -> None:
        """Run `runs` times in each thread."""
        self._everywhere(lambda lane: self._run(lane, until=None, least=runs))

    def round_ms(self, seconds: float, *, reheat: bool = True) -> list[float]:
        """The times of all runs that begin within `seconds`: at least one, at most `MOST_SAMPLES` per thread."""
        with _no_collector():
            if reheat:
                self._timed_round(min(REHEAT_S, seconds))
            return [nanoseconds / 1e6 for nanoseconds in self._timed_round(seconds)]

    def _timed_round(self, seconds: float) -> list[int]:
        until = self._clock() + int(seconds * 1e9)
        return self._everywhere(lambda lane: self._run(lane, until=until, least=1))

    def _run(self, lane: int, *, until: int | None, least: int) -> list[int]:
        calls, clock, samples = self._calls, self._clock, []
        turn = lane
        while True:
            call = calls[turn % len(calls)]
            begin = clock()
            call()
            end = clock()
            samples.append(end - begin)
            turn += 1
            if len(samples) >= least and (until is None or end >= until or len(samples) >= MOST_SAMPLES):
                return samples

    def _everywhere(self, work: Callable[[int], list[int]]) -> list[int]:
        if self._threads is None:
            return work(0)
        together = threading.Barrier(self._concurrency)

        def lane(number: int) -> list[int]:
            together.wait()
            return work(number)

        return [sample for samples in self._threads.map(lane, range(self._concurrency)) for sample in samples]

    def _timed(self, call: Call) -> int:
        begin = self._clock()
        call()
        return self._clock() - begin


def peak_memory_mb() -> float | None:
    """The peak memory of this process. (getrusage would include the memory of the parent at the fork.)"""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024
    return None


@contextmanager
def _no_collector() -> Iterator[None]:
    """Run Python's garbage collector before the round instead of at an arbitrary time during it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
