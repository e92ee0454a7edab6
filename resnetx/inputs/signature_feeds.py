"""The inputs of a verification for any signature: samples of every kind where an input is a batch of tensors."""

from collections.abc import Mapping, Sequence

import numpy as np

from resnetx.inputs.batch_dimension import batched_names
from resnetx.inputs.patterns import Shape
from resnetx.inputs.random_feeds import FREE_SIZE, input_shapes, random_values
from resnetx.inputs.samples import LOUD, ORDINARY, Kind, generator_of
from resnetx.inputs.sampling import Sampling
from resnetx.runtime.runner import TensorInfo

# More channels than this in the last dimension are not the colours of an image.
MOST_COLOURS = 4


def signature_feeds(
    inputs: Sequence[TensorInfo],
    sampling: Sampling,
    *,
    loudness: float = LOUD,
    free_size: int = FREE_SIZE,
    sizes: Mapping[str, int] | None = None,
) -> list[dict[str, np.ndarray]]:
    """The inputs of each of the sampling's batches.

    An input whose first dimension is the batch has one value a sample, the same wherever the sample stands. Its floats
    and 8-bit integers are of the sample's kind; other integers are small random ones. An input without a batch
    dimension is random, and the same for batches of one size.
    """
    batches = sampling.batches()
    feeds: list[dict[str, np.ndarray]] = []
    drawn: dict[tuple[int, int, tuple[int, ...]], np.ndarray] = {}
    for batch in batches:
        shapes = input_shapes(inputs, batch=len(batch), free_size=free_size, sizes=sizes)
        feed, batched = {}, batched_names(inputs, len(batch))
        for number, info in enumerate(inputs):
            shape = shapes[info.name]
            if info.name not in batched:
                feed[info.name] = random_values(shape, info.dtype, generator_of(sampling.seed, number))
                continue
            for sample in set(batch):
                if (number, sample, shape[1:]) not in drawn:
                    generator = generator_of(sampling.seed, sample, number)
                    drawn[number, sample, shape[1:]] = _draw(
                        sampling.kind(sample), shape[1:], info, generator, loudness
                    )
            feed[info.name] = np.stack([drawn[number, sample, shape[1:]] for sample in batch])
        feeds.append(feed)
    return feeds


def feeds_like(
    example: Sequence[np.ndarray],
    inputs: Sequence[TensorInfo],
    sampling: Sampling,
    *,
    sizes: Mapping[str, int] | None = None,
) -> list[list[np.ndarray]]:
    """As `signature_feeds`, but floats have the example's magnitude, and wide integers are drawn from its elements."""
    generator = np.random.default_rng(sampling.seed)
    result = []
    for feed in signature_feeds(inputs, sampling, sizes=sizes):
        batch = []
        for own, info in zip(example, inputs, strict=True):
            values = feed[info.name]
            if own.dtype.kind == "f":
                spread = float(own.std()) or 1.0
                # Random numbers and normalized images are of the ordinary magnitude.
                usual = 0.1 < spread < 10 * ORDINARY
                batch.append(values if usual else (values * (spread / ORDINARY)).astype(info.dtype))
            elif own.dtype.itemsize > 1 and own.size:
                batch.append(generator.choice(own.reshape(-1), values.shape))
            else:
                batch.append(values)
        result.append(batch)
    return result


def _draw(
    kind: Kind, shape: tuple[int, ...], info: TensorInfo, generator: np.random.Generator, loudness: float
) -> np.ndarray:
    """One sample of an input."""
    image, axes = as_image(shape)
    if 0 in image:
        return np.zeros(shape, info.dtype)
    if info.dtype.kind == "f":
        values = kind.tensor(image, generator, loudness=loudness)
        limits = np.finfo(info.dtype)
        values = np.clip(values, limits.min, limits.max)
    elif info.dtype.kind in "iu" and info.dtype.itemsize == 1:
        # The zero of signed integers is the middle of their range.
        values = kind.image(image, generator).astype(np.int16) + np.iinfo(info.dtype).min
    else:
        return random_values(shape, info.dtype, generator)
    return values.transpose(axes).reshape(shape).astype(info.dtype)


def as_image(shape: tuple[int, ...]) -> tuple[Shape, tuple[int, int, int]]:
    """The height, width and channels of a sample, and the axes of the sample in those of the image."""
    if len(shape) == 3 and shape[-1] <= MOST_COLOURS < min(shape[:2]):
        return (shape[0], shape[1], shape[2]), (0, 1, 2)
    width = shape[-1] if shape else 1
    height = shape[-2] if len(shape) > 1 else 1
    return (height, width, int(np.prod(shape[:-2], dtype=np.int64))), (2, 0, 1)
