"""A session: one ONNX file open on one provider that is proved to be the one that runs it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime as ort

from resnetx.errors import GraphError, RuntimeUnavailableError, UsageError
from resnetx.runtime.file_precision import stored_precision
from resnetx.runtime.ort.host_buffers import PlacedRuns
from resnetx.runtime.ort.native_session import OpeningError, first_line, open_native, refuse_configured_models
from resnetx.runtime.ort.node_placement import count_placement, fallback_reason, placed_nodes
from resnetx.runtime.ort.provider_probe import best_provider, coarsest, provider_precision, why_not
from resnetx.runtime.ort.providers import AUTO, BY_NAME, Precision, Provider, find_provider
from resnetx.runtime.ort.session_options import Settings, resolve_settings
from resnetx.runtime.runner import TensorInfo

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
NO_OPTIONS: Mapping[str, str] = MappingProxyType({})
NO_SIZES: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of an open session.

    `provider` is the one that was asked for, `placement` the nodes that each provider really runs, and `fallback`
    the reason why that is not `provider`, where falling back was allowed. `effective_precision` is the coarsest of
    the file's own (an int8 or fp16 model) and the provider's arithmetic; `options` is everything in force.
    """

    provider: str
    placement: tuple[tuple[str, int], ...]
    effective_precision: str
    options: Mapping[str, str]
    fallback: str | None


class Session:
    """Arrays in, arrays out, by name."""

    def __init__(self, native: ort.InferenceSession, facts: Facts) -> None:
        self.native = native
        self.provider = facts.provider
        self.placement = facts.placement
        self.effective_precision = facts.effective_precision
        self.options = dict(facts.options)
        self.fallback = facts.fallback
        self.inputs = tuple(_tensor_info(node) for node in native.get_inputs())
        self.outputs = tuple(_tensor_info(node) for node in native.get_outputs())
        sizes = [size for info in (*self.inputs, *self.outputs) for size in info.shape]
        places = BY_NAME[facts.provider].places and not facts.fallback and all(isinstance(size, int) for size in sizes)
        self._placed = PlacedRuns(native, self.inputs, self.outputs) if places else None

    def place(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same values where the provider reads them itself, for runs that need not copy them first."""
        return dict(feeds) if self._placed is None else self._placed.place(feeds)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [output.name for output in self.outputs]
        try:
            if self._placed is not None and self._placed.fits(feeds):
                return self._placed.run(feeds)
            return dict(zip(names, self.native.run(names, dict(feeds)), strict=True))
        except Exception as error:  # the runtime raises its own types, which share no base below Exception
            raise GraphError(f"ONNX Runtime could not run the model: {first_line(error)}") from error


def open_session(
    model: Path | bytes,
    *,
    provider: str = "cpu",
    precision: Precision = "f32",
    options: Mapping[str, str] = NO_OPTIONS,
    threads: int | None = None,
    dimensions: Mapping[str, int] = NO_SIZES,
    optimize: bool = True,
    allow_fallback: bool = False,
) -> Session:
    """Open a file, or a serialized model, on a provider, and make sure that this provider runs it.

    The precision f32 pins every provider to honest float32, for comparing numbers; `default` leaves it as fast as
    the provider chooses. `dimensions` are sizes of free dimensions by name, for a session that is fed no others.
    Without `optimize`, ONNX Runtime runs the graph as it stands. `options` are native ones, and override what is
    chosen here. A session that would run elsewhere is an error, unless falling back is allowed: then
    it says so.
    """
    refuse_configured_models()
    row = best_provider() if provider.strip().lower() == AUTO else find_provider(provider)
    level = {} if optimize else {"graph_optimization_level": "disable"}
    settings = resolve_settings(row, precision=precision, threads=threads, options=level | dict(options))
    settings = replace(settings, dimensions=dimensions)
    stored = stored_precision(model)
    native, reason = _open(row, model, settings)
    if reason and not allow_fallback:
        raise RuntimeUnavailableError(
            f"The provider {row.name} was asked for, and it does not run the model: {reason}. "
            "Choose another provider: nothing falls back to one that was not named."
        )
    if native is None:
        settings = replace(settings, native={}, environment={})
        native, _ = _open(BY_NAME["cpu"], model, settings)
        assert native is not None
    placement = count_placement(placed_nodes(native), row)
    reported = settings.in_force() | native.get_provider_options().get(row.native, {})
    reported.pop("load_config", None)  # OpenVINO's properties stand there already, one by one
    computed = provider_precision(row, settings, reported) if row.name in dict(placement) else "fp32"
    facts = Facts(
        provider=row.name,
        placement=placement,
        effective_precision=coarsest(stored, computed),
        options=reported,
        fallback=reason,
    )
    return Session(native, facts)


def _open(row: Provider, model: Path | bytes, settings: Settings) -> tuple[ort.InferenceSession | None, str | None]:
    """A session, and why it does not run on the provider; no session where the provider does not work at all."""
    problem = row.problem()
    if problem:
        return None, f"{problem}; to fix it: {row.install}"
    try:
        native = open_native(row, model, settings)
    except OpeningError as error:
        refused = next((key for key in (*settings.native, *settings.keys) if key in str(error)), None)
        if refused:
            raise UsageError(f"The provider {row.name} refuses the option {refused[:80]!r}: {error}") from error
        problem = why_not(row.name)
        if problem:
            return None, f"{problem}; to fix it: {row.install}"
        raise GraphError(f"ONNX Runtime could not load the model on {row.name}: {error}") from error
    reason = fallback_reason(native, placed_nodes(native), row)
    if reason and row.native not in native.get_providers():
        problem = why_not(row.name)
        reason = f"{reason}: {problem}; to fix it: {row.install}" if problem else reason
    return native, reason


def newest_opset() -> int:
    """The newest opset that the installed runtime loads: asked of it with a one-node model, newest first."""
    from onnx import TensorProto, defs, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", value[:1], value[1:])
    for opset in range(defs.onnx_opset_version(), 0, -1):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        try:
            open_session(model.SerializeToString())
        except GraphError:
            continue
        return opset
    raise RuntimeUnavailableError("ONNX Runtime loads no opset at all; reinstall it.")


def _tensor_info(node: Any) -> TensorInfo:
    dtype = NUMPY_TYPES.get(node.type)
    if dtype is None:
        raise GraphError(f"The tensor {node.name!r} has the type {node.type}, which resnetx cannot feed or read.")
    # A free dimension without a name gets one of its own, so that no two are taken for the same.
    shape = tuple(
        size if isinstance(size, int | str) else f"{node.name}_dim{axis}" for axis, size in enumerate(node.shape)
    )
    return TensorInfo(node.name, np.dtype(dtype), shape)
