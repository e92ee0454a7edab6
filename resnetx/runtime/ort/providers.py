"""The execution providers of ONNX Runtime as rows of the catalog: how sessions use them."""

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
    """An option that resnetx sets: its values for speed, for true float32 and for bf16, if it selects that.

    `half` is its value for float16 files, if that differs. None leaves it to the provider.
    """

    key: str
    fast: str | None
    fp32: str | None
    bf16: str | None = None
    half: str | None = None
    why: str


@dataclass(frozen=True, kw_only=True)
class ExecutionProvider(Provider):
    """`native` is ONNX Runtime's name for it. `problem` checks libraries and devices, and runs no model."""

    engine: ClassVar = "onnxruntime"

    native: str
    problem: Callable[[], str | None]
    settings: tuple[Setting, ...] = ()
    # For a plugin: adds it to the options of a session, and finds its library.
    attach: "Callable[[ort.SessionOptions, Mapping[str, str]], None] | None" = None
    library: Callable[[], Path | None] | None = None
    # The libraries that it loads by name at run time, besides those that it is linked with.
    opens: tuple[str, ...] = ()
    # The provider on the same device for nodes that this one does not support.
    companion: "ExecutionProvider | None" = None
    threads_key: str | None = None
    # None if the precision must be measured.
    precision: Callable[[Mapping[str, str]], str] | None = None
    # Converts and checks the user's options for it; None if it has no options.
    native_options: Callable[[Mapping[str, str]], dict[str, str]] | None = dict
    # The option with which it records and replays a CUDA graph.
    graph_option: str | None = None
    # Whether the engines that it builds are cached: `tensorrt_cache.py`.
    keeps_engines: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return self.name, self.native.lower()

    def defaults(self, precision: SessionPrecision, *, stored: str = "fp32") -> dict[str, str]:
        """The options for a session in this precision, of a file that stores its weights in `stored`."""
        chosen = {each.key: each.fp32 if precision == "fp32" else each.fast for each in self.settings}
        if precision == "bf16":
            chosen |= {each.key: each.bf16 for each in self.settings if each.bf16 is not None}
        if stored == "fp16":
            chosen |= {each.key: each.half for each in self.settings if each.half is not None}
        return {key: value for key, value in chosen.items() if value is not None}

    @property
    def has_bf16(self) -> bool:
        """Whether a session can compute in bf16 on request."""
        return any(each.bf16 is not None for each in self.settings)


# The fallback of every session.
CPU = ExecutionProvider(
    name="cpu",
    native="CPUExecutionProvider",
    problem=lambda: None,
    precision=lambda options: "fp32",
    native_options=None,
    times_layers=True,
)


def short_name(native: str) -> str:
    """`CUDAExecutionProvider` as `cuda`."""
    return native.removesuffix(LONG_SUFFIX).lower()
