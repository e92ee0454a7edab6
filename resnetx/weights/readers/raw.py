"""What a reader returns: the tensors of one file under the file's own names, in PyTorch's layout."""

from dataclasses import dataclass

from torch import Tensor

from resnetx.model.config import Variant


@dataclass(frozen=True, kw_only=True)
class RawCheckpoint:
    """`bn_eps` and `variant` are set if the file specifies them (a Keras configuration does)."""

    tensors: dict[str, Tensor]
    assumed: tuple[str, ...] = ()
    bn_eps: float | None = None
    variant: Variant | None = None
