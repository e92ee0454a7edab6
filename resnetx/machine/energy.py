"""Energy used during a measurement: by the processor packages (RAPL), and by the GPU if it is used."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from resnetx.machine.threads import read_text

POWERCAP = Path("/sys/class/powercap")
PROCESSOR, GPU = "processor", "GPU"


class EnergyMeter(Protocol):
    """Joules since an arbitrary time; implemented by `machine.gpu_meter.GpuMeter`."""

    def energy_j(self) -> float | None: ...


def watch_energy(gpu: EnergyMeter | None, powercap: Path = POWERCAP) -> Callable[[], dict[str, float]]:
    """Read the counters; the returned function reads them again and returns the joules between, by readable counter.

    Both meters count a whole package or GPU, including other processes.
    """
    packages = read_packages(powercap)
    before = None if gpu is None else gpu.energy_j()

    def stop() -> dict[str, float]:
        found = {}
        later = read_packages(powercap)
        if packages and later.keys() == packages.keys():
            found[PROCESSOR] = sum(packages[name].joules_until(later[name]) for name in packages)
        after = None if gpu is None else gpu.energy_j()
        if before is not None and after is not None and after >= before:
            found[GPU] = after - before
        return found

    return stop


def watch_power(gpu: EnergyMeter | None, powercap: Path = POWERCAP) -> Callable[[float], dict[str, float]]:
    """Like `watch_energy`, scaled to the timed part of the period: the rest was the same work, untimed."""
    begin, stop = time.perf_counter(), watch_energy(gpu, powercap)

    def share(timed_s: float) -> dict[str, float]:
        wall_s = time.perf_counter() - begin
        return {name: joules * timed_s / wall_s for name, joules in stop().items()} if wall_s > 0 else {}

    return share


def total_energy(rounds: Sequence[Mapping[str, float]]) -> tuple[float | None, str | None]:
    """The joules of all rounds and their devices: those whose counters could be read in every round."""
    shared = set.intersection(*map(set, rounds)) if rounds else set()
    names = [name for name in (PROCESSOR, GPU) if name in shared]
    if not names:
        return None, None
    return sum(each[name] for each in rounds for name in names), " and ".join(names)


class Package:
    """The counter of one processor package, which wraps to zero at the end of its range."""

    def __init__(self, microjoules: int, highest: int) -> None:
        self._microjoules = microjoules
        self._highest = highest

    def joules_until(self, later: "Package") -> float:
        spent = later._microjoules - self._microjoules
        return (spent if spent >= 0 else spent + self._highest) / 1e6


def read_packages(powercap: Path = POWERCAP) -> dict[str, Package]:
    """Every package; empty if the kernel has none, or if only the administrator may read one of them."""
    packages = {}
    # A package's parts (intel-rapl:0:0) and the platform (psys) count the same energy again.
    for folder in sorted(powercap.glob("intel-rapl:*")):
        if not (read_text(folder / "name") or "").startswith("package"):
            continue
        texts = [read_text(folder / name) or "" for name in ("energy_uj", "max_energy_range_uj")]
        if not all(text.isascii() and text.isdigit() for text in texts):
            return {}
        packages[folder.name] = Package(*map(int, texts))
    return packages
