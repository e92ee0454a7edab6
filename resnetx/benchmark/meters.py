"""Meters of a case: memory, GPU memory, energy, and the processor time of other programs."""

from collections.abc import Callable, Mapping

from resnetx.base.vocabulary import AUTO
from resnetx.benchmark.messages import Usage
from resnetx.benchmark.stopwatch import peak_memory_mb
from resnetx.machine.cpu_contention import watch_processors
from resnetx.machine.energy import watch_power
from resnetx.machine.gpu_meter import GpuMemory, open_meter
from resnetx.runtime.catalog import runs_on_gpu
from resnetx.runtime.runner import Runner

# Where the driver does not count the memory of the case's process.
TAKEN_WORDS = "GPU memory is the decrease of the GPU's free memory, because the driver does not list this process."


class Meters:
    """Opened before the case, to include the memory of its session; the GPU's meter is kept if the case runs there."""

    def __init__(self, provider: str, options: Mapping[str, str]) -> None:
        device = options.get("device_id", "0")
        wanted = provider == AUTO or runs_on_gpu(provider, options)
        self._gpu = open_meter(int(device) if device.isdecimal() else 0) if wanted else None
        self._memory = None if self._gpu is None else GpuMemory(self._gpu)
        self._opened = None if self._memory is None else self._memory.watch()

    def settle(self, runner: Runner) -> None:
        """To be called when the case is open and warmed up."""
        if self._opened:
            self._opened()
        if not runs_on_gpu(runner.provider, runner.options) or runner.fallback:
            self._gpu = self._memory = None

    def watch(self) -> Callable[[float], Usage]:
        """Read the meters; the returned function reads them again. It takes the number of seconds that were timed."""
        disturbance, power = watch_processors(), watch_power(self._gpu)
        memory = self._memory
        taken = None if memory is None else memory.watch()

        def stop(timed_s: float) -> Usage:
            energy_j = power(timed_s)
            if taken:
                taken()
            return Usage(
                peak_memory_mb=peak_memory_mb(),
                gpu_memory_mb=None if memory is None else memory.peak_mb,
                notes=[] if memory is None or memory.counted else [TAKEN_WORDS],
                energy_j=energy_j,
                disturbance=disturbance(),
            )

        return stop
