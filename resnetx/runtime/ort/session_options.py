"""Settings of a session: defaults, the user's options, and errors for options that would be silently ignored."""

import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnetx.base.precisions import SESSION_PRECISIONS, SessionPrecision
from resnetx.errors import UsageError
from resnetx.machine.threads import MAX_THREADS, default_threads
from resnetx.runtime.ort.library import ort
from resnetx.runtime.ort.providers import ExecutionProvider
from resnetx.runtime.ort.shared_libraries import runtime_folder

RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
KEY_FORM = re.compile(r"(session|ep|optimization|mlas|memory)(\.[A-Za-z0-9_]+)+")
# Keys that the compiler inlined, so that they are not among the library's strings.
HIDDEN_KEYS = frozenset(
    {
        "ep.context_node_name_prefix",
        "ep.share_ep_contexts",
        "ep.stop_share_ep_contexts",
        "session.model_external_initializers_file_folder_path",
    }
)
LEVELS = {
    "disable": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
MODES = {"sequential": ort.ExecutionMode.ORT_SEQUENTIAL, "parallel": ort.ExecutionMode.ORT_PARALLEL}
SWITCH = {"0": False, "1": True, "false": False, "true": True}
# Fields of SessionOptions and their values by name; None for a number of threads.
FIELDS: dict[str, Mapping[str, Any] | None] = {
    "intra_op_num_threads": None,
    "inter_op_num_threads": None,
    "graph_optimization_level": LEVELS,
    "execution_mode": MODES,
    "enable_mem_pattern": SWITCH,
    "enable_mem_reuse": SWITCH,
    "enable_cpu_mem_arena": SWITCH,
    "use_deterministic_compute": SWITCH,
}
FIELD_DEFAULTS = {"inter_op_num_threads": "1", "graph_optimization_level": "all", "execution_mode": "sequential"}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a session: SessionOptions' fields, its configuration keys, and the provider's own options."""

    fields: Mapping[str, str]
    keys: Mapping[str, str]
    native: Mapping[str, str]
    # Sizes of free dimensions by name, if the caller uses no other size.
    dimensions: Mapping[str, int] = field(default_factory=dict)
    # Where a trace of all runs is written, without its ending; None if none is recorded.
    trace: Path | None = None

    def session_options(self) -> ort.SessionOptions:
        options = ort.SessionOptions()
        for name, value in self.fields.items():
            setattr(options, name, _field_value(name, value))
        for key, value in self.keys.items():
            options.add_session_config_entry(key, value)
        if self.trace is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(self.trace)
        for name, size in self.dimensions.items():
            options.add_free_dimension_override_by_name(name, size)
        return options

    def in_force(self) -> dict[str, str]:
        """All options by name; fields that were not set have the runtime's defaults."""
        options = self.session_options()
        unset = {name: str(int(getattr(options, name))) for name in FIELDS if name not in self.fields}
        sizes = {f"free_dimension.{name}": str(size) for name, size in self.dimensions.items()}
        return dict(sorted({**unset, **self.fields, **self.keys, **self.native, **sizes}.items()))


def resolve_settings(
    provider: ExecutionProvider,
    *,
    precision: SessionPrecision,
    threads: int | None,
    options: Mapping[str, str],
    stored: str = "fp32",
) -> Settings:
    """The settings for a provider and a file in the precision `stored`; the user's options override everything."""
    if precision not in SESSION_PRECISIONS:
        raise UsageError(f"A session's precision is {' or '.join(SESSION_PRECISIONS)}; found {str(precision)[:40]!r}.")
    if precision == "bf16" and not provider.has_bf16:
        raise UsageError(
            f"The provider {provider.name} cannot compute in bf16; choose openvino, tensorrt, torch or torch-compile, "
            "or leave --precision out."
        )
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"The number of threads must be between 1 and {MAX_THREADS}; found {threads}.")
    count = str(threads or default_threads())
    fields = FIELD_DEFAULTS | {"intra_op_num_threads": count}
    keys, rest = {}, {}
    for key, value in options.items():
        if key in FIELDS:
            fields[key] = value.strip().lower()
            _field_value(key, fields[key])
        elif "." in key:
            _check_key(key, provider)
            keys[key] = value
        else:
            rest[key] = value
    native = provider.defaults(precision, stored=stored)
    if provider.threads_key:
        native[provider.threads_key] = count
    return Settings(
        fields=fields,
        keys=keys | {RECORD_PLACEMENT: "1"},
        native=native | _native_options(provider, rest),
    )


def _native_options(provider: ExecutionProvider, options: Mapping[str, str]) -> dict[str, str]:
    if provider.native_options is None:
        if options:
            raise _unknown(next(iter(options)), provider)
        return {}
    return provider.native_options(options)


def _field_value(name: str, value: str) -> Any:
    values = FIELDS[name]
    if values is None:
        if not (re.fullmatch("[0-9]{1,4}", value) and 1 <= int(value) <= MAX_THREADS):
            raise UsageError(f"The option {name} must be between 1 and {MAX_THREADS}; found {value[:40]!r}.")
        return int(value)
    if value not in values:
        raise UsageError(f"The option {name} is one of {', '.join(values)}; found {value[:40]!r}.")
    return values[value]


def _check_key(key: str, provider: ExecutionProvider) -> None:
    """Search for the key in ONNX Runtime's library, because ONNX Runtime accepts and ignores unknown keys."""
    if key == RECORD_PLACEMENT:
        raise UsageError(f"The option {key} is always on: resnetx needs it to check the provider; leave it out.")
    if key not in HIDDEN_KEYS and not (KEY_FORM.fullmatch(key) and _in_library(key)):
        raise _unknown(key, provider)


def _library() -> Path:
    """The library file of ONNX Runtime itself."""
    return next(runtime_folder().glob("onnxruntime_pybind11_state*"))


def _in_library(key: str) -> bool:
    """Whether the key is in the library as a whole string, not as a part of a longer one."""
    with (
        _library().open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        text = key.encode()
        start = data.find(text)
        while start >= 0:
            around = data[max(0, start - 1) : start] + data[start + len(text) : start + len(text) + 1]
            if not re.search(rb"[\w.]", around):
                return True
            start = data.find(text, start + 1)
    return False


def _unknown(key: str, provider: ExecutionProvider) -> UsageError:
    return UsageError(
        f"The provider {provider.name} has no option {key[:80]!r}, and ONNX Runtime {ort.__version__} would "
        f"silently ignore it. Options of every session: {', '.join(FIELDS)}, and its configuration keys, such as "
        "session.intra_op.allow_spinning."
    )
