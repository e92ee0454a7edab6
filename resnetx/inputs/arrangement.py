"""Arranges samples in batches so that an error that depends on a sample's place or on its neighbours shows."""

from collections.abc import Sequence

import numpy as np

# The costs of giving a place a sample, so that the more important rule wins where not all can be kept.
SAME_AS_NEIGHBOUR = 10_000.0  # it is also the sample of the place before, whose result could be copied
SEEN_HERE = 1_000.0  # this place has had this sample
ALWAYS_TOGETHER = 100.0  # these two places have had the same sample in every batch so far
OF_A_VECTOR = 8.0  # the two places are as far apart as vectorized code mixes
USED = 6.0  # each earlier use of this sample
PERIOD = 4.0  # each earlier return of a sample after the same distance in this batch
VECTOR_WIDTHS = (2, 4, 8, 16)


def arrange(sizes: Sequence[int], count: int, *, seed: int = 0) -> list[list[int]]:
    """The samples 0 to `count` - 1 in batches of `sizes`; the last size is repeated until the batches suffice.

    They suffice when every sample is used and the last size has been run twice: each of its places has then had
    different samples, and two places that share a sample in one batch have different ones in another. Neighbours in a
    batch differ, samples return at irregular distances, and a batch that is larger than `count` contains duplicates.
    """
    planner = _Planner(max(sizes), count, np.random.default_rng(seed))
    batches = [planner.batch(size) for size in sizes]
    while (planner.used == 0).any() or sizes.count(sizes[-1]) + len(batches) - len(sizes) < 2:
        batches.append(planner.batch(sizes[-1]))
    return batches


class _Planner:
    """Chooses the sample of each place in turn: the one that costs least, at random among equals."""

    def __init__(self, places: int, count: int, generator: np.random.Generator) -> None:
        self.generator = generator
        self.used = np.zeros(count, np.int64)
        self.seen = np.zeros((places, count), bool)
        # Pairs of places that have had different samples in some batch.
        self.separated = np.zeros((places, places), bool)

    def batch(self, size: int) -> list[int]:
        batch = np.zeros(size, np.int64)
        returns = np.zeros(size + 1, np.int64)  # how often a sample returned after this distance
        for place in range(size):
            distances = place - np.arange(place)
            pairs = PERIOD * returns[distances] + OF_A_VECTOR * np.isin(distances, VECTOR_WIDTHS)
            pairs += SAME_AS_NEIGHBOUR * (distances == 1)
            if self.seen[place].any():
                pairs += ALWAYS_TOGETHER * ~self.separated[place, :place]
            costs = USED * self.used + SEEN_HERE * self.seen[place]
            costs += np.bincount(batch[:place], pairs, len(costs))
            # The very first place has the first sample, which is the most telling one.
            sample = self.generator.choice(np.flatnonzero(costs == costs.min())) if self.used.any() else 0
            returns[distances[batch[:place] == sample]] += 1
            batch[place] = sample
            self.used[sample] += 1
            self.seen[place, sample] = True
        self.separated[:size, :size] |= batch[:, None] != batch
        return [int(sample) for sample in batch]
