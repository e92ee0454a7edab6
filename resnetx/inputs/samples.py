"""The kinds of samples in a verification, as tensors of a network or as pixels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from resnetx.inputs.patterns import (
    Pattern,
    Shape,
    fading,
    noise,
    saturated,
    smooth,
    sparse,
    stripes,
    textured,
    to_pixels,
    zeros,
)

# Times the ordinary range: reaches limits that no ordinary input reaches, and stays finite in float32.
LOUD = 1000.0
# Hot elements reach so many times the ordinary range.
HOT = 8.0
# The ordinary range of a tensor whose preprocessing is unknown: images normalized as usual reach about 2.5.
ORDINARY = 2.0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of sample: a pattern in the ordinary range of the tensor, times `factor`.

    `centered`: the zero of the pattern is that of the tensor, which is not always the middle of its ordinary range.
    `loud`: also times the loudness. `natural`: what networks are used on. Pixels have no values beyond their range, so
    `pixels` is drawn instead there; `dark`: the zero of the pattern is black there, else it is mid-grey.
    """

    name: str
    pattern: Pattern
    pixels: Pattern | None = None
    natural: bool = False
    centered: bool = False
    loud: bool = False
    factor: float = 1.0
    dark: bool = False

    def tensor(
        self,
        shape: Shape,
        generator: np.random.Generator,
        *,
        loudness: float = LOUD,
        ordinary: Callable[[np.ndarray], np.ndarray] = lambda pattern: ORDINARY * pattern,
    ) -> np.ndarray:
        """Height, width and channels in float64; `ordinary` maps a pattern to the ordinary range of the tensor."""
        values = ordinary(self.pattern(shape, generator))
        if self.centered:
            values = values - ordinary(np.zeros(shape))
        return self.factor * (loudness if self.loud else 1.0) * values

    def image(self, shape: Shape, generator: np.random.Generator) -> np.ndarray:
        """8-bit pixels, of the same pattern where they can express it."""
        pattern = (self.pixels or self.pattern)(shape, generator)
        return to_pixels(2 * np.abs(pattern) - 1 if self.dark else pattern)


# The most telling ones come first, for who asks for few.
KINDS = (
    Kind(name="textured", pattern=textured, natural=True),
    Kind(name="loud", pattern=textured, pixels=saturated, centered=True, loud=True),
    Kind(name="zeros", pattern=zeros, centered=True, dark=True),
    Kind(name="smooth", pattern=smooth, natural=True),
    Kind(name="noise", pattern=noise),
    Kind(name="stripes", pattern=stripes),
    Kind(name="sparse", pattern=sparse, centered=True, factor=HOT, dark=True),
    Kind(name="quiet", pattern=fading, centered=True),
)


def kind_of(sample: int) -> Kind:
    """The kinds in turn; after the first turn without the zeros, which would be the same again."""
    if sample < len(KINDS):
        return KINDS[sample]
    others = [kind for kind in KINDS if kind.name != "zeros"]
    return others[(sample - len(KINDS)) % len(others)]


def generator_of(seed: int, *place: int) -> np.random.Generator:
    """The random numbers of one sample, which do not depend on how many there are."""
    return np.random.default_rng((seed, *place))
