"""Faults where no probing image comes: filters that never fire, branches that end in zeros."""

from dataclasses import replace
from itertools import product

import numpy as np

from tests.verification.faults.array_changes import Change
from tests.verification.faults.base import Fault, fault
from tests.verification.faults.graph_edits import weights
from tests.verification.faults.healthy import DEAD

LAYERS = ("conv1", "layer1.0.conv1", "layer1.1.conv2", "layer2.0.conv2", "layer3.0.conv1", "layer3.1.conv2")


def in_filter(row: int, change: Change) -> Change:
    """Change one weight of middling magnitude in one filter, or that filter's bias."""

    def edit(array: np.ndarray) -> np.ndarray:
        filters = array[row].reshape(-1)
        place = int(np.argsort(np.abs(filters), kind="stable")[filters.size // 2])
        filters[place] = change(filters[place])
        array[row] = filters.reshape(array[row].shape)
        return array

    return edit


CHANGES: dict[str, Change] = {
    "1.01 times too large": lambda w: w * 1.01,
    "1.1 times too large": lambda w: w * 1.1,
    "100 times too large": lambda w: w * 100,
    "of the other sign": lambda w: -w,
    "zeroed": lambda w: 0 * w,
}
DEAD_FILTERS: tuple[Fault, ...] = tuple(
    fault(
        f"one weight {words} in a dead filter of {layer}",
        layer,
        weights(in_filter(DEAD[number % len(DEAD)], change), layer),
        base="dead filters",
        needs="structure",
    )
    for number, (layer, (words, change)) in enumerate(product(LAYERS, CHANGES.items()))
)
DEAD_BIASES: tuple[Fault, ...] = tuple(
    fault(
        f"the bias of a dead filter of {layer} off by 1 %",
        layer,
        weights(in_filter(DEAD[0], lambda b: b * 1.01), f"{layer}.bias"),
        base="dead filters",
        needs="structure",
    )
    for layer in LAYERS
)
DEAD_BRANCHES = tuple(
    replace(item, base="zero residuals", needs="structure")
    for item in (
        fault(
            "one weight of the other sign before a zero residual",
            "layer1.1.conv1",
            weights(in_filter(3, lambda w: -w), "layer1.1.conv1"),
        ),
        fault("kernel turned round before a zero residual", "layer3.1.conv2", weights(np.flip, "layer3.1.conv2")),
        fault(
            "bias dropped before a zero residual",
            "layer3.1.conv1",
            weights(lambda b: 0 * b, "layer3.1.conv1.bias"),
        ),
        fault(
            "two filters swapped before a zero residual",
            "layer1.1.conv2",
            weights(lambda w: w[[1, 0, *range(2, len(w))]], "layer1.1.conv2.weight", "layer1.1.conv2.bias"),
        ),
    )
)
DEAD_PATHS = (*DEAD_FILTERS, *DEAD_BIASES, *DEAD_BRANCHES)
