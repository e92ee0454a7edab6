"""What NVIDIA's management library says of the GPU at work: memory and energy. Absent, it says nothing."""

import ctypes
import os
from collections.abc import Callable
from typing import Any

from resnetx.machine.gpus import DRIVER

MB = 2**20


class GpuMeter:
    """One GPU; each figure is None where this driver or this GPU does not give it."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def own_mb(self) -> float | None:
        """The memory of this process. In a container the driver may know it by another number, and then not at all."""
        processes = self._asked("nvmlDeviceGetComputeRunningProcesses") or ()
        used = [process.usedGpuMemory for process in processes if process.pid == os.getpid()]
        return used[0] / MB if used and used[0] else None

    def used_mb(self) -> float | None:
        """The memory of all processes together."""
        memory = self._asked("nvmlDeviceGetMemoryInfo")
        return None if memory is None else float(memory.used) / MB

    def energy_j(self) -> float | None:
        """Since the driver was loaded."""
        millijoules = self._asked("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else float(millijoules) / 1e3

    def _asked(self, function: str) -> Any | None:
        try:
            return getattr(self._nvml, function)(self._handle)
        except (self._nvml.NVMLError, AttributeError):
            return None


class GpuMemory:
    """The most GPU memory that this process held: as the driver counts it, or by what was taken while it worked.

    The latter is right where the process is the only one at work, as a case of a benchmark is in its turn.
    """

    def __init__(self, meter: GpuMeter) -> None:
        self._meter = meter
        self._taken = 0.0
        self.peak_mb: float | None = None
        self.counted = True

    def watch(self) -> Callable[[], None]:
        """Look now; the function that returns looks again, when the work is done."""
        before = self._meter.used_mb()

        def stop() -> None:
            own, after = self._meter.own_mb(), self._meter.used_mb()
            if own is None and before is not None and after is not None:
                self._taken += after - before
                own, self.counted = self._taken, False
            if own is not None:
                self.peak_mb = max(own, self.peak_mb or 0.0)

        return stop


def open_meter(device: int = 0) -> GpuMeter | None:
    """The GPU that CUDA calls by this number; None without NVIDIA's library, its Python package, or the GPU."""
    address = pci_address(device)
    if address is None:
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return GpuMeter(pynvml, pynvml.nvmlDeviceGetHandleByPciBusId(address))
    except pynvml.NVMLError:
        return None


def pci_address(device: int, library: str = DRIVER) -> str | None:
    """Where a GPU is plugged in: CUDA numbers those that it may see, fastest first, and the management library all."""
    try:
        cuda = ctypes.CDLL(library)
        number, address = ctypes.c_int(), ctypes.create_string_buffer(64)
        failed = (
            cuda.cuInit(0)
            or cuda.cuDeviceGet(ctypes.byref(number), device)
            or cuda.cuDeviceGetPCIBusId(address, len(address), number)
        )
    except (OSError, AttributeError):
        return None
    return None if failed else address.value.decode(errors="replace")
