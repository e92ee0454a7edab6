"""The system under test: a runner that is given samples by number, and runs those that wait together."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from resnetx.graph.card import ModelCard
from resnetx.inputs.timed import timed_feeds
from resnetx.runtime.catalog import BY_NAME
from resnetx.runtime.runner import Runner

# Samples that differ: a query is answered from one of these.
LIBRARY = 16
Sample = tuple[int, int]
Complete = Callable[[Sequence[int]], None]


class Feeder:
    """Runs samples of a small library by their numbers, from host arrays to host arrays.

    A runner that takes one batch only gets a smaller one filled up with copies; any other runs it as it is.
    """

    def __init__(self, runner: Runner, card: ModelCard | None, *, batch: int) -> None:
        info = runner.inputs[0]
        self._runner, self._name, self._batch = runner, info.name, batch
        self.pads = not takes_any_size(runner)
        feeds = timed_feeds(runner.inputs, card, batch=batch if self.pads else LIBRARY)
        rows = (feed[info.name][index : index + 1] for feed in feeds for index in range(len(feed[info.name])))
        self._rows = [np.ascontiguousarray(row) for row in islice(rows, LIBRARY)]

    @property
    def count(self) -> int:
        return len(self._rows)

    def run(self, numbers: Sequence[int]) -> None:
        rows = [self._rows[number] for number in numbers]
        if self.pads:
            rows += rows[-1:] * (self._batch - len(rows))
        self._runner.run({self._name: rows[0] if len(rows) == 1 else np.concatenate(rows)})

    def warm_up(self, sizes: Iterable[int]) -> None:
        """Each size that may come: allocating for it, or compiling it, must not be a query's latency."""
        for size in {self._batch} if self.pads else sizes:
            self.run([index % self.count for index in range(size)])


def takes_any_size(runner: Runner) -> bool:
    """Whether its batch is free, and a new size costs no compilation, which takes longer than any run."""
    row = BY_NAME.get(runner.provider)
    return not isinstance(runner.inputs[0].shape[0], int) and not (row and row.compiles_each_batch)


def run_in_pieces(runner: Runner, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The first sample alone, then the others."""
    pieces = [runner.run({name: array[part] for name, array in feeds.items()}) for part in (slice(1), slice(1, None))]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


class System:
    """Takes queries from LoadGen, and answers each of their samples once.

    Without `lanes` it answers in the thread that asks. With them, so many threads take what waits, up to a batch at a
    time. LoadGen calls from C++, where an exception would end the process or hang it: the first one is kept in
    `failure`, and from then on every sample is answered unrun, so that LoadGen comes to its end.
    """

    def __init__(self, feeder: Feeder, complete: Complete, *, batch: int, lanes: int, sizes: Sequence[int]) -> None:
        self._feeder, self._complete, self._batch, self._sizes = feeder, complete, batch, sizes
        self.failure: Exception | None = None
        self.over = threading.Event()
        self._waiting: deque[Sample] = deque()
        self._changed = threading.Condition()
        self._ready = threading.Barrier(lanes + 1)
        for _ in range(lanes):
            threading.Thread(target=self._lane, daemon=True).start()
        self._inline = lanes == 0
        self._ready.wait()
        if self.failure is not None:
            raise self.failure

    def warm_up(self) -> None:
        """In the thread that will ask; lanes do it for themselves, because a runtime may keep something for each."""
        if self._inline:
            self._guarded(lambda: self._feeder.warm_up(self._sizes))

    def issue(self, samples: Iterable[Any]) -> None:
        """LoadGen's call: samples with a number in the library and an identity to answer under."""
        asked = [(sample.index, sample.id) for sample in samples]
        if self._inline:
            for first in range(0, len(asked), self._batch):
                self._answer(asked[first : first + self._batch])
            return
        with self._changed:
            self._waiting.extend(asked)
            self._changed.notify(len(asked))

    def _lane(self) -> None:
        self._guarded(lambda: self._feeder.warm_up(self._sizes))
        self._ready.wait()
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                taken = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            self._answer(taken)

    def _answer(self, samples: Sequence[Sample]) -> None:
        if self.failure is None:
            self._guarded(lambda: self._feeder.run([number for number, _ in samples]))
        self._complete([identity for _, identity in samples])

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # whatever a runner raises is this case's failure
            self.failure = self.failure or error
            self.over.set()
