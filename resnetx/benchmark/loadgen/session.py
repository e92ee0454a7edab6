"""LoadGen runs of a case, in the process of the case."""

import gc
from collections.abc import Sequence

import numpy as np

from resnetx.base.vocabulary import Scenario
from resnetx.benchmark.loadgen.mlperf import completer, play
from resnetx.benchmark.loadgen.options import MOST_QUERIES
from resnetx.benchmark.loadgen.result import SAMPLES_PER_QUERY, LoadRun
from resnetx.benchmark.loadgen.system_under_test import Feeder, System
from resnetx.benchmark.stopwatch import Stopwatch
from resnetx.graph.card import ModelCard
from resnetx.runtime.runner import Runner

# How long a case is timed to estimate how many queries a run will need.
GUESS_S = 0.5
# The quantile of the times to use: LoadGen needs rather too many queries than too few.
FAST_SHARE = 0.1


class Load:
    """LoadGen with the runner that was opened and warmed up."""

    def __init__(
        self, runner: Runner, card: ModelCard | None, *, scenario: Scenario, batch: int, concurrency: int
    ) -> None:
        self._scenario, self._batch, self._concurrency = scenario, batch, concurrency
        self._feeder = Feeder(runner, card, batch=batch)
        # Issuing a query to a server must not block until the previous one is complete, so lanes (threads) run them.
        lanes = concurrency if scenario == "server" or concurrency > 1 else 0
        sizes = _sizes(scenario, batch)
        self._system = System(self._feeder, completer(), batch=batch, lanes=lanes, sizes=sizes)
        self._samples_per_s = 0.0

    def guess(self, stopwatch: Stopwatch, seconds: float) -> float:
        """Estimated samples per second with full batches, rather too many than too few."""
        fast_ms = float(np.quantile(stopwatch.round_ms(min(GUESS_S, seconds)), FAST_SHARE))
        alone = 1 if self._scenario == "single-stream" else self._batch
        self._samples_per_s = 1e3 * alone * self._concurrency / max(fast_ms, 1e-3)
        return self._samples_per_s

    def run(self, *, seconds: float, rate: float | None, bound_ms: float) -> LoadRun:
        expected = rate or self._samples_per_s / SAMPLES_PER_QUERY.get(self._scenario, 1)
        gc.collect()
        gc.disable()  # a garbage collection would add to the latency of a query
        try:
            return play(
                self._system,
                self._scenario,
                count=self._feeder.count,
                seconds=seconds,
                # In most scenarios LoadGen generates twice as many as expected. A run that needs more becomes invalid.
                expected_per_s=min(expected, MOST_QUERIES / seconds / 2),
                rate=rate,
                bound_ms=bound_ms,
            )
        finally:
            gc.enable()


def _sizes(scenario: Scenario, batch: int) -> Sequence[int]:
    """The possible batch sizes: any for a server, otherwise full batches and the remainder of a query."""
    if scenario == "server":
        return range(1, batch + 1)
    left = SAMPLES_PER_QUERY.get(scenario, batch) % batch
    return [size for size in (left, min(batch, SAMPLES_PER_QUERY.get(scenario, batch))) if size]
