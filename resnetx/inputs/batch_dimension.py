"""Which input has the batch dimension."""

from collections.abc import Sequence
from typing import TypeVar

Dimension = TypeVar("Dimension")


def batched_shape(shapes: Sequence[Sequence[Dimension]]) -> Sequence[Dimension]:
    """The shape whose first dimension is the batch: that of most dimensions, since a factor or a table beside images
    has fewer. It is empty if there is none."""
    return max(shapes, key=len, default=())
