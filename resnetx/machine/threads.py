"""The number of threads to use, from the processors that this process may use, not those of the host."""

import os
from pathlib import Path

# With more threads, synchronization takes more time than they save on a single image.
MAX_DEFAULT_THREADS = 64
MAX_THREADS = 1024


def default_threads() -> int:
    """One thread for each physical core that affinity allows, within the cgroup's quota."""
    cores = physical_cores(allowed_cpus())
    quota = cpu_quota()
    # Rounded down: with one thread more than the quota, the kernel throttles all of them for the rest of each period.
    limit = cores if quota is None else max(1, int(quota))
    return min(cores, limit, MAX_DEFAULT_THREADS)


def allowed_cpus() -> frozenset[int]:
    """The logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def physical_cores(cpus: frozenset[int], topology: Path = Path("/sys/devices/system/cpu")) -> int:
    """The number of cores that `cpus` belong to: two hyperthreads of one core share its arithmetic units."""
    cores = {read_text(topology / f"cpu{cpu}" / "topology" / "thread_siblings_list") or str(cpu) for cpu in cpus}
    return max(1, len(cores))


def cpu_quota(membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The tightest CPU limit, in processors, of this process's cgroup and those above it; None without a limit."""
    unified, separate = cgroup_folders("cpu", membership, root)
    limits = [*map(_quota_v2, unified), *map(_quota_v1, separate)]
    return min((limit for limit in limits if limit is not None), default=None)


def cgroup_folders(controller: str, membership: Path, root: Path) -> tuple[list[Path], list[Path]]:
    """The folders that may contain limits of this process: those of cgroup v2, and those of the controller in v1."""
    unified: list[Path] = []
    separate: list[Path] = []
    for line in (read_text(membership) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            unified += [folder for mount in ("", "unified") for folder in _upwards(root / mount, path)]
        elif controller in controllers.split(","):
            mounts = dict.fromkeys((controller, controllers))
            separate += [folder for mount in mounts for folder in _upwards(root / mount, path)]
    return unified, separate


def _upwards(mount: Path, path: str) -> list[Path]:
    """The folders from `path` up to the mount. In a container the path may be the host's: the mount itself counts."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    return [mount.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]


def _quota_v2(folder: Path) -> float | None:
    fields = (read_text(folder / "cpu.max") or "").split()
    return _ratio(fields[0], fields[1]) if len(fields) == 2 else None


def _quota_v1(folder: Path) -> float | None:
    return _ratio(read_text(folder / "cpu.cfs_quota_us"), read_text(folder / "cpu.cfs_period_us"))


def _ratio(quota: str | None, period: str | None) -> float | None:
    """None for no limit, which v2 writes as `max` and v1 as -1."""
    try:
        limit = int(quota or "") / int(period or "")
    except (ValueError, ZeroDivisionError):
        return None
    return limit if limit > 0 else None


def read_text(path: Path) -> str | None:
    """The content of a kernel file, or None if it cannot be read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
