"""Buffers in the memory that the provider reads and writes directly, for sessions whose shapes are all fixed.

A plugin provider declares which memory it uses. Arrays in other memory are copied in every run, to memory that is
allocated in every run, even if both are host memory, as for OpenVINO: 2 to 3 % of a ResNet-50 in bf16 with a batch
of 8. Here the memory is allocated once per thread, and inputs that were placed there before are not copied.
"""

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from resnetx.runtime.ort.library import ort
from resnetx.runtime.runner import Feeds, TensorInfo

HOST = (1, 0)  # DLPack's name for the host's memory


class HostBuffers:
    """Runs one session; each thread has its own buffers."""

    def __init__(
        self, native: ort.InferenceSession, inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo]
    ) -> None:
        self._native = native
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._reads = dict(zip((info.name for info in inputs), native.get_input_memory_infos(), strict=True))
        self._writes = dict(zip((info.name for info in outputs), native.get_output_memory_infos(), strict=True))
        self._known: dict[int, ort.OrtValue] = {}
        self._own = threading.local()

    def place(self, feeds: Feeds) -> dict[str, np.ndarray]:
        """Copies in memory that the provider reads, which is freed with the returned arrays."""
        return {info.name: self._placed(info, feeds[info.name]) for info in self._inputs}

    def fits(self, feeds: Feeds) -> bool:
        """Whether these can be used without a conversion; the runtime reports the errors of others."""
        arrays = [(info, feeds.get(info.name)) for info in self._inputs]
        return all(
            isinstance(array, np.ndarray)
            and array.flags.c_contiguous
            and array.dtype == info.dtype
            and array.shape == info.shape
            for info, array in arrays
        )

    def run(self, feeds: Feeds) -> dict[str, np.ndarray]:
        own = self._own
        if not hasattr(own, "binding"):
            own.binding = self._native.io_binding()
            own.inputs = {info.name: _allocated(info, self._reads[info.name]) for info in self._inputs}
            own.outputs = {info.name: _allocated(info, self._writes[info.name]) for info in self._outputs}
            for name, value in own.outputs.items():
                own.binding.bind_ortvalue_output(name, value)
        for name, value in own.inputs.items():
            known = self._known.get(feeds[name].ctypes.data)
            if known is None:
                value.update_inplace(feeds[name])
            own.binding.bind_ortvalue_input(name, known or value)
        self._native.run_with_iobinding(own.binding)
        # Copies: the next run overwrites the originals.
        return {name: np.array(value.numpy()) for name, value in own.outputs.items()}

    def _placed(self, info: TensorInfo, array: np.ndarray) -> np.ndarray:
        value = _allocated(info, self._reads[info.name])
        value.update_inplace(np.ascontiguousarray(array))
        shown: np.ndarray = np.from_dlpack(_OnHost(value))
        address = shown.ctypes.data
        self._known[address] = value
        weakref.finalize(shown, self._known.pop, address)
        return shown


class _OnHost:
    """Lets NumPy view a value of the runtime without a copy, whatever device type the runtime reports."""

    def __init__(self, value: ort.OrtValue) -> None:
        self._value = value

    def __dlpack__(self, **_: object) -> Any:
        return self._value.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return HOST


def _allocated(info: TensorInfo, memory: Any) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_shape_and_type(list(info.shape), info.dtype.type, memory_info=memory)
