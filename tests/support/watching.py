"""Watches of a benchmark: one that remembers what it was told, and one that interrupts."""

import itertools
from collections.abc import Callable, Sequence

from resnetx.base.progress import Progress
from resnetx.benchmark.result import BenchCase
from resnetx.benchmark.watch import Watch


class Listening:
    """Remembers every event, as a callback of any function that tells its progress."""

    def __init__(self) -> None:
        self.events: list[Progress] = []

    def __call__(self, event: Progress) -> None:
        self.events.append(event)

    @property
    def watch(self) -> Watch:
        return Watch(progress=self)

    @property
    def steps(self) -> list[str]:
        """The steps in their order, each once."""
        return list(dict.fromkeys(event.title for event in self.events))

    def details(self, word: str) -> list[str]:
        """What went on within the steps, where it contains the word."""
        return [event.detail for event in self.events if event.detail is not None and word in event.detail]


def interrupting(after: int) -> Watch:
    """Ctrl-C before the round with this number, counted over all cases from 0."""
    calls = itertools.count()

    def cases(_: Sequence[BenchCase]) -> None:
        if next(calls) == after:
            raise KeyboardInterrupt

    return Watch(cases=cases)


def interrupting_when(met: Callable[[Progress], bool], times: int) -> Watch:
    """Ctrl-C when so many events were of a kind."""
    seen = itertools.count(1)

    def progress(event: Progress) -> None:
        if met(event) and next(seen) == times:
            raise KeyboardInterrupt

    return Watch(progress=progress)
