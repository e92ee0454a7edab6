"""The outputs of a reference: plain arrays, which machines without torch can read and use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np

from resnetx.base.precisions import SUBSTITUTES
from resnetx.verification.sketch import NamedSketch

# The outputs in float64 with each parameter off by up to a rounding of float32.
PERTURBED = "perturbed"
Feeds = list[list[np.ndarray]]
Outputs = list[np.ndarray]
# The outputs and the inner tensors of one batch.
Trace = tuple[Outputs, tuple[NamedSketch, ...]]


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

    `sway` computes how far the elements of a batch's outputs move if parameters and inputs are off by a few roundings.
    """

    truth: list[Outputs]
    noisy: dict[str, list[Outputs]]
    sway: Callable[[int], Outputs] | None = None

    def noise(self, precision: str) -> list[Outputs] | None:
        """Outputs in `precision` or its substitute, if the reference has them."""
        return self.noisy.get(SUBSTITUTES.get(precision, precision))


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Inputs in groups, the reference's outputs for each group, and the batches, which are composed of their samples.

    Within a group, an output for a sample depends on nothing but that sample. `arrangement` names the group of each
    batch and its samples.
    """

    groups: Feeds
    outputs: References
    arrangement: tuple[tuple[int, tuple[int, ...]], ...]

    @cached_property
    def feeds(self) -> Feeds:
        return [[each[list(samples)] for each in self.groups[group]] for group, samples in self.arrangement]

    @cached_property
    def references(self) -> References:
        whole = None if self.outputs.sway is None else cache(self.outputs.sway)

        def pick(results: list[Outputs]) -> list[Outputs]:
            return [self._pick(results[group], group, samples) for group, samples in self.arrangement]

        def sway(index: int) -> Outputs:
            assert whole is not None
            group, samples = self.arrangement[index]
            return self._pick(whole(group), group, samples)

        return References(
            truth=pick(self.outputs.truth),
            noisy={name: pick(runs) for name, runs in self.outputs.noisy.items()},
            sway=None if whole is None else sway,
        )

    def _pick(self, outputs: Outputs, group: int, samples: tuple[int, ...]) -> Outputs:
        """A batch that is the whole group is taken as it is: its outputs need not have a batch dimension."""
        if samples == tuple(range(len(self.groups[group][0]))):
            return outputs
        return [output[list(samples)] for output in outputs]

    def only(self, batches: Sequence[int]) -> "Samples":
        """Some of the batches."""
        return replace(self, arrangement=tuple(self.arrangement[index] for index in batches))
