"""Memory and energy of the GPU from NVIDIA's management library (NVML), if it is installed."""

import ctypes
import os
from collections.abc import Callable
from typing import Any

from resnetx.machine.gpus import DRIVER

MB = 2**20


class GpuMeter:
    """One GPU; each value is None if the driver or the GPU does not provide it."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._handle = handle

    def own_mb(self) -> float | None:
        """The memory of this process; None if its process ID differs from the driver's, as in some containers."""
        processes = self._query("nvmlDeviceGetComputeRunningProcesses") or ()
        used = [process.usedGpuMemory for process in processes if process.pid == os.getpid()]
        return used[0] / MB if used and used[0] else None

    def used_mb(self) -> float | None:
        """The memory of all processes together."""
        memory = self._query("nvmlDeviceGetMemoryInfo")
        return None if memory is None else float(memory.used) / MB

    def energy_j(self) -> float | None:
        """Since the driver was loaded."""
        millijoules = self._query("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else float(millijoules) / 1e3

    def _query(self, function: str) -> Any | None:
        try:
            return getattr(self._nvml, function)(self._handle)
        except (self._nvml.NVMLError, AttributeError):
            return None


class GpuMemory:
    """The peak GPU memory of this process: as counted by the driver, or else the increase of the total while it ran.

    The increase is correct if no other process uses the GPU meanwhile, as during a benchmark case.
    """

    def __init__(self, meter: GpuMeter) -> None:
        self._meter = meter
        self._taken = 0.0
        self.peak_mb: float | None = None
        self.counted = True

    def watch(self) -> Callable[[], None]:
        """Read the memory; the returned function reads it again, when the work is done."""
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
    """The GPU with this CUDA index; None without NVIDIA's library, its Python package, or the GPU."""
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
    """The PCI address of a GPU: CUDA numbers the visible GPUs, fastest first, but NVML numbers all."""
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
