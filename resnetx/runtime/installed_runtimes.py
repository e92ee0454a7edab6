"""Installed packages that contain ONNX Runtime: two or more overwrite each other's files."""

import platform
import sys
from dataclasses import dataclass
from importlib import metadata

from resnetx.base.text import readable

MODULE_FILES = ("onnxruntime/__init__.py", "onnxruntime\\__init__.py")
# The dependencies in pyproject.toml, for platforms with and without wheels that have the GPU providers.
GPU_WHEEL, PLAIN_WHEEL = "onnxruntime-gpu", "onnxruntime"


@dataclass(frozen=True, kw_only=True)
class Wheel:
    name: str
    version: str


def runtime_wheels() -> tuple[Wheel, ...]:
    """All installed packages that contain the module `onnxruntime`, whatever their name."""
    found = {}
    for distribution in metadata.distributions():
        facts = distribution.metadata
        if "Name" not in facts or "Version" not in facts:
            continue  # left by an interrupted installation
        name = readable(facts["Name"]).lower().replace("_", "-")
        if name.startswith(("onnxruntime", "ort-")) and _brings_runtime(distribution):
            found[name] = Wheel(name=name, version=readable(facts["Version"]))
    return tuple(found[name] for name in sorted(found))


def right_wheel() -> str:
    """The package for this platform."""
    common = platform.machine().lower() in ("x86_64", "amd64") and sys.platform in ("linux", "win32")
    return GPU_WHEEL if common else PLAIN_WHEEL


def _brings_runtime(distribution: metadata.Distribution) -> bool:
    return any(str(file) in MODULE_FILES for file in distribution.files or ())
