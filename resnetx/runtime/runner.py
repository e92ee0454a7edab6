"""The interfaces of runners and engines, and the base class of the catalog's rows."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from resnetx.base.precisions import SessionPrecision
from resnetx.base.validation import Count, Large, Number
from resnetx.errors import UsageError

Feeds = Mapping[str, np.ndarray]
Call = Callable[[], object]
# A file, a serialized model, or, for providers that run PyTorch modules, a function that builds the module.
Source = Path | bytes | Callable[[], Any]


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: its name, numpy type and dimensions (a name if a dimension is free)."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The properties of an open model.

    `provider` is the requested one, `placement` the number of nodes that each provider runs, and `fallback` the reason
    why the model does not run on `provider`, if fallback was allowed. `kernels` is the number of heavy layers that each
    kernel runs, if the engine tells. `effective_precision` is the coarser of the file's precision (an int8 or fp16
    model) and the provider's; `options` are all options in effect. `opened_s` is the time that opening took, and
    `engine` the origin of the compiled engine (`built`, `from cache`), if it is cached. `notes` are what a reader of
    its figures should know, such as a slow kernel, or float32 that is not guaranteed.
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
    kernels: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How to open a model; None is the default. `options` are provider options, which override all defaults.

    `batch` is the only batch size that will be run, if it is known; `callers` is the number of threads that run the
    model concurrently. `on_device` keeps inputs and outputs on the provider's device. Without `optimize` the graph
    runs as stored in the file. `digest` identifies the model's bytes, for caches of compiled engines. `inputs` and
    `outputs` are those of the file, for a provider that does not read it. `profile` records the time of each layer in
    every run, if the provider can (`Provider.times_layers`).
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
    profile: bool = False


@dataclass(frozen=True, kw_only=True)
class LayerTimes:
    """What the engine ran as one kernel, and its times, each in one run, or in the mean of several.

    `nodes` are the nodes that it computes, as far as the engine names them, by their place in the file's graph; the
    file must have been numbered (`numbered_nodes.py`). For a provider that does not run a file, `name` is the path of
    the module. `operator` and `kernel` are the engine's words; `moved_bytes` are those of all inputs, weights and
    outputs, and `macs` the multiply-accumulates of a run, where the engine knows its shapes; None if it does not.
    """

    name: str
    operator: str
    kernel: str
    precision: str
    times_ms: tuple[Number, ...]
    nodes: tuple[Count, ...] = ()
    moved_bytes: Large | None = None
    macs: Large | None = None


class Runner(ABC):
    """An open model, which maps named input arrays to named output arrays."""

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
        """Run the model on arrays in host memory, and return new arrays."""

    @abstractmethod
    def bind(self, feeds: Feeds) -> Call:
        """Copy these inputs to where the model reads them, and return a function that runs it on them."""

    @abstractmethod
    def close(self) -> None:
        """Release all resources; the runner cannot be used afterwards."""

    def start_profile(self) -> None:
        """To be called once, after the runs that only warm up, on a model that was opened with `profile`."""
        raise UsageError(f"The provider {self.provider} does not tell the time of its layers.")

    def layer_times(self) -> tuple[LayerTimes, ...]:
        """The layers in execution order, with their times since `start_profile`; no run may follow."""
        raise UsageError(f"The provider {self.provider} does not tell the time of its layers.")


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A row of the catalog: the properties of a provider, so that no other code depends on its name.

    `engine` is the library that it belongs to. `needs_card`: it runs the network that a model card describes, not the
    file. `gpu`: it computes on a GPU. `compiles_each_batch`: each new batch size is compiled. `builds_for_minutes`:
    opening may take minutes. `moves_roundings`: of an INT8 file it leaves out or moves some of the roundings, which
    changes outputs about as much as INT8 does. `times_layers`: it tells the time of each layer. `baseline`: speed is
    reported relative to this provider. `environment` are the variables that must be set when its libraries are loaded,
    so that they compute in float32. `streams_key` is the option with the number of runs at the same time that share its
    threads; without one, each has as many.
    """

    engine: ClassVar[str]

    name: str
    needs_card: bool = False
    gpu: bool = False
    compiles_each_batch: bool = False
    builds_for_minutes: bool = False
    moves_roundings: bool = False
    times_layers: bool = False
    baseline: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    streams_key: str | None = None
    # How to install it: the extras of resnetx, a package of its own, the processor vendors that it supports (empty:
    # all), the newest supported major version of packages, and whether it is linked with the driver.
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
        """All names of the provider, in lower case."""
        return (self.name,)


class Engine(ABC):
    """The loaded library of one provider."""

    def libraries(self) -> list[tuple[str, bool]]:
        """The shared libraries that the provider needs, and whether each can be loaded."""
        return []

    @abstractmethod
    def why_not(self) -> str | None:
        """Why the provider does not work here, tested by running one convolution; None if it works."""

    @abstractmethod
    def default_precision(self) -> str:
        """The precision in which the provider multiplies float32 tensors by default."""

    def preferred(self, precision: str) -> bool:
        """Whether it is expected to run files of this precision faster here than the first provider of the catalog."""
        return True

    @abstractmethod
    def open(self, source: Source, opening: Opening) -> Runner:
        """Open a model, and check that the provider runs it."""
