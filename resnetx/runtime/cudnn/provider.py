"""cuDNN through PyTorch as a row of the catalog."""

from dataclasses import dataclass
from typing import ClassVar

from resnetx.runtime.runner import Provider


@dataclass(frozen=True, kw_only=True)
class CudnnProvider(Provider):
    """Runs the files of convolutional networks, without ONNX Runtime."""

    engine: ClassVar = "cudnn"

    gpu: bool = True
    package: str | None = "torch"
