"""The inputs of a verification: batches of samples, and one sample of extreme magnitude."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnetx.graph.card import ModelCard
from resnetx.inputs.synthetic import card_inputs, probing_images, smooth_images

# Large enough to leave the usual range of a network, small enough not to overflow float32 in it.
LARGE = 16.0


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The sizes of batches, the number of distinct samples, the user's images, and the seed."""

    sizes: tuple[int, ...]
    samples: int | None = None
    images: np.ndarray | None = None
    seed: int = 0

    def batches(self) -> list[list[int]]:
        """The samples of each batch: every sample is used, and the last size is used twice with different samples."""
        count = self.count
        batches, first = [], 0
        sizes = list(self.sizes)
        while sizes or first < count:
            size = sizes.pop(0) if sizes else self.sizes[-1]
            batches.append([(first + index) % count for index in range(size)])
            first += size
        return [*batches, [(sample + 1) % count for sample in batches[-1]]]

    @property
    def count(self) -> int:
        if self.images is not None:
            return len(self.images)
        return max(self.samples or sum(self.sizes), 2)


def network_inputs(card: ModelCard, sampling: Sampling, *, precisions: Sequence[str]) -> np.ndarray:
    """All samples in the file's input form: the user's images, or test images and, in float32, an extreme one."""
    assert card.image_size is not None
    images = sampling.images
    if images is None and "int8" in precisions:
        # Extremes are outside of any calibration data, so INT8 clips them correctly.
        images = smooth_images(sampling.count, card.image_size, sampling.seed)
    elif images is None:
        images = probing_images(sampling.count, card.image_size, sampling.seed)
    inputs = card_inputs(card, images)
    if card.input != "uint8" and sampling.images is None and set(precisions) <= {"fp32"}:
        inputs[0] *= LARGE
    return inputs
