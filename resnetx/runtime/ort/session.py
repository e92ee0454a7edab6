"""A session: an ONNX file opened on a provider that is checked to run it."""

import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resnetx.base.precisions import coarsest
from resnetx.errors import GraphError, RuntimeUnavailableError, UsageError
from resnetx.runtime.file_boundary import batch_name
from resnetx.runtime.file_precision import parse_graph, stored_precision
from resnetx.runtime.fixes import advice_for
from resnetx.runtime.ort.library import ort
from resnetx.runtime.ort.native_session import OpeningError, first_line, open_native, quiet, refuse_configured_models
from resnetx.runtime.ort.node_placement import count_placement, fallback_reason, placed_nodes
from resnetx.runtime.ort.provider_probe import libraries_of, provider_precision, why_not
from resnetx.runtime.ort.providers import CPU, ExecutionProvider
from resnetx.runtime.ort.session_options import Settings, resolve_settings
from resnetx.runtime.ort.tensorrt_cache import engine_origin, named_folders
from resnetx.runtime.runner import Call, Facts, Feeds, Opening, Runner, TensorInfo

NUMPY_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(uint32)": np.uint32,
    "tensor(int32)": np.int32,
    "tensor(uint64)": np.uint64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


class Session(Runner):
    """A session with inputs and outputs in host memory."""

    def __init__(self, native: ort.InferenceSession, facts: Facts) -> None:
        super().__init__(facts)
        self.native = native
        self._ran = False

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        names = [output.name for output in self.outputs]
        try:
            # In its first run a GPU provider logs every kernel that it tried in vain.
            with nullcontext() if self._ran else quiet():
                results = self.native.run(names, dict(feeds))
            self._ran = True
            return dict(zip(names, results, strict=True))
        except Exception as error:  # the runtime raises its own types, which share no base below Exception
            raise GraphError(f"ONNX Runtime could not run the model: {first_line(error)}") from error

    def bind(self, feeds: Feeds) -> Call:
        return partial(self.run, dict(feeds))

    def close(self) -> None:
        del self.native


def open_session(
    provider: ExecutionProvider,
    model: Path | bytes,
    opening: Opening,
    *,
    opened_at: float = 0.0,
    trace: Path | None = None,
) -> Session:
    """Open a file or a serialized model, and check that `provider` runs it.

    `opened_at` is for `engine_origin`; `trace` is where a trace of all runs is to be written.
    """
    refuse_configured_models()
    begin = time.perf_counter()
    level = {} if opening.optimize else {"graph_optimization_level": "disable"}
    options = level | dict(opening.options)
    graph = parse_graph(model)
    stored = stored_precision(graph)
    settings = resolve_settings(
        provider, precision=opening.precision, threads=opening.threads, options=options, stored=stored
    )
    settings = replace(settings, trace=trace)
    if opening.batch is not None:
        # Providers are faster with fixed sizes.
        name = batch_name(graph)
        settings = replace(settings, dimensions={} if name is None else {name: opening.batch})
    native, reason = _open(provider, model, settings)
    if reason and not opening.allow_fallback:
        raise RuntimeUnavailableError(
            f"The provider {provider.name} was requested, but it does not run the model: {reason}. "
            "Choose another provider; there is no automatic fallback.",
            problem=reason,
        )
    if native is None:
        settings = replace(settings, native={})
        native, _ = _open(CPU, model, settings)
        assert native is not None
    placement = count_placement(placed_nodes(native, provider), provider)
    reported = settings.in_force() | native.get_provider_options().get(provider.native, {})
    reported.pop("load_config", None)  # its properties are among the options already
    computed = provider_precision(provider, settings, reported) if provider.name in dict(placement) else "fp32"
    facts = Facts(
        provider=provider.name,
        inputs=_tensors(native.get_inputs()),
        outputs=_tensors(native.get_outputs()),
        placement=placement,
        effective_precision=coarsest(stored, computed),
        options=named_folders(reported),
        fallback=reason,
        opened_s=time.perf_counter() - begin,
        engine=engine_origin(reported, opened_at),
        notes=_notes(provider, opening, computed),
    )
    return Session(native, facts)


def _open(
    provider: ExecutionProvider, model: Path | bytes, settings: Settings
) -> tuple[ort.InferenceSession | None, str | None]:
    """A session, and why it does not run on the provider; no session if the provider does not work."""
    problem = provider.problem()
    if problem:
        return None, _advised(provider, problem)
    try:
        native = open_native(provider, model, settings)
    except OpeningError as error:
        refused = next((key for key in (*settings.native, *settings.keys) if key in str(error)), None)
        if refused:
            raise UsageError(f"The provider {provider.name} refuses the option {refused[:80]!r}: {error}") from error
        problem = why_not(provider)
        if problem:
            return None, _advised(provider, problem)
        raise GraphError(f"ONNX Runtime could not load the model on {provider.name}: {error}") from error
    reason = fallback_reason(native, placed_nodes(native, provider), provider)
    if reason and provider.native not in native.get_providers():
        problem = why_not(provider)
        reason = f"{reason}: {_advised(provider, problem)}" if problem else reason
    return native, reason


def _advised(provider: ExecutionProvider, problem: str) -> str:
    missing = [library for library, found in libraries_of(provider) if not found]
    return f"{problem}; {advice_for(provider, problem, missing)}"


def _notes(provider: ExecutionProvider, opening: Opening, computed: str) -> tuple[str, ...]:
    """Whether float32 is asked for, and cannot be pinned in this process."""
    loose = [f"{name}={value}" for name, value in provider.environment if os.environ.get(name) != value]
    if opening.precision != "fp32" or computed not in ("fp32", "tf32") or not loose:
        return ()
    return (
        f"{provider.name} may compute in TF32: float32 cannot be pinned in a running process; start the program with "
        f"{' '.join(loose)} in its environment.",
    )


def _tensors(nodes: Sequence[Any]) -> tuple[TensorInfo, ...]:
    return tuple(_tensor_info(node) for node in nodes)


def _tensor_info(node: Any) -> TensorInfo:
    dtype = NUMPY_TYPES.get(node.type)
    if dtype is None:
        raise GraphError(f"The tensor {node.name!r} has the type {node.type}, which resnetx cannot feed or read.")
    # A free dimension without a name gets a unique one, so that no two are treated as equal.
    shape = tuple(
        size if isinstance(size, int | str) else f"{node.name}_dim{axis}" for axis, size in enumerate(node.shape)
    )
    return TensorInfo(node.name, np.dtype(dtype), shape)
