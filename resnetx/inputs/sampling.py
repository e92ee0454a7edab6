"""The inputs of a verification: batches of samples, and one sample of extreme magnitude."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnetx.base.text import readable
from resnetx.errors import UsageError
from resnetx.graph.card import ModelCard
from resnetx.inputs.synthetic import card_inputs, probing_images, smooth_images

# Large enough to leave the usual range of a network, small enough not to overflow float32 in it.
LARGE = 16.0
MAX_BATCH = 65_536
MAX_SAMPLES = 1_000_000
# Of all inputs together: they are kept in memory, with the reference's outputs for them.
MAX_VALUES = 2**28


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The sizes of batches, the number of distinct samples, the user's images, and the seed."""

    sizes: tuple[int, ...]
    samples: int | None = None
    images: np.ndarray | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sizes or not all(1 <= size <= MAX_BATCH for size in self.sizes):
            found = readable(",".join(map(str, self.sizes))) or "none"
            raise UsageError(f"Batches of {found} cannot be run: every size must be 1 to {MAX_BATCH}.")
        if self.samples is not None and not 1 <= self.samples <= MAX_SAMPLES:
            raise UsageError(f"{self.samples} samples cannot be run: choose 1 to {MAX_SAMPLES}.")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"The seed {readable(str(self.seed))} is not valid: choose 0 to {2**63 - 1}.")

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
    if images is None and sampling.count * 3 * card.image_size**2 > MAX_VALUES:
        raise UsageError(
            f"{sampling.count} samples of {card.image_size}x{card.image_size} pixels would not fit into memory; "
            "choose smaller batches or fewer samples."
        )
    if images is None and "int8" in precisions:
        # Extremes are outside of any calibration data, so INT8 clips them correctly.
        images = smooth_images(sampling.count, card.image_size, sampling.seed)
    elif images is None:
        images = probing_images(sampling.count, card.image_size, sampling.seed)
    inputs = card_inputs(card, images)
    if card.input != "uint8" and sampling.images is None and set(precisions) <= {"fp32"}:
        inputs[0] *= LARGE
    return inputs
