"""A session of OpenVINO: an ONNX file compiled for its device, with a request for each calling thread."""

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx

from resnetx.base.precisions import coarsest
from resnetx.base.text import readable
from resnetx.errors import GraphError, UsageError
from resnetx.runtime.file_boundary import batch_name, dimension, real_inputs
from resnetx.runtime.file_precision import parse_graph, stored_precision
from resnetx.runtime.openvino.kernels import count_kernels, kernel_notes, kernels_of
from resnetx.runtime.openvino.library import core, error_line, ov
from resnetx.runtime.openvino.model_cache import ModelCache
from resnetx.runtime.openvino.properties import precision_in_effect, properties_in_effect, resolve_properties
from resnetx.runtime.openvino.provider import OpenVINOProvider
from resnetx.runtime.openvino.wrong_operators import wrong_operator
from resnetx.runtime.runner import Call, Facts, Feeds, Opening, Runner, TensorInfo


class OpenVINOSession(Runner):
    """A compiled model. Its inputs are read where the arrays are, without a copy."""

    def __init__(self, compiled: "ov.CompiledModel", facts: Facts, *, on_device: bool = False) -> None:
        super().__init__(facts)
        self._compiled = compiled
        self._on_device = on_device
        self._own = threading.local()
        # By name, because the compiled model lacks inputs that nothing uses.
        self._ports = _by_name(self.inputs, compiled.inputs)
        self._results = _by_name(self.outputs, compiled.outputs)
        if missing := [info.name for info in self.outputs if info.name not in self._results]:
            raise GraphError(f"OpenVINO could not load the model: it lost the output {readable(missing[0])!r}.")

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        self._check(feeds)
        return self._run({port: feeds[name] for name, port in self._ports.items()})

    def bind(self, feeds: Feeds) -> Call:
        """With `on_device`, the outputs stay where the device writes them; host and device share their memory."""
        self._check(feeds)
        arrays = {port: np.ascontiguousarray(feeds[name]) for name, port in self._ports.items()}
        if not self._on_device:
            return partial(self._run, arrays)
        return lambda: self._request().infer(arrays, share_inputs=True, share_outputs=True)

    def close(self) -> None:
        del self._own, self._ports, self._results, self._compiled

    def _request(self) -> "ov.InferRequest":
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        return self._own.request

    def _run(self, arrays: "dict[ov.ConstOutput, np.ndarray]") -> dict[str, np.ndarray]:
        try:
            results = self._request().infer(arrays, share_inputs=True)
        except Exception as error:  # OpenVINO raises RuntimeError for everything
            raise GraphError(f"OpenVINO could not run the model: {error_line(error)}") from error
        return {name: results[port] for name, port in self._results.items()}

    def _check(self, feeds: Feeds) -> None:
        """OpenVINO converts arrays of other types, and runs on an earlier array in place of a missing one."""
        for info in self.inputs:
            array = feeds.get(info.name)
            found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            if found != info.dtype:
                wrong = "none" if array is None else found
                raise GraphError(
                    f"OpenVINO could not run the model: its input {readable(info.name)!r} takes an array of "
                    f"{info.dtype}, and found {wrong}."
                )
        if len(feeds) != len(self.inputs):
            unknown = next(name for name in feeds if name not in {info.name for info in self.inputs})
            raise GraphError(f"OpenVINO could not run the model: it has no input {readable(unknown)!r}.")


def open_session(provider: OpenVINOProvider, model: Path | bytes, opening: Opening) -> OpenVINOSession:
    """Open a file or a serialized model on the device of `provider`."""
    compiled, facts = compile_session(provider, model, opening)
    return OpenVINOSession(compiled, facts, on_device=opening.on_device)


def compile_session(
    provider: OpenVINOProvider, model: Path | bytes, opening: Opening
) -> "tuple[ov.CompiledModel, Facts]":
    """Compile a model for the device of `provider`; with a digest, by way of the cache."""
    properties = resolve_properties(provider, opening)
    begin = time.perf_counter()
    graph = parse_graph(model)
    if problem := wrong_operator(graph):
        raise GraphError(f"OpenVINO cannot run the model: {problem}.")
    cache = None
    if opening.digest is not None and opening.batch is not None:
        cache = ModelCache(opening.digest, properties, batch=opening.batch, device=provider.device)
    compiled = cached = None if cache is None else cache.load()
    if compiled is None:
        compiled = _compile(provider, _read(model, graph, opening.batch), properties, opening)
    found = properties_in_effect(compiled)
    kernels, stored = kernels_of(compiled), stored_precision(graph)
    facts = Facts(
        provider=provider.name,
        inputs=tuple(_tensor_info(value, compiled.inputs) for value in real_inputs(graph)),
        outputs=tuple(_tensor_info(value, compiled.outputs) for value in graph.output),
        placement=((provider.name, len(kernels)),),
        kernels=count_kernels(kernels),
        notes=kernel_notes(kernels, quantized=stored == "int8"),
        effective_precision=coarsest(stored, precision_in_effect(found, properties, provider.device)),
        options=found,
        opened_s=time.perf_counter() - begin,
        engine=None if cache is None else "built" if cached is None else "from cache",
    )
    if cache is not None and cached is None:
        cache.store(compiled)
    return compiled, facts


def _read(model: Path | bytes, graph: onnx.GraphProto, batch: int | None) -> "ov.Model":
    try:
        read = core().read_model(model if isinstance(model, bytes) else str(model))
        if batch is not None and (name := batch_name(graph)) is not None:
            read.reshape(_fixed_shapes(graph, name, batch))
    except Exception as error:  # OpenVINO raises RuntimeError for everything
        raise GraphError(f"OpenVINO could not load the model: {error_line(error)}") from error
    return read


def _compile(
    provider: OpenVINOProvider, model: "ov.Model", properties: Mapping[str, str], opening: Opening
) -> "ov.CompiledModel":
    try:
        return core().compile_model(model, provider.device, dict(properties))
    except Exception as error:  # as above
        line = error_line(error)
        for name, value in opening.options.items():
            if name in line or value in line:
                raise UsageError(
                    f"The provider {provider.name} refuses the option {name}={value[:40]}: {line}"
                ) from error
        raise GraphError(f"OpenVINO could not compile the model: {line}") from error


def _fixed_shapes(graph: onnx.GraphProto, name: str, batch: int) -> dict[str, list[int]]:
    """The shapes of all inputs with this size for the dimensions of that name; -1 for other free ones."""
    shapes = {}
    for value in real_inputs(graph):
        sizes = [dimension(value, axis) for axis in range(len(value.type.tensor_type.shape.dim))]
        shapes[value.name] = [batch if size == name else size if isinstance(size, int) else -1 for size in sizes]
    return shapes


def _tensor_info(value: onnx.ValueInfoProto, ports: "Sequence[ov.ConstOutput]") -> TensorInfo:
    """As compiled, with the names that the file gives to free sizes; as declared, for an input that nothing uses."""
    port = _port(value.name, ports)
    try:
        if port is None:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        else:
            dtype = np.dtype(port.get_element_type().to_dtype())
    except Exception as error:  # a type that NumPy does not have
        raise GraphError(f"The tensor {readable(value.name)!r} has a type that resnetx cannot feed or read.") from error
    if port is None:
        count = len(value.type.tensor_type.shape.dim)
        return TensorInfo(value.name, dtype, tuple(dimension(value, axis) for axis in range(count)))
    sizes = port.get_partial_shape()
    if sizes.rank.is_dynamic:
        raise GraphError(
            f"The tensor {readable(value.name)!r} has an unknown number of dimensions, and cannot be fed or read."
        )
    shape = (size.get_length() if size.is_static else dimension(value, axis) for axis, size in enumerate(sizes))
    return TensorInfo(value.name, dtype, tuple(shape))


def _by_name(infos: Sequence[TensorInfo], ports: "Sequence[ov.ConstOutput]") -> "dict[str, ov.ConstOutput]":
    found = {info.name: _port(info.name, ports) for info in infos}
    return {name: port for name, port in found.items() if port is not None}


def _port(name: str, ports: "Sequence[ov.ConstOutput]") -> "ov.ConstOutput | None":
    return next((port for port in ports if name in port.get_names()), None)
