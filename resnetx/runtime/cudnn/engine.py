"""cuDNN through PyTorch as an engine of the catalog: opens models on the GPU, and tests it."""

from pathlib import Path

from resnetx.machine.gpus import has_nvidia_hardware
from resnetx.runtime.convolution_probe import problem_with
from resnetx.runtime.cudnn.provider import CudnnProvider
from resnetx.runtime.fixes import NO_GPU
from resnetx.runtime.runner import Engine, Opening, Runner, Source


class Cudnn(Engine):
    """cuDNN's kernels, as PyTorch calls them."""

    def __init__(self, provider: CudnnProvider) -> None:
        self._provider = provider

    def why_not(self) -> str | None:
        if has_nvidia_hardware() is False:  # `auto` asks on every machine, and PyTorch takes seconds to load
            return NO_GPU
        return problem_with(self)

    def default_precision(self) -> str:
        """What is allowed: which kernels use TF32 depends on the shapes."""
        return "tf32"

    def open(self, source: Source, opening: Opening) -> Runner:
        from resnetx.runtime.cudnn.session import open_session

        assert isinstance(source, Path | bytes)
        return open_session(self._provider, source, opening)
