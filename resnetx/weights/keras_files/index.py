"""What the process that reads a file of Keras answers."""

from dataclasses import dataclass

from resnetx.model.config import Variant
from resnetx.weights.pickles.index import Index


@dataclass(frozen=True, kw_only=True)
class KerasIndex:
    """The tensors in the file that the process wrote, and what the configuration of the model says."""

    index: Index
    bn_eps: float | None = None
    variant: Variant | None = None
