"""An execution provider of ONNX Runtime as a row of the catalog: how a session is told to use it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from resnetx.base.precisions import SessionPrecision
from resnetx.runtime.runner import Provider

if TYPE_CHECKING:
    import onnxruntime as ort

LONG_SUFFIX = "ExecutionProvider"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One option that is never left to the provider: its value when free to be fast and when pinned to float32."""

    key: str
    fast: str | None
    fp32: str | None
    why: str


@dataclass(frozen=True, kw_only=True)
class ExecutionProvider(Provider):
    """`native` is ONNX Runtime's name for it. `problem` is a cheap look at libraries and devices: it runs nothing."""

    engine: ClassVar = "onnxruntime"

    native: str
    problem: Callable[[], str | None]
    settings: tuple[Setting, ...] = ()
    # What a plugin needs instead of ONNX Runtime's list of providers, and the library that it is.
    attach: "Callable[[ort.SessionOptions, Mapping[str, str]], None] | None" = None
    library: Callable[[], Path | None] | None = None
    # What it opens by name when it runs, besides the libraries that it is linked with.
    opens: tuple[str, ...] = ()
    # Where nodes that it does not support may go without leaving the device.
    companion: "ExecutionProvider | None" = None
    threads_key: str | None = None
    # None where nothing but a measurement tells.
    precision: Callable[[Mapping[str, str]], str] | None = None
    # Its own options as it takes them, checked where it would not; None where it has none.
    native_options: Callable[[Mapping[str, str]], dict[str, str]] | None = dict
    # Whether it wants tensors in memory of its own, so that placing them there once saves copies: `host_buffers.py`.
    own_memory: bool = False
    # The option with which it records its work in a graph and replays it from then on.
    graph_option: str | None = None
    # Whether engines that it builds are kept: `tensorrt_cache.py`.
    keeps_engines: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return self.name, self.native.lower()

    def defaults(self, precision: SessionPrecision) -> dict[str, str]:
        chosen = {each.key: each.fp32 if precision == "fp32" else each.fast for each in self.settings}
        return {key: value for key, value in chosen.items() if value is not None}


# What every session can fall back to.
CPU = ExecutionProvider(
    name="cpu",
    native="CPUExecutionProvider",
    install="pip install --force-reinstall onnxruntime-gpu",
    problem=lambda: None,
    precision=lambda options: "fp32",
    native_options=None,
)


def short_name(native: str) -> str:
    """`CUDAExecutionProvider` as `cuda`."""
    return native.removesuffix(LONG_SUFFIX).lower()
