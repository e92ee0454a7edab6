"""A session whose inputs and outputs stay on the device that computes: no copy over the bus, and none in memory."""

from collections.abc import Callable, Mapping

import numpy as np
import onnxruntime as ort

from resnetx.errors import GraphError
from resnetx.runtime.opening import first_line
from resnetx.runtime.session import Session

DEVICES = {"cuda": "cuda", "tensorrt": "cuda"}


class DeviceSession:
    """A session, run through bound buffers; `run` goes the same way, and carries the arrays there and back."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.provider = session.provider
        self.effective_precision = session.effective_precision
        self.placement = session.placement
        self.options = session.options
        self.inputs = session.inputs
        self.outputs = session.outputs
        self.device = DEVICES.get(session.provider, "cpu")

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        binding = self._binding(feeds)
        self._run(binding)
        arrays = binding.copy_outputs_to_cpu()
        return {info.name: np.array(array) for info, array in zip(self.outputs, arrays, strict=True)}

    def bind(self, feeds: Mapping[str, np.ndarray]) -> Callable[[], object]:
        """A run over these inputs, which are carried to the device now."""
        binding = self._binding(feeds)
        return lambda: self._run(binding)

    def _binding(self, feeds: Mapping[str, np.ndarray]) -> ort.IOBinding:
        binding = self.session.native.io_binding()
        for info in self.inputs:
            array = np.ascontiguousarray(feeds[info.name])
            binding.bind_ortvalue_input(info.name, ort.OrtValue.ortvalue_from_numpy(array, self.device, 0))
        for info in self.outputs:
            binding.bind_output(info.name, self.device)
        return binding

    def _run(self, binding: ort.IOBinding) -> None:
        try:
            self.session.native.run_with_iobinding(binding)
            binding.synchronize_outputs()
        except Exception as error:  # the runtime raises its own types, which share no base below Exception
            raise GraphError(f"ONNX Runtime could not run the model: {first_line(error)}") from error
