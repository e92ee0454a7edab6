"""The interface of whatever runs a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Call = Callable[[], object]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: its name, numpy type and dimensions (a name where a dimension is free)."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]


class Runner(Protocol):
    """Whatever runs a model: a session, or PyTorch."""

    provider: str
    effective_precision: str
    placement: tuple[tuple[str, int], ...]
    options: dict[str, str]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...


class BindingRunner(Runner, Protocol):
    """One that can keep its inputs and outputs where it computes."""

    def bind(self, feeds: Mapping[str, np.ndarray]) -> Call: ...
