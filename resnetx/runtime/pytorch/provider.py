"""PyTorch as a row of the catalog, eager or compiled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from resnetx.runtime.runner import Provider


@dataclass(frozen=True, kw_only=True)
class TorchProvider(Provider):
    """`compiled`: uses torch.compile."""

    engine: ClassVar = "pytorch"

    needs_card: bool = True
    package: str | None = "torch"
    compiled: bool = False

    def on_gpu(self, options: Mapping[str, str]) -> bool:
        return options.get("device") == "cuda"
