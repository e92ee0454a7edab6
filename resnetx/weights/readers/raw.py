"""What a reader returns: the tensors of one file under the file's own names, in PyTorch's layout."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from resnetx.model.config import Variant

# ResNet-152 in float64 takes 0.5 GB; no supported network needs more than this.
MAX_BYTES = 2 * 2**30
MAX_ENTRIES = 20_000


@dataclass(frozen=True, kw_only=True)
class RawCheckpoint:
    """`bn_eps` and `variant` are set if the file specifies them (a Keras configuration does)."""

    tensors: dict[str, Tensor]
    assumed: tuple[str, ...] = ()
    bn_eps: float | None = None
    variant: Variant | None = None


def clip(text: object, limit: int = 80) -> str:
    """A name from a file, short enough for a message."""
    shown = str(text)
    return shown if len(shown) <= limit else f"{shown[:limit]}..."


def listed(names: Iterable[str], limit: int = 4) -> str:
    """The first few of the names and how many more there are."""
    known = list(names)
    more = f" and {len(known) - limit} more" if len(known) > limit else ""
    return ", ".join(clip(name) for name in known[:limit]) + more
