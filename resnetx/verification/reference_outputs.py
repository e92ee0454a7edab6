"""The outputs of a reference: plain arrays, which machines without torch can read and use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resnetx.base.precisions import SUBSTITUTES


@dataclass(frozen=True, kw_only=True)
class References:
    """Outputs in the module's order, for each batch; `noisy` by precision."""

    truth: list[list[np.ndarray]]
    noisy: dict[str, list[list[np.ndarray]]]

    def noise(self, precision: str) -> list[list[np.ndarray]] | None:
        """Outputs in `precision` or its substitute, if the reference has them."""
        return self.noisy.get(SUBSTITUTES.get(precision, precision))

    def rearranged(self, batches: Sequence[Sequence[int]]) -> "References":
        """The references of batches that are composed of the samples of the one batch that was run."""

        def pick(results: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
            return [[output[list(batch)] for output in results[0]] for batch in batches]

        return References(truth=pick(self.truth), noisy={name: pick(runs) for name, runs in self.noisy.items()})

    def followed_by(self, other: "References") -> "References":
        """These batches and then those of `other`, in the precisions that both have."""
        shared = self.noisy.keys() & other.noisy.keys()
        noisy = {name: self.noisy[name] + other.noisy[name] for name in sorted(shared)}
        return References(truth=self.truth + other.truth, noisy=noisy)

    def only(self, batches: Sequence[int]) -> "References":
        noisy = {name: [runs[index] for index in batches] for name, runs in self.noisy.items()}
        return References(truth=[self.truth[index] for index in batches], noisy=noisy)


@dataclass(frozen=True, kw_only=True)
class LayerAnswers:
    """Inner tensors by layer name, separately for each call of a layer.

    `folded` names the BatchNorm that normalizes a convolution's output: exporters fold it into the convolution.
    """

    truth: Mapping[str, Sequence[np.ndarray]]
    noisy: Mapping[str, Sequence[np.ndarray]]
    folded: Mapping[str, str]
