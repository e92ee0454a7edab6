"""Facts about the machine: processor, memory, system, GPUs and versions; nothing identifies its owner."""

import os
import platform
import re
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from resnetx.base.text import readable
from resnetx.machine.gpus import Gpu, find_gpus
from resnetx.machine.threads import allowed_cpus, cgroup_folders, cpu_quota, default_threads, physical_cores, read_text

# The instruction sets that affect the speed of a network, by their Linux names: x86 first, then Arm.
INSTRUCTION_SETS = (
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme"),
)
VENDORS = {
    "GenuineIntel": "Intel",
    "AuthenticAMD": "AMD",
    "HygonGenuine": "Hygon",
    "0x41": "Arm",
    "0x61": "Apple",
    "0xc0": "Ampere",
}
PACKAGES = (
    *(
        "resnetx",
        "torch",
        "onnx",
        "onnxruntime",
        "onnxruntime-gpu",
        "onnxruntime-openvino",
        "onnxruntime-ep-openvino",
        "openvino",
    ),
    *("tensorrt-cu13", "nvidia-cudnn-cu13", "nvidia-cudnn-frontend", "nvidia-cuda-runtime", "numpy", "onnxsim"),
)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """`cores` are the physical cores that this process may use, `cpus` the logical ones, `memory_mb` the memory.

    `governor` and `turbo` describe how the processors choose their frequency; `load_average` is the number of processes
    that were running or waiting in the last minute. None is unknown.
    """

    processor: str
    vendor: str
    architecture: str
    instruction_sets: tuple[str, ...]
    cores: int
    cpus: int
    cpu_quota: float | None
    default_threads: int
    memory_mb: int | None
    system: str
    kernel: str
    python: str
    governor: str | None = None
    turbo: bool | None = None
    load_average: float | None = None
    gpus: tuple[Gpu, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_machine() -> Machine:
    """The machine as far as this process may use it; loads no library."""
    cpus = allowed_cpus()
    processor = read_processor()
    return Machine(
        processor=processor.name,
        vendor=processor.vendor,
        architecture=platform.machine(),
        instruction_sets=processor.instruction_sets,
        cores=physical_cores(cpus),
        cpus=len(cpus),
        cpu_quota=cpu_quota(),
        default_threads=default_threads(),
        memory_mb=usable_memory_mb(),
        system=_system(),
        kernel=readable(f"{platform.system()} {platform.release()}"),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        governor=read_governor(cpus),
        turbo=read_turbo(),
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        gpus=find_gpus(),
        versions=installed_versions(),
    )


@dataclass(frozen=True, kw_only=True)
class Processor:
    name: str
    vendor: str
    instruction_sets: tuple[str, ...]


def read_processor(source: Path = Path("/proc/cpuinfo")) -> Processor:
    """The first processor that the kernel lists; the others of a machine differ at most in speed."""
    text = read_text(source) or ""
    fields = dict(reversed(re.findall(r"^([\w ]+?)[ \t]*:[ \t]*(.*?)[ \t]*$", text, re.MULTILINE)))
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    vendor = fields.get("vendor_id") or fields.get("CPU implementer") or ""
    return Processor(
        name=readable(fields.get("model name") or platform.processor() or platform.machine()) or "unknown",
        vendor=VENDORS.get(vendor, readable(vendor)) or ("Apple" if platform.system() == "Darwin" else "unknown"),
        instruction_sets=tuple(name for name in INSTRUCTION_SETS if name in flags),
    )


def read_governor(cpus: frozenset[int], folder: Path = Path("/sys/devices/system/cpu")) -> str | None:
    """How the kernel chooses the frequency of these processors; several names where they differ."""
    names = {read_text(folder / f"cpu{cpu}" / "cpufreq" / "scaling_governor") for cpu in cpus}
    return readable(", ".join(sorted(name for name in names if name))) or None


def read_turbo(folder: Path = Path("/sys/devices/system/cpu")) -> bool | None:
    """Whether the processors may run faster than their nominal frequency."""
    switches = ((folder / "intel_pstate" / "no_turbo", "0"), (folder / "cpufreq" / "boost", "1"))
    known = [(read_text(file), on) for file, on in switches]
    return next((text == on for text, on in known if text in ("0", "1")), None)


def usable_memory_mb(
    meminfo: Path = Path("/proc/meminfo"),
    membership: Path = Path("/proc/self/cgroup"),
    root: Path = Path("/sys/fs/cgroup"),
) -> int | None:
    """The memory of the machine, or the tightest limit of this process's cgroups below it; None if unknown."""
    unified, separate = cgroup_folders("memory", membership, root)
    files = [folder / "memory.max" for folder in unified] + [folder / "memory.limit_in_bytes" for folder in separate]
    limits = [_whole(read_text(file)) for file in files]
    # Zero bytes means unknown; without a limit, v1 writes a number beyond the memory of any machine.
    known = [limit for limit in (_total(meminfo), *limits) if limit]
    return min(known) // 2**20 if known else None


def installed_versions() -> dict[str, str]:
    """The versions of the packages that affect results, from their metadata; nothing is imported."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = readable(metadata.version(name))
        except (metadata.PackageNotFoundError, TypeError, KeyError):  # the latter two from damaged metadata
            continue
    return versions


def _total(meminfo: Path) -> int | None:
    found = re.search(r"^MemTotal:\s+(\d{1,18}) kB", read_text(meminfo) or "", re.MULTILINE)
    if found:
        return int(found[1]) * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch("[0-9]{1,20}", text) else None


def _system() -> str:
    try:
        return readable(platform.freedesktop_os_release()["PRETTY_NAME"])
    except (OSError, KeyError, AttributeError):
        mac = platform.mac_ver()[0]
        return f"macOS {mac}" if mac else readable(f"{platform.system()} {platform.version()}")
