"""Processor time of other programs, and time that the hypervisor took (steal), during a measurement."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resnetx.machine.threads import allowed_cpus

# The columns of /proc/stat, in hundredths of a second: user, nice, system, idle, iowait, irq, softirq, steal.
TICK_S = 0.01
BUSY, STEAL = (0, 1, 2, 5, 6), 7
MOST_OTHER, MOST_STEAL = 0.1, 0.02


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """Processor seconds of other programs and steal time, over `wall_s` seconds on `cpus` logical processors."""

    wall_s: float = 0.0
    other_s: float = 0.0
    steal_s: float = 0.0
    cpus: int = 1

    def warnings(self) -> list[str]:
        """A message for each value above its limit."""
        available = self.wall_s * self.cpus
        if not available:
            return []
        found = []
        if self.other_s > MOST_OTHER * available:
            used = self.other_s / self.wall_s
            found.append(f"Other programs used {used:.1f} of the {self.cpus} processors while it was timed.")
        if self.steal_s > MOST_STEAL * available:
            share = self.steal_s / available
            found.append(f"The hypervisor took away {share:.0%} of the processors' time while it was timed.")
        return found


def total(parts: Sequence[Disturbance]) -> Disturbance:
    return Disturbance(
        wall_s=sum(part.wall_s for part in parts),
        other_s=sum(part.other_s for part in parts),
        steal_s=sum(part.steal_s for part in parts),
        cpus=max((part.cpus for part in parts), default=1),
    )


def watch_processors(stat: Path = Path("/proc/stat")) -> Callable[[], Disturbance]:
    """Read the counters; the returned function reads them again and returns the difference."""
    cpus = allowed_cpus()
    wall, own, (busy, steal) = time.perf_counter(), time.process_time(), processor_seconds(stat, cpus)

    def stop() -> Disturbance:
        later_busy, later_steal = processor_seconds(stat, cpus)
        mine = time.process_time() - own
        return Disturbance(
            wall_s=time.perf_counter() - wall,
            other_s=max(0.0, later_busy - busy - mine),
            steal_s=max(0.0, later_steal - steal),
            cpus=len(cpus),
        )

    return stop


def processor_seconds(stat: Path, cpus: frozenset[int]) -> tuple[float, float]:
    """Busy and stolen seconds of these processors since the start; zeros if unknown."""
    busy = steal = 0.0
    with suppress(OSError, ValueError, IndexError):
        for line in stat.read_text().splitlines():
            name, *numbers = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cpus:
                busy += sum(int(numbers[place]) for place in BUSY) * TICK_S
                steal += int(numbers[STEAL]) * TICK_S
    return busy, steal
