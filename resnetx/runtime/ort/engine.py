"""ONNX Runtime as an engine of the catalog: opens models on its execution providers, and tests these."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx

from resnetx.errors import GraphError, RuntimeUnavailableError, UsageError
from resnetx.runtime.ort.device_session import DeviceSession, records_graph
from resnetx.runtime.ort.profile import open_profiled
from resnetx.runtime.ort.provider_probe import libraries_of, provider_precision, why_not
from resnetx.runtime.ort.providers import CPU, ExecutionProvider
from resnetx.runtime.ort.session import open_session
from resnetx.runtime.ort.session_options import resolve_settings
from resnetx.runtime.ort.tensorrt_cache import with_engine_cache
from resnetx.runtime.runner import Engine, Opening, Runner, Source


class OnnxRuntime(Engine):
    """ONNX Runtime with one of its execution providers."""

    def __init__(self, provider: ExecutionProvider) -> None:
        self._provider = provider

    def libraries(self) -> list[tuple[str, bool]]:
        return libraries_of(self._provider)

    def why_not(self) -> str | None:
        return why_not(self._provider)

    def default_precision(self) -> str:
        settings = resolve_settings(self._provider, precision="default", threads=None, options={})
        return provider_precision(self._provider, settings, settings.native)

    def open(self, source: Source, opening: Opening) -> Runner:
        """Open a session, which may record a CUDA graph and cache an engine; `on_device` uses bound buffers."""
        assert isinstance(source, Path | bytes)
        provider, options = self._provider, dict(opening.options)
        if opening.profile:
            return open_profiled(provider, source, opening)
        if provider.keeps_engines and opening.batch is not None:
            options = with_engine_cache(opening.digest, options, inputs=opening.inputs, batch=opening.batch)
        graph = graph_options(provider, options, opening)
        opened_at = time.time()
        try:
            session = open_session(provider, source, replace(opening, options=graph | options), opened_at=opened_at)
        except GraphError:
            # A model with nodes on another provider cannot be recorded, but it can still be run.
            if not graph.keys() - options.keys():
                raise
            session = open_session(provider, source, replace(opening, options=options), opened_at=opened_at)
        bound = opening.on_device or records_graph(session.options)
        return DeviceSession(session, on_device=opening.on_device) if bound else session


def graph_options(provider: ExecutionProvider, asked: Mapping[str, str], opening: Opening) -> dict[str, str]:
    """The option to record and replay a CUDA graph, if that is possible: for one batch size and one caller."""
    possible = opening.batch is not None and opening.callers == 1
    if records_graph(asked) and not possible:
        raise UsageError(
            "A CUDA graph replays on the buffers that it was recorded with, for one batch size and one caller at a "
            "time: leave --concurrency and --scenario out, or leave enable_cuda_graph out."
        )
    return {provider.graph_option: "1"} if provider.graph_option and possible else {}


def newest_opset() -> int:
    """The newest opset that the installed runtime loads, tested with one-node models."""
    from onnx import TensorProto, defs, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "probe", value[:1], value[1:])
    for opset in range(defs.onnx_opset_version(), 0, -1):
        model: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        try:
            open_session(CPU, model.SerializeToString(), Opening())
        except GraphError:
            continue
        return opset
    raise RuntimeUnavailableError("ONNX Runtime loads no opset; reinstall it.")
