"""A session on bound buffers: inputs and outputs that stay on the device, or are copied there and back in each run."""

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace

import numpy as np

from resnetx.errors import GraphError
from resnetx.runtime.ort.library import ort
from resnetx.runtime.ort.native_session import first_line, quiet
from resnetx.runtime.ort.session import Session
from resnetx.runtime.runner import Call, Feeds, Runner, TensorInfo

CUDA = "CUDAExecutionProvider"
# The options that make a provider record and replay a CUDA graph.
GRAPH_SWITCHES = ("enable_cuda_graph", "trt_cuda_graph_enable")
# Disables recording and replaying, for the run that allocates the outputs.
UNRECORDED = ("gpu_graph_id", "-1")
ON = ("1", "true")


def records_graph(options: Mapping[str, str]) -> bool:
    return any(options.get(switch, "").lower() in ON for switch in GRAPH_SWITCHES)


class DeviceSession(Runner):
    """A session that runs on bound buffers; `run` uses them too, and copies the arrays to the device and back.

    A CUDA graph replays on the buffers that it was recorded with, whatever else is bound. With one, all calls share one
    set of buffers, so that the graph which is timed is the one which is verified. `on_device`: the calls of `bind` find
    their inputs on the device; otherwise they copy them, like `run`.
    """

    def __init__(self, session: Session, *, on_device: bool = True) -> None:
        super().__init__(session.facts)
        self.session = session
        self._on_device = on_device
        self.device = "cuda" if CUDA in session.native.get_providers() else "cpu"
        self.graph = records_graph(session.options)
        self._device_id = int(session.options.get("device_id", "0")) if self.device == "cuda" else 0
        # Threads that write to the same outputs would compete for cache lines, and may crash the runtime.
        self._own = SimpleNamespace() if self.graph else threading.local()

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        buffers = self._kept_buffers(feeds)
        buffers.fill(feeds)
        buffers.run()
        return {info.name: value for info, value in zip(self.outputs, buffers.answers(), strict=True)}

    def bind(self, feeds: Feeds) -> Call:
        """Copy these inputs to the device, and return a run on them; a CUDA graph runs on the last that were copied."""
        if not self._on_device:
            return partial(self.run, dict(feeds))
        if self.graph:
            kept = self._kept_buffers(feeds)
            kept.fill(feeds)
            return kept.run
        inputs = self._place(feeds)
        own = threading.local()

        def call() -> None:
            if not hasattr(own, "buffers"):
                own.buffers = self._buffers(inputs)
            own.buffers.run()

        return call

    def close(self) -> None:
        del self._own
        self.session.close()

    def _kept_buffers(self, feeds: Feeds) -> "Buffers":
        """The buffers of the last run if the shapes are the same, else new ones."""
        kept: Buffers | None = getattr(self._own, "buffers", None)
        if kept is None or not kept.fits(feeds):
            if kept is not None and self.graph:
                raise GraphError(
                    f"The session recorded a CUDA graph for inputs of {_shapes(kept.inputs)}, but the inputs are "
                    f"{_shapes(feeds)}; open another session, or one with enable_cuda_graph=0."
                )
            kept = self._own.buffers = self._buffers(self._place(feeds))
        return kept

    def _place(self, feeds: Feeds) -> dict[str, ort.OrtValue]:
        """Copy the arrays to new memory: later inputs overwrite it."""
        values = {}
        for info in self.inputs:
            array = feeds[info.name]
            values[info.name] = ort.OrtValue.ortvalue_from_shape_and_type(
                array.shape, array.dtype, self.device, self._device_id
            )
            values[info.name].update_inplace(np.ascontiguousarray(array))
        return values

    def _buffers(self, inputs: Mapping[str, ort.OrtValue]) -> "Buffers":
        return Buffers(self.session.native, inputs, self.outputs, self.device, self._device_id)


class Buffers:
    """Inputs and outputs at fixed addresses; the runtime allocates the outputs in the first run."""

    def __init__(
        self,
        native: ort.InferenceSession,
        inputs: Mapping[str, ort.OrtValue],
        outputs: Sequence[TensorInfo],
        device: str,
        device_id: int,
    ) -> None:
        self.inputs = inputs
        self._native = native
        self._names = [info.name for info in outputs]
        self._outputs: list[ort.OrtValue] = []
        self._binding = native.io_binding()
        for name in self._names:
            self._binding.bind_output(name, device, device_id)
        self._bind_inputs()

    def fits(self, feeds: Feeds) -> bool:
        return all(tuple(value.shape()) == feeds[name].shape for name, value in self.inputs.items())

    def fill(self, feeds: Feeds) -> None:
        for name, value in self.inputs.items():
            value.update_inplace(np.ascontiguousarray(feeds[name]))
        self._bind_inputs()

    def run(self) -> None:
        try:
            if self._outputs:
                self._native.run_with_iobinding(self._binding)
            else:
                self._first_run()
            self._binding.synchronize_outputs()
        except Exception as error:  # the runtime raises its own types, which share no base below Exception
            raise GraphError(f"ONNX Runtime could not run the model: {first_line(error)}") from error

    def answers(self) -> list[np.ndarray]:
        """Copies in host memory: the next run overwrites the originals."""
        return [np.array(value.numpy()) for value in self._outputs]

    def _bind_inputs(self) -> None:
        """Bind again after each change: a provider with its own memory (OpenVINO) copies when it binds."""
        for name, value in self.inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        self._binding.synchronize_inputs()

    def _first_run(self) -> None:
        unrecorded = ort.RunOptions()
        unrecorded.add_run_config_entry(*UNRECORDED)
        with quiet():
            self._native.run_with_iobinding(self._binding, unrecorded)
        self._outputs = self._binding.get_outputs()
        for name, value in zip(self._names, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, value)


def _shapes(tensors: Feeds | Mapping[str, ort.OrtValue]) -> str:
    shapes = [tensor.shape if isinstance(tensor, np.ndarray) else tensor.shape() for tensor in tensors.values()]
    return ", ".join("x".join(map(str, shape)) for shape in shapes)
