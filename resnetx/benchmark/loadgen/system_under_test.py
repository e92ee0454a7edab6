"""The system under test: a runner that gets samples by index, and runs waiting ones in batches."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from resnetx.graph.card import ModelCard
from resnetx.inputs.batch_dimension import batched_names, batched_shape
from resnetx.inputs.timed import timed_feeds
from resnetx.runtime.catalog import BY_NAME
from resnetx.runtime.runner import Runner

# The number of different samples.
LIBRARY = 16
Sample = tuple[int, int]
Complete = Callable[[Sequence[int]], None]


class Feeder:
    """Runs samples of a small library by index, from host arrays to host arrays.

    For a runner with a fixed batch size, a smaller batch is padded with copies.
    """

    def __init__(self, runner: Runner, card: ModelCard | None, *, batch: int) -> None:
        self._runner, self._batch = runner, batch
        self.pads = not takes_any_size(runner)
        size = batch if self.pads else LIBRARY
        feeds = timed_feeds(runner.inputs, card, batch=size)
        self._names = batched_names(runner.inputs, size)
        self._shared = {name: array for name, array in feeds[0].items() if name not in self._names}
        rows = (
            {name: feed[name][index : index + 1] for name in self._names} for feed in feeds for index in range(size)
        )
        self._rows = [
            {name: np.ascontiguousarray(array) for name, array in row.items()} for row in islice(rows, LIBRARY)
        ]

    @property
    def count(self) -> int:
        return len(self._rows)

    def run(self, numbers: Sequence[int]) -> None:
        rows = [self._rows[number] for number in numbers]
        if self.pads:
            rows += rows[-1:] * (self._batch - len(rows))
        if len(rows) > 1:
            rows = [{name: np.concatenate([row[name] for row in rows]) for name in self._names}]
        self._runner.run({**rows[0], **self._shared})

    def warm_up(self, sizes: Iterable[int]) -> None:
        """Run each possible batch size, so that allocation or compilation does not add to the latency of a query."""
        for size in {self._batch} if self.pads else sizes:
            self.run([index % self.count for index in range(size)])


def takes_any_size(runner: Runner) -> bool:
    """Whether the batch size is dynamic, and a new size needs no compilation, which takes longer than any run."""
    row = BY_NAME.get(runner.provider)
    size = batched_shape([info.shape for info in runner.inputs])[0]
    return not isinstance(size, int) and not (row and row.compiles_each_batch)


def run_in_pieces(runner: Runner, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The first sample alone, then the others."""
    names = batched_names(runner.inputs)

    def piece(part: slice) -> dict[str, np.ndarray]:
        return runner.run({name: array[part] if name in names else array for name, array in feeds.items()})

    pieces = [piece(slice(1)), piece(slice(1, None))]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


class System:
    """Takes queries from LoadGen, and answers each of their samples once.

    Without `lanes` it answers in the calling thread. Otherwise that many threads take waiting samples, up to a batch at
    a time. LoadGen calls from C++, where an exception would end or hang the process: the first one is stored in
    `failure`, and later samples are answered without running them, so that LoadGen finishes.
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
        """To be called in the thread that issues queries. Lanes warm up themselves: a runtime may keep thread data."""
        if self._inline:
            self._guarded(lambda: self._feeder.warm_up(self._sizes))

    def issue(self, samples: Iterable[Any]) -> None:
        """Called by LoadGen. Each sample has an `index` in the library and an `id` for the response."""
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
        except Exception as error:  # any error of a runner fails the case
            self.failure = self.failure or error
            self.over.set()
