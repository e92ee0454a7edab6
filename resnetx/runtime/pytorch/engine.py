"""PyTorch as an engine of the catalog."""

from contextlib import closing

import numpy as np
import torch

from resnetx.errors import ResnetxError, RuntimeUnavailableError
from resnetx.runtime.pytorch.profile import open_profiled
from resnetx.runtime.pytorch.provider import TorchProvider
from resnetx.runtime.pytorch.runner import open_torch
from resnetx.runtime.runner import Engine, Opening, Runner, Source, TensorInfo

# An identity convolution returns these values unchanged only if it computes in true float32.
FEED = np.full((1, 16, 8, 8), 1 + 2**-23, np.float32)


class PyTorch(Engine):
    """PyTorch, eager or compiled."""

    def __init__(self, provider: TorchProvider) -> None:
        self._provider = provider

    def why_not(self) -> str | None:
        try:
            answer = self._convolved()
        except RuntimeUnavailableError as error:
            return error.problem
        except ResnetxError as error:
            return str(error)
        if not np.allclose(answer, FEED, rtol=1e-2):
            return "a convolution that should return its input returns something else"
        return None

    def default_precision(self) -> str:
        return "fp32" if np.array_equal(self._convolved(), FEED) else "less than fp32"

    def open(self, source: Source, opening: Opening) -> Runner:
        """`source` builds the module, whose inputs and outputs are named as in the exported file."""
        assert callable(source)
        if opening.profile:
            return open_profiled(source, self._provider, opening)
        return open_torch(source, self._provider, opening)

    def _convolved(self) -> np.ndarray:
        info = (TensorInfo("x", FEED.dtype, FEED.shape),)
        with closing(self.open(_identity, Opening(inputs=info, outputs=info))) as runner:
            return runner.run({"x": FEED})["x"]


def _identity() -> torch.nn.Module:
    convolution = torch.nn.Conv2d(16, 16, 1, bias=False)
    torch.nn.init.dirac_(convolution.weight)
    return convolution
