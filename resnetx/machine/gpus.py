"""NVIDIA GPUs and their driver, from nvidia-smi, so that a failure of the driver stays in a separate process."""

import csv
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnetx.base.text import readable

QUERY = ("name", "driver_version", "memory.total", "compute_cap")
TIMEOUT_S = 20
NVIDIA = "0x10de"
# The library that comes with the driver.
DRIVER = "libcuda.so.1"
# The devices of a loaded driver, and of the GPU in WSL: some containers have these, but no PCI device.
DEVICE_FILES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))


@dataclass(frozen=True, kw_only=True)
class Gpu:
    name: str
    driver: str
    memory_mb: int | None
    compute_capability: str | None


def find_gpus(command: str = "nvidia-smi") -> tuple[Gpu, ...]:
    """The GPUs that the driver reports; none if there is no driver, or it does not respond."""
    program = shutil.which(command)
    if program is None:
        return ()
    try:
        answer = subprocess.run(
            [program, f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return read_answer(answer.stdout.decode(errors="replace")) if answer.returncode == 0 else ()


def read_answer(text: str) -> tuple[Gpu, ...]:
    """One GPU per line; lines of another form are ignored."""
    rows = [[readable(value.strip()) for value in row] for row in csv.reader(text.splitlines())]
    return tuple(
        Gpu(
            name=name,
            driver=driver,
            memory_mb=int(memory) if re.fullmatch("[0-9]{1,12}", memory) else None,
            compute_capability=capability if re.fullmatch(r"\d{1,3}\.\d{1,2}", capability) else None,
        )
        for name, driver, memory, capability in (row for row in rows if len(row) == len(QUERY))
    )


def has_nvidia_hardware(
    devices: Path = Path("/sys/bus/pci/devices"), files: Sequence[Path] = DEVICE_FILES
) -> bool | None:
    """Whether there is an NVIDIA device, with or without a driver; None if unknown."""
    if any(file.exists() for file in files):
        return True
    try:
        vendors = {(device / "vendor").read_text().strip() for device in devices.iterdir()}
    except OSError:
        return None
    return NVIDIA in vendors
