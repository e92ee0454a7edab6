"""Inputs for timing: distinct ones of one shape."""

from collections.abc import Sequence

import numpy as np

from resnetx.errors import UsageError
from resnetx.graph.card import ModelCard
from resnetx.inputs.random_feeds import random_feeds
from resnetx.inputs.sampling import MAX_VALUES
from resnetx.inputs.synthetic import card_inputs, smooth_images
from resnetx.runtime.runner import TensorInfo

Feeds = dict[str, np.ndarray]

# Several inputs in rotation: a runner that returns its previous output is detected, and caches behave as in use.
DISTINCT_INPUTS = 4
# The images of a batch repeat after this many, to save memory.
POOL = 16


def timed_feeds(inputs: Sequence[TensorInfo], card: ModelCard | None, *, batch: int, seed: int = 0) -> list[Feeds]:
    """Distinct inputs of one shape: images if the card specifies the preprocessing, else random values."""
    if card is None or card.image_size is None or card.preprocessing is None:
        return [random_feeds(inputs, batch=batch, seed=seed + index) for index in range(DISTINCT_INPUTS)]
    if DISTINCT_INPUTS * batch * 3 * card.image_size**2 > MAX_VALUES:
        raise UsageError(
            f"A batch of {batch} images of {card.image_size}x{card.image_size} pixels would not fit into memory; "
            "choose a smaller --batch."
        )
    pool = max(min(batch, POOL), DISTINCT_INPUTS)
    images = card_inputs(card, smooth_images(pool, card.image_size, seed)).astype(inputs[0].dtype, copy=False)
    order = [[(first + index) % pool for index in range(batch)] for first in range(DISTINCT_INPUTS)]
    return [{inputs[0].name: np.ascontiguousarray(images[rows])} for rows in order]
