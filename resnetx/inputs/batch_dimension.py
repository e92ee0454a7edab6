"""Which inputs have the batch dimension."""

from collections.abc import Sequence
from typing import TypeVar

from resnetx.runtime.runner import TensorInfo

Dimension = TypeVar("Dimension")


def batched_shape(shapes: Sequence[Sequence[Dimension]]) -> Sequence[Dimension]:
    """The shape whose first dimension is the batch: that of most dimensions, since a factor or a table beside images
    has fewer. It is empty if there is none."""
    return max(shapes, key=len, default=())


def batched_names(inputs: Sequence[TensorInfo], size: int | None = None) -> tuple[str, ...]:
    """The inputs with one row for each sample: their first dimension is free or, if no input has a free one, `size`."""
    firsts = {info.name: info.shape[0] for info in inputs if info.shape}
    free = tuple(name for name, first in firsts.items() if isinstance(first, str))
    return free or tuple(name for name, first in firsts.items() if first == size)
