"""The interface of whatever runs a model, of what opens it, and the facts about that which the catalog lists."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from resnetx.base.precisions import SessionPrecision

Feeds = Mapping[str, np.ndarray]
Call = Callable[[], object]
# A file, a serialized model, or, for providers that run PyTorch's own module, what builds it.
Source = Path | bytes | Callable[[], Any]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: its name, numpy type and dimensions (a name where a dimension is free)."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of an open model.

    `provider` is the one that was asked for, `placement` the nodes that each provider really runs, and `fallback`
    the reason why that is not `provider`, where falling back was allowed. `effective_precision` is the coarsest of
    the file's own (an int8 or fp16 model) and the provider's arithmetic; `options` is everything in force. `opened_s`
    is the time that opening took, and `engine` where a compiled engine came from (`built`, `from cache`), if one is
    kept. `unpinned` is why float32 was asked for and could not be had.
    """

    provider: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    placement: tuple[tuple[str, int], ...]
    effective_precision: str
    options: Mapping[str, str]
    fallback: str | None = None
    opened_s: float = 0.0
    engine: str | None = None
    unpinned: str | None = None


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How to open a model; None is the default. `options` are the provider's own, and override what it would choose.

    `batch` is the one batch size that will be fed, where the caller promises that; `callers` is how many threads run
    the model at a time. `on_device` keeps inputs and outputs where the provider computes. Without `optimize` the graph
    is run as it is in the file. `digest` identifies the model's bytes, for caches of what was compiled from it.
    `inputs` and `outputs` are the file's, for a provider that is not given the file.
    """

    precision: SessionPrecision = "fp32"
    options: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    batch: int | None = None
    callers: int = 1
    on_device: bool = False
    optimize: bool = True
    allow_fallback: bool = False
    digest: str | None = None
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()


class Runner(ABC):
    """A model that is open: arrays in, arrays out, by name."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.provider = facts.provider
        self.inputs = facts.inputs
        self.outputs = facts.outputs
        self.placement = facts.placement
        self.effective_precision = facts.effective_precision
        self.options = dict(facts.options)
        self.fallback = facts.fallback

    @abstractmethod
    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        """From arrays in the host's memory to new ones."""

    @abstractmethod
    def bind(self, feeds: Feeds) -> Call:
        """A run over these inputs, which are brought now to where it takes them from."""

    @abstractmethod
    def close(self) -> None:
        """Release what it holds; it cannot be run after that."""


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A row of the catalog: what a provider can do, so that nobody has to know it by name.

    `engine` is the library that it is a part of. `needs_card`: it runs the network that a model card describes, and
    not the file. `gpu`: it computes on a GPU. `compiles_each_batch`: a batch of a new size costs a compilation.
    `builds_for_minutes`: opening may take that long. `baseline`: the others' speed is shown in multiples of its.
    `environment` is what its libraries must read from the environment, when they are loaded, to compute in float32.
    """

    engine: ClassVar[str]

    name: str
    install: str
    needs_card: bool = False
    gpu: bool = False
    compiles_each_batch: bool = False
    builds_for_minutes: bool = False
    baseline: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    # How to install it, for whoever it does not work for: extras of resnetx, a package of its own, the processors that
    # this serves (none named: all), the newest major version of a package that fits, and whether it links the driver.
    extras: tuple[str, ...] = ()
    package: str | None = None
    vendors: tuple[str, ...] = ()
    newest: tuple[tuple[str, int], ...] = ()
    links_driver: bool = True

    def on_gpu(self, options: Mapping[str, str]) -> bool:
        """Whether it computes on a GPU with these options."""
        return self.gpu

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that it is known by, in lower case."""
        return (self.name,)


class Engine(ABC):
    """The library that a provider is a part of, loaded, and told which provider is meant."""

    def libraries(self) -> list[tuple[str, bool]]:
        """The shared libraries that the provider needs, and whether each can be loaded."""
        return []

    @abstractmethod
    def why_not(self) -> str | None:
        """Why the provider does not work here, found out by running one convolution on it; None if it works."""

    @abstractmethod
    def default_precision(self) -> str:
        """In which precision the provider multiplies float32 tensors when it is left alone."""

    @abstractmethod
    def open(self, source: Source, opening: Opening) -> Runner:
        """Open a model, and make sure that the provider runs it."""
