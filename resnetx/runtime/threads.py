"""How many threads to use: what this process may run on, not what the host has."""

import os
from pathlib import Path

# More threads than this lose more to waiting for each other than a single image gives them to do.
MAX_DEFAULT_THREADS = 64


def default_threads() -> int:
    """One thread for each physical core that affinity allows, within the cgroup's quota."""
    cores = physical_cores(allowed_cpus())
    quota = cpu_quota()
    # Rounded down: a thread more than the quota makes the kernel stop all of them for the rest of each period.
    limit = cores if quota is None else max(1, int(quota))
    return min(cores, limit, MAX_DEFAULT_THREADS)


def allowed_cpus() -> frozenset[int]:
    """The logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def physical_cores(cpus: frozenset[int], topology: Path = Path("/sys/devices/system/cpu")) -> int:
    """How many cores `cpus` belong to: two hyperthreads of one core share the units that multiply."""
    cores = {_read(topology / f"cpu{cpu}" / "topology" / "thread_siblings_list") or str(cpu) for cpu in cpus}
    return max(1, len(cores))


def cpu_quota(membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The tightest CPU limit, in processors, of this process's cgroup and those above it; None without a limit."""
    limits = []
    for line in (_read(membership) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            limits += [_quota_v2(folder) for mount in ("", "unified") for folder in _upwards(root / mount, path)]
        elif "cpu" in controllers.split(","):
            limits += [_quota_v1(folder) for mount in ("cpu", controllers) for folder in _upwards(root / mount, path)]
    return min((limit for limit in limits if limit is not None), default=None)


def _upwards(mount: Path, path: str) -> list[Path]:
    """The folders from `path` up to the mount. In a container the path may be the host's: the mount itself counts."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]


def _quota_v2(folder: Path) -> float | None:
    fields = (_read(folder / "cpu.max") or "").split()
    return _ratio(fields[0], fields[1]) if len(fields) == 2 else None


def _quota_v1(folder: Path) -> float | None:
    return _ratio(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _ratio(quota: str | None, period: str | None) -> float | None:
    """None for no limit, which v2 writes as `max` and v1 as -1."""
    try:
        limit = int(quota or "") / int(period or "")
    except (ValueError, ZeroDivisionError):
        return None
    return limit if limit > 0 else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
