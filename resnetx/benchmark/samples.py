"""The valid samples of a case, by round and by process."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from resnetx.benchmark.result import BenchCase

# Times in an untrusted file outside this range are ignored.
SHORTEST_MS, LONGEST_MS = 1e-7, 1e10


def valid_rounds(case: BenchCase) -> list[np.ndarray]:
    """The valid samples of each round that has any, in order of execution."""
    return [samples for _, samples in _numbered(case)]


def valid_processes(case: BenchCase) -> list[list[np.ndarray]]:
    """The same, by process."""
    processes: defaultdict[int, list[np.ndarray]] = defaultdict(list)
    for number, samples in _numbered(case):
        processes[number].append(samples)
    return list(processes.values())


def _numbered(case: BenchCase) -> Iterator[tuple[int, np.ndarray]]:
    numbers = case.round_processes or [0] * len(case.samples_ms)
    for number, samples in zip(numbers, case.samples_ms, strict=True):
        times = np.asarray(samples, dtype=np.float64)
        kept = times[(times >= SHORTEST_MS) & (times <= LONGEST_MS)]
        if kept.size:
            yield number, kept
