"""How often which magnitudes occur in a tensor, in bins that grow with it, and where to cut them off."""

import numpy as np

BINS = 2048
# Of a large tensor's elements one in so many is counted: neighbours are alike, and counting is slower than computing.
# In a small one some channels would never be seen.
STRIDE, LARGE = 5, 2**16
# INT8 has so many steps on one side of zero.
STEPS = 128
# The cut is searched for in steps of so many bins.
CANDIDATES = 16
TINY = 1e-9


class Histogram:
    """Of magnitudes from zero; `width` is where the last bin ends."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS)
        self.width = 0.0

    def add(self, array: np.ndarray, largest: float) -> None:
        """Count the elements of an array, whose largest magnitude is known."""
        if largest == 0.0:
            return
        self.width = self.width or largest
        while largest > self.width:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([merged, np.zeros(BINS - len(merged))])
            self.width *= 2
        sample = np.abs(array.reshape(-1)[:: STRIDE if array.size > LARGE else 1])
        places = np.minimum((sample / self.width * BINS).astype(np.int32), BINS - 1)
        self.counts += np.bincount(places[sample > 0], minlength=BINS)

    def percentile(self, share: float) -> float:
        """The magnitude that this share of the elements, in percent, does not exceed."""
        total = self.counts.sum()
        if not total:
            return self.width
        place = int(np.searchsorted(np.cumsum(self.counts), total * share / 100))
        return (min(place, BINS - 1) + 1) * self.width / BINS

    def entropy(self) -> float:
        """The magnitude at which cutting off loses the least information, as Kullback and Leibler measure it."""
        if not self.counts.sum():
            return self.width
        cuts = range(STEPS, BINS + 1, CANDIDATES)
        return min(cuts, key=self._divergence) * self.width / BINS

    def _divergence(self, cut: int) -> float:
        """Between the magnitudes up to the cut, with what is beyond at its end, and the same in 128 steps."""
        inner = self.counts[:cut]
        kept = inner.copy()
        kept[-1] += self.counts[cut:].sum()
        edges = np.arange(STEPS) * cut // STEPS
        filled = inner > 0
        sums, members = np.add.reduceat(inner, edges), np.add.reduceat(filled.astype(float), edges)
        means = np.divide(sums, members, out=np.zeros(STEPS), where=members > 0)
        stepped = np.where(filled, np.repeat(means, np.diff(np.append(edges, cut))), 0.0)
        p, q = kept / kept.sum(), stepped / max(stepped.sum(), TINY)
        there = p > 0
        return float((p[there] * np.log(p[there] / np.maximum(q[there], TINY))).sum())
