"""What receives the progress of a benchmark."""

from collections.abc import Sequence
from typing import Protocol

from resnetx.benchmark.result import BenchCase


class Watch(Protocol):
    """Receives the current step, and the state of the cases after each round."""

    def step(self, text: str) -> None: ...

    def cases(self, cases: Sequence[BenchCase], done: int, total: int) -> None: ...


class NoWatch:
    """Ignores progress."""

    def step(self, text: str) -> None:
        pass

    def cases(self, cases: Sequence[BenchCase], done: int, total: int) -> None:
        pass
