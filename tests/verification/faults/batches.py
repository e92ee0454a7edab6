"""Faults that begin at a certain batch size, or at a certain place in the batch."""

from dataclasses import replace
from typing import Any

import numpy as np

from tests.verification.faults.base import Fault, fault
from tests.verification.faults.graph_edits import Edit, after, ahead
from tests.verification.faults.healthy import Needs

# `m` is 1 where the batch has at least so many samples, else 0.
FROM_SIZE = "count = Shape<start=0, end=1>(x) enough = Greater(count, below) m = Cast<to=1>(enough)"
BODIES = {
    "scaled by 1.001": "a = Mul(m, share) b = Add(a, one) y = Mul(x, b)",
    "stuck at the first sample's": "first = Gather<axis=0>(x, zero) y = Where(enough, first, x)",
    "leaking from the first sample": (
        "first = Gather<axis=0>(x, zero) d = Sub(first, x) a = Mul(m, share) b = Mul(d, a) y = Add(x, b)"
    ),
    "in the reverse order": ("turned = Slice(x, last, front, zero, minus_one) y = Where(enough, turned, x)"),
}
CONSTANTS: dict[str, Any] = {
    "share": 1e-3,
    "one": 1.0,
    "zero": np.array([0]),
    "last": np.array([-1]),
    "front": np.array([-(2**31)]),
    "minus_one": np.array([-1]),
}
# `at` is true at one place of the batch.
AT_PLACE = "count = Shape<start=0, end=1>(x) n = Squeeze(count) all = Range(none, n, step) flat = Equal(all, place)"


def from_size(layer: str, size: int, what: str) -> Edit:
    body = f"{FROM_SIZE} {BODIES[what]}"
    used = {name: value for name, value in CONSTANTS.items() if name in body}
    return after(layer, body, below=np.array([size - 1]), **used)


def at_place(layer: str, place: int, *, rank: int, factor: float = 1.01) -> Edit:
    """One sample of the batch is scaled, the one at `place`, counted from 0."""
    body = f"{AT_PLACE} at = Unsqueeze(flat, axes) a = Mul(x, factor) y = Where(at, a, x)"
    axes = np.arange(1, rank)
    return after(layer, body, none=0, step=1, place=place, axes=axes, factor=factor)


def _needs(size: int) -> Needs:
    needed: dict[int, Needs] = {4: "batch 4", 5: "batch 5", 8: "batch 8", 9: "batch 9", 16: "batch 16"}
    return needed[min(each for each in needed if each >= size)]


SIZES: tuple[Fault, ...] = tuple(
    fault(f"{layer} {what} from batch {size} on", layer, from_size(layer, size, what), needs=_needs(size))
    for layer, size, what in (
        ("fc", 4, "scaled by 1.001"),
        ("fc", 5, "stuck at the first sample's"),
        ("fc", 8, "leaking from the first sample"),
        ("fc", 9, "in the reverse order"),
        ("fc", 16, "scaled by 1.001"),
        ("layer1.0.relu", 4, "stuck at the first sample's"),
        ("layer1.0.relu", 8, "leaking from the first sample"),
        ("layer2.0.relu_1", 5, "leaking from the first sample"),
        ("layer2.0.relu_2", 9, "scaled by 1.001"),
        ("layer3.0.add", 8, "stuck at the first sample's"),
        ("layer3.1.relu", 4, "in the reverse order"),
        ("conv1", 5, "scaled by 1.001"),
        ("avgpool", 16, "leaking from the first sample"),
    )
)
PLACES: tuple[Fault, ...] = (
    *(
        fault(
            f"{layer} wrong at place {place + 1} of the batch",
            layer,
            at_place(layer, place, rank=rank),
            needs=_needs(place + 1),
        )
        for layer, place, rank in (
            ("fc", 13, 2),
            ("fc", 3, 2),
            ("fc", 6, 2),
            ("layer2.0.relu", 4, 4),
            ("layer3.1.conv2", 8, 4),
            ("relu", 15, 4),
        )
    ),
    fault(
        "results in rounds of eight: the ninth sample gets the first's",
        "fc",
        after(
            "fc",
            "count = Shape<start=0, end=1>(x) n = Squeeze(count) all = Range(none, n, step)"
            " place = Mod(all, eight) y = Gather<axis=0>(x, place)",
            none=0,
            step=1,
            eight=8,
        ),
        needs="batch 9",
    ),
)
# What is wrong with ordinary images only: neither loud ones nor a single bright pixel show it.
ORDINARY = """
    mean = ReduceMean<keepdims=1>(x)
    size = Abs(mean)
    quiet = Less(size, edge)
    wrong = Mul(x, factor)
    y = Where(quiet, wrong, x)
"""


def for_ordinary_images(factor: float) -> Edit:
    """In the input, decided by its mean: black with one bright pixel has -2, white 2.4, 16 times too loud is beyond."""
    return ahead("conv1", ORDINARY, edge=1.5, factor=factor)


FIXED: tuple[Fault, ...] = (
    *(
        replace(item, base="batches of 1")
        for item in (
            fault("batch 1: ordinary images scaled by 1.01", "conv1", for_ordinary_images(1.01)),
            fault("batch 1: ordinary images negated", "conv1", for_ordinary_images(-1.0)),
            fault("batch 1: ordinary images dropped", "conv1", for_ordinary_images(0.0)),
        )
    ),
    *(
        replace(item, base="batches of 4")
        for item in (
            fault("batch 4: ordinary images scaled by 1.01", "conv1", for_ordinary_images(1.01)),
            fault("batch 4: the fourth sample scaled", "fc", at_place("fc", 3, rank=2)),
            fault(
                "batch 4: the third sample scaled in layer2.0", "layer2.0.relu", at_place("layer2.0.relu", 2, rank=4)
            ),
            fault("batch 4: the first sample leaks", "fc", from_size("fc", 4, "leaking from the first sample")),
        )
    ),
)
BATCH_SIZES = (*SIZES, *PLACES, *FIXED)
