"""The samples of a verification in batches, and the reference's outputs for them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from resnetx.graph.card import ModelCard
from resnetx.inputs.samples import LOUD
from resnetx.inputs.sampling import Sampling, network_inputs
from resnetx.inputs.signature_feeds import signature_feeds
from resnetx.runtime.runner import TensorInfo
from resnetx.verification.reference_outputs import Feeds, Outputs, References, Samples

# Half precision ends at 65,504.
LARGEST_HALF = 2.0e4
# The loudness in half precision where the largest inner number is unknown.
QUIETER = 8.0


def card_feeds(
    card: ModelCard,
    sampling: Sampling,
    precisions: Sequence[str],
    network: Any = None,
    *,
    dtype: np.dtype[Any] | None = None,
) -> Feeds:
    """Samples in batches, only as loud as half precision can hold.

    `dtype` is that of the file's input, which may have been converted to half precision.
    """
    images = network_inputs(card, sampling)
    if not sampling.natural and "fp16" in precisions and images.dtype.kind == "f":
        largest = LARGEST_HALF * LOUD / QUIETER if network is None else network.largest([images])
        if largest > LARGEST_HALF:
            images = network_inputs(card, sampling, loudness=max(1.0, LOUD * LARGEST_HALF / largest))
    if dtype is not None and dtype.kind == "f":
        images = images.astype(dtype)
    return [[images[batch]] for batch in sampling.batches()]


def foreign_feeds(
    inputs: Sequence[TensorInfo],
    sampling: Sampling,
    precisions: Sequence[str],
    *,
    sizes: Mapping[str, int] | None = None,
) -> Feeds:
    half = "fp16" in precisions or any(info.dtype == np.float16 for info in inputs)
    feeds = signature_feeds(inputs, sampling, loudness=QUIETER if half else LOUD, sizes=sizes)
    return [[feed[info.name] for info in inputs] for feed in feeds]


def grouped(
    feeds: Feeds,
    sampling: Sampling,
    exact: Callable[[Sequence[np.ndarray]], Outputs] | None,
    run: Callable[[Feeds], References],
    *,
    any_size: bool = True,
) -> Samples:
    """The batches, and the references' outputs for them.

    If the reference takes batches of any size, and an output for a sample does not depend on the others in its batch,
    each sample is computed only once; `exact` computes one batch, to find out, and is None where that is known.
    """
    batches = [tuple(batch) for batch in sampling.batches()]
    pool = _pool(feeds, batches) if any_size else None
    if pool is not None:
        count = len(pool[0])
        samples = Samples(groups=[pool], outputs=run([pool]), arrangement=tuple((0, batch) for batch in batches))
        if all(output.ndim and len(output) == count for output in samples.outputs.truth[0]):
            # One with neighbours, and the smallest, from which what others would pass on is missing.
            telling = {min(range(len(batches)), key=lambda number: abs(len(batches[number]) - size)) for size in (1, 3)}
            if exact is None or all(
                all(map(_same, exact(samples.feeds[index]), samples.references.truth[index])) for index in telling
            ):
                return samples
    arrangement = tuple((index, tuple(range(len(batch)))) for index, batch in enumerate(batches))
    whole = frozenset(range(len(feeds)))
    return Samples(groups=feeds, outputs=run(feeds), arrangement=arrangement, whole=whole)


def _pool(feeds: Feeds, batches: Sequence[tuple[int, ...]]) -> list[np.ndarray] | None:
    """Each sample once; None if an input is not a batch of samples."""
    first = {sample: (index, place) for index, batch in enumerate(batches) for place, sample in enumerate(batch)}
    if any(array.shape[:1] != (len(batch),) for feed, batch in zip(feeds, batches, strict=True) for array in feed):
        return None
    pool = [
        np.stack([feeds[first[sample][0]][number][first[sample][1]] for sample in range(len(first))])
        for number in range(len(feeds[0]))
    ]
    for feed, batch in zip(feeds, batches, strict=True):
        pairs = zip(feed, pool, strict=True)
        if not all(np.array_equal(array, each[list(batch)], equal_nan=True) for array, each in pairs):
            return None
    return pool


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and np.allclose(first, second, rtol=1e-9, atol=1e-9, equal_nan=True)


def probe_batches(samples: Samples, sampling: Sampling) -> Feeds:
    """Each sample once, in batches of the only size that the file may take; else the largest batch."""
    pool, size = samples.groups[0], sampling.sizes[0]
    if len(samples.groups) > 1:
        sizes = [len(batch) for _, batch in samples.arrangement]
        return samples.groups if len(set(sizes)) == 1 else [samples.groups[sizes.index(max(sizes))]]
    count = len(pool[0])
    if len(set(sampling.sizes)) > 1:
        return [pool]
    return [[each[[(first + at) % count for at in range(size)]] for each in pool] for first in range(0, count, size)]
