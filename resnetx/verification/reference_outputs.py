"""The outputs of a reference: plain arrays, which machines without torch can read and use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from resnetx.base.precisions import SUBSTITUTES
from resnetx.verification.sketch import NamedSketch

# The outputs in float64 with each parameter off by up to a rounding of float32.
PERTURBED = "perturbed"
# The inner tensors of so many samples are compared with a runtime's, and with the network's where that is proved.
SAMPLES = 3
Feeds = list[list[np.ndarray]]
Outputs = list[np.ndarray]
# The outputs and the inner tensors of one batch.
Trace = tuple[Outputs, tuple[NamedSketch, ...]]


def are_batches(feeds: Sequence[np.ndarray]) -> bool:
    """Whether every input has a batch dimension, and the same size of it."""
    return len({each.shape[:1] for each in feeds}) == 1 and feeds[0].ndim > 0


def first_feeds(feeds: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """The first samples of one batch; None if it has no more, or an input is not a batch."""
    if not are_batches(feeds) or len(feeds[0]) <= SAMPLES:
        return None
    return [each[:SAMPLES] for each in feeds]


def first_samples(trace: Trace, *, of: int) -> Trace | None:
    """The trace of the first samples, or None if a tensor is not of one of `of` samples each."""
    outputs, tensors = trace
    independent = all(output.ndim and len(output) == of for output in outputs)
    if not independent or any(each.sketch.shape[0] != of for each in tensors):
        return None
    cut = tuple(replace(each, sketch=each.sketch.first(SAMPLES)) for each in tensors)
    return [output[:SAMPLES] for output in outputs], cut


class Traces:
    """Traces that were computed already: each run of a network in float64 takes seconds."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[Sequence[np.ndarray], Trace]] = {}

    def get(self, feeds: Sequence[np.ndarray], how: object, compute: Callable[[], Trace]) -> Trace:
        """The trace of these very arrays, which are kept so that no other array takes their place in memory."""
        key = (how, *map(id, feeds))
        if key not in self._known:
            self._known[key] = (feeds, compute())
        return self._known[key][1]


@dataclass(frozen=True, kw_only=True)
class References:
    """Outputs in the module's order, for each batch; `noisy` by precision.

    What takes long and is rarely needed is computed when asked for, by batch: `perturbed` are the outputs with
    parameters that are a rounding off, `sway` says how far elements move if parameters and inputs are off by a few.
    """

    truth: list[Outputs]
    noisy: dict[str, list[Outputs]]
    perturbed: Callable[[int], Outputs] | None = None
    sway: Callable[[int], Outputs] | None = None

    def complete(self) -> "References":
        """With the perturbed outputs among the noisy ones."""
        if self.perturbed is None:
            return self
        perturbed = [self.perturbed(index) for index in range(len(self.truth))]
        return replace(self, noisy=self.noisy | {PERTURBED: perturbed}, perturbed=None)

    def noise(self, precision: str) -> list[Outputs] | None:
        """Outputs in `precision` or its substitute, if the reference has them."""
        return self.noisy.get(SUBSTITUTES.get(precision, precision))


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Inputs in groups, the reference's outputs for each group, and the batches, which are composed of their samples.

    Within a group, an output for a sample depends on nothing but that sample. `arrangement` names the group of each
    batch and its samples. A group in `whole` is one batch, whose inputs need not have a batch dimension.
    """

    groups: Feeds
    outputs: References
    arrangement: tuple[tuple[int, tuple[int, ...]], ...]
    whole: frozenset[int] = frozenset()

    @cached_property
    def feeds(self) -> Feeds:
        return [
            self.groups[group] if group in self.whole else [each[list(samples)] for each in self.groups[group]]
            for group, samples in self.arrangement
        ]

    @cached_property
    def references(self) -> References:
        def pick(results: list[Outputs]) -> list[Outputs]:
            return [self._pick(results[group], group, samples) for group, samples in self.arrangement]

        def later(compute: Callable[[int], Outputs] | None) -> Callable[[int], Outputs] | None:
            if compute is None:
                return None
            by_group = cache(compute)

            def of_batch(index: int) -> Outputs:
                group, samples = self.arrangement[index]
                return self._pick(by_group(group), group, samples)

            return of_batch

        return References(
            truth=pick(self.outputs.truth),
            noisy={name: pick(runs) for name, runs in self.outputs.noisy.items()},
            perturbed=later(self.outputs.perturbed),
            sway=later(self.outputs.sway),
        )

    def _pick(self, outputs: Outputs, group: int, samples: tuple[int, ...]) -> Outputs:
        """A batch that is the whole group is taken as it is: its outputs need not have a batch dimension."""
        if group in self.whole or samples == tuple(range(len(self.groups[group][0]))):
            return outputs
        return [output[list(samples)] for output in outputs]

    def only(self, batches: Sequence[int]) -> "Samples":
        """Some of the batches."""
        return replace(self, arrangement=tuple(self.arrangement[index] for index in batches))
