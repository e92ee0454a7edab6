"""The inputs of a verification: distinct samples of every kind, in batches."""

from dataclasses import dataclass

import numpy as np

from resnetx.base.text import readable
from resnetx.errors import UsageError
from resnetx.graph.card import ModelCard
from resnetx.inputs.arrangement import arrange
from resnetx.inputs.samples import KINDS, LOUD, Kind, generator_of, kind_of
from resnetx.inputs.synthetic import card_inputs, channels_first, normalized

# Batch sizes of a dynamic batch. One of 1 to 3 detects a batch dimension that was fixed or dropped; 8 and 17 detect
# what only larger batches do, on both sides of the widths of vectors.
DYNAMIC_SIZES = (1, 2, 3, 8, 17)
# A batch may have so many pixels, 39 images of 224 x 224: a ResNet-50 in float64 needs almost 1 kB for each (measured).
MOST_PIXELS = 2_000_000
# Samples of natural kinds only: twice as many, because the best classes are counted.
NATURAL_COUNT = 16
NATURAL = tuple(kind for kind in KINDS if kind.natural)
MAX_BATCH = 65_536
MAX_SAMPLES = 1_000_000
# Of all inputs together: they are kept in memory, with the reference's outputs for them.
MAX_VALUES = 2**28


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The sizes of batches, the number of distinct samples, the user's images, and the seed.

    `natural`: only kinds of samples that look like photographs.
    """

    sizes: tuple[int, ...]
    samples: int | None = None
    images: np.ndarray | None = None
    seed: int = 0
    natural: bool = False

    def __post_init__(self) -> None:
        if not self.sizes or not all(1 <= size <= MAX_BATCH for size in self.sizes):
            found = readable(",".join(map(str, self.sizes))) or "none"
            raise UsageError(f"Batches of {found} cannot be run: every size must be 1 to {MAX_BATCH}.")
        if self.samples is not None and not 1 <= self.samples <= MAX_SAMPLES:
            raise UsageError(f"{self.samples} samples cannot be run: choose 1 to {MAX_SAMPLES}.")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"The seed {readable(str(self.seed))} is not valid: choose 0 to {2**63 - 1}.")

    def batches(self) -> list[list[int]]:
        """The samples of each batch: every sample is used, and the last size is run at least twice."""
        return self.batches_of(self.count)

    def batches_of(self, count: int) -> list[list[int]]:
        """The same for so many samples, if others were added to those of the sampling."""
        return arrange(self.sizes, count, seed=self.seed)

    @property
    def count(self) -> int:
        """The number of distinct samples: by default one of each kind."""
        if self.images is not None:
            return len(self.images)
        return max(self.samples or (NATURAL_COUNT if self.natural else len(KINDS)), 2)

    def kind(self, sample: int) -> Kind:
        return NATURAL[sample % len(NATURAL)] if self.natural else kind_of(sample)


def batch_sizes(fixed: int | None, *, pixels: int) -> tuple[int, ...]:
    """The default sizes for samples of so many pixels: those that fit in memory, but always 1 and 2."""
    if fixed is not None:
        return (fixed,)
    most = max(2, samples_at_once(pixels))
    return tuple(sorted({min(size, most) for size in DYNAMIC_SIZES}))


def samples_at_once(pixels: int) -> int:
    """How many samples of so many pixels may be run together, so that they fit in memory."""
    return max(1, MOST_PIXELS // max(1, pixels))


def network_inputs(card: ModelCard, sampling: Sampling, *, loudness: float = LOUD) -> np.ndarray:
    """All samples in the file's input form: the user's images, or a sample of each kind in turn.

    Loud samples have `loudness` times the range of ordinary ones. Raw pixels cannot be loud; theirs are saturated.
    """
    assert card.image_size is not None and card.preprocessing is not None
    if sampling.images is not None:
        return card_inputs(card, sampling.images)
    if sampling.count * 3 * card.image_size**2 > MAX_VALUES:
        raise UsageError(
            f"{sampling.count} samples of {card.image_size}x{card.image_size} pixels would not fit into memory; "
            "choose smaller batches or fewer samples."
        )
    shape, preprocessing = (card.image_size, card.image_size, 3), card.preprocessing
    drawn = [(sampling.kind(sample), generator_of(sampling.seed, sample)) for sample in range(sampling.count)]
    if card.input == "uint8":
        return np.stack([kind.image(shape, generator) for kind, generator in drawn])

    def ordinary(pattern: np.ndarray) -> np.ndarray:
        return normalized(127.5 + 127.5 * pattern, preprocessing)

    samples = [kind.tensor(shape, generator, loudness=loudness, ordinary=ordinary) for kind, generator in drawn]
    return channels_first(np.stack(samples))


def natural_images(count: int, size: int, seed: int) -> np.ndarray:
    """Pixels of images that look like photographs, of each such kind in turn."""
    shape = (size, size, 3)
    return np.stack([NATURAL[index % len(NATURAL)].image(shape, generator_of(seed, index)) for index in range(count)])


def natural_samples(sampling: Sampling) -> tuple[int, ...]:
    """The samples that look like photographs; the user's images all do."""
    samples = range(sampling.count)
    return tuple(sample for sample in samples if sampling.images is not None or sampling.kind(sample).natural)
