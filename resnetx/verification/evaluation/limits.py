"""What the evaluator refuses: operators it does not know, and tensors and loops that are too large."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from resnetx.verification.evaluation.unsupported import UnsupportedGraph

# Of one tensor. A batch of 17 images of 224x224 needs 110 MB for the largest one of a ResNet.
MAX_BYTES = 2**31
# Of all loops of one run together.
MAX_ITERATIONS = 10_000
# Of a graph whose functions are inlined, and of functions inside functions.
MAX_NODES = 200_000
MAX_DEPTH = 32


def broadcast_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    return tuple(np.broadcast_shapes(*map(tuple, shapes)))


def refuse_large(shape: Sequence[int], bytes_each: int = 8) -> None:
    """Called with the shape of a tensor before it is made."""
    if math.prod(shape) * bytes_each > MAX_BYTES:
        raise UnsupportedGraph(f"a tensor of shape {list(shape)} takes more than {MAX_BYTES:,} bytes")


def must_fit(x: torch.Tensor, *others: torch.Tensor | None) -> None:
    """What is added to a tensor, or scales it, must not make it larger."""
    for other in others:
        if other is not None and broadcast_shape(x.shape, other.shape) != tuple(x.shape):
            raise ValueError(f"parameters of shape {list(other.shape)} for an input of shape {list(x.shape)}")
