"""Faults in one class of many, one row, one element: small in any sum over the logits."""

from dataclasses import replace

import numpy as np

from tests.verification.faults.array_changes import Change, pair, permuted
from tests.verification.faults.base import Fault, fault
from tests.verification.faults.graph_edits import after, weights


def row(index: int, change: Change) -> Change:
    def edit(array: np.ndarray) -> np.ndarray:
        array[index] = change(array[index])
        return array

    return edit


THOUSAND: tuple[Fault, ...] = (
    *(
        fault(
            f"of 1000 classes, the bias of {index} off by {off:g}",
            "fc",
            weights(row(index, lambda b, off=off: b + off), "fc.bias"),
        )  # type: ignore[misc]
        # The largest error anywhere is 2.3e-7; over all 1000 logits the smallest of these is twice the noise.
        for index, off in ((3, 6e-6), (250, -6e-6), (998, 8e-6), (7, 2e-4), (500, -1e-4), (999, 1e-3), (0, 1e-2))
    ),
    fault("of 1000 classes, one row 0.1 % too large", "fc", weights(row(321, lambda w: w * 1.001), "fc.weight")),
    fault("of 1000 classes, one row negated", "fc", weights(row(11, lambda w: -w), "fc.weight")),
    fault("of 1000 classes, two swapped", "fc", weights(permuted(0, pair(281, 282)), "fc.weight", "fc.bias")),
    fault("of 1000 classes, the last without a bias", "fc", weights(row(999, lambda b: 0 * b), "fc.bias")),
    fault(
        "of 1000 classes, three in a circle",
        "fc",
        weights(lambda w: w[[*range(500), 501, 502, 500, *range(503, 1000)]], "fc.weight", "fc.bias"),
    ),
)
TWENTY: tuple[Fault, ...] = (
    fault("one class's bias off by 8e-6", "fc", weights(row(5, lambda b: b + 8e-6), "fc.bias")),
    fault("one class's bias off by 2e-4", "fc", weights(row(5, lambda b: b + 2e-4), "fc.bias")),
    fault("one class's row 0.02 % too large", "fc", weights(row(12, lambda w: w * 1.0002), "fc.weight")),
    fault(
        "one class off in the third sample only",
        "fc",
        after(
            "fc",
            "n = Shape<start=0, end=1>(x) s = Squeeze(n) all = Range(none, s, step) at = Equal(all, place)"
            " m = Cast<to=1>(at) column = Unsqueeze(m, axes) a = Mul(column, off) y = Add(x, a)",
            none=0,
            step=1,
            place=2,
            axes=np.array([1]),
            off=np.eye(20)[7:8] * 1e-3,
        ),
        needs="batch 3",
    ),
    fault(
        "the best class stands out by 0.001 more",
        "fc",
        after(
            "fc",
            "top = ReduceMax(x, axes) at = Equal(x, top) m = Cast<to=1>(at) a = Mul(m, off) y = Add(x, a)",
            axes=np.array([1]),
            off=1e-3,
        ),
    ),
)
ONE_OF_MANY = (*(replace(item, base="1000 classes") for item in THOUSAND), *TWENTY)
