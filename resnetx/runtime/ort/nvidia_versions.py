"""CUDA, cuDNN and TensorRT: the versions that this build of ONNX Runtime requires, and those that load here."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

from resnetx.machine.gpus import DRIVER
from resnetx.runtime.ort.nvidia_providers import CUDNN
from resnetx.runtime.ort.shared_libraries import missing_libraries, needed_libraries, runtime_folder


@dataclass(frozen=True, kw_only=True)
class Component:
    """`wanted` is the part of the version that must match; `found` is None if the library does not load."""

    name: str
    library: str
    wanted: str
    found: str | None

    @property
    def fits(self) -> bool:
        if self.found is None:
            return False
        found, wanted = _major(self.found), _major(self.wanted)
        # A driver supports its own version of CUDA and all earlier ones.
        return found >= wanted if self.library == DRIVER else found == wanted


def read_components() -> tuple[Component, ...]:
    """Load the libraries, and return the required and found versions; empty if the build has neither provider."""
    cuda, tensorrt = (runtime_folder() / f"libonnxruntime_providers_{name}.so" for name in ("cuda", "tensorrt"))
    needed = {*needed_libraries(cuda), *needed_libraries(tensorrt)}
    if not needed:
        return ()
    missing_libraries(cuda)  # loads NVIDIA's wheels, so that their libraries are found by name
    toolkit, tensorrt_name = _needed_name("libcudart.so", needed), _needed_name("libnvinfer.so", needed)
    rows = (
        ("driver's CUDA", DRIVER, toolkit, _pointed("cuDriverGetVersion", _thousands)),
        ("CUDA runtime", toolkit, toolkit, _pointed("cudaRuntimeGetVersion", _thousands)),
        ("cuDNN", CUDNN, CUDNN, _returned("cudnnGetVersion", _ten_thousands)),
        ("TensorRT", tensorrt_name, tensorrt_name, _returned("getInferLibVersion", _ten_thousands)),
    )
    return tuple(
        Component(name=name, library=library, wanted=source.rpartition(".so.")[2], found=_ask(library, ask))
        for name, library, source, ask in rows
        if library and source
    )


Ask = Callable[[ctypes.CDLL], str | None]


def _needed_name(start: str, needed: set[str]) -> str | None:
    """`libnvinfer.so.10` for `libnvinfer.so`: the provider is linked with the versioned name."""
    return next((name for name in sorted(needed) if name.startswith(f"{start}.")), None)


def _ask(library: str, ask: Ask) -> str | None:
    try:
        return ask(ctypes.CDLL(library))
    except (OSError, AttributeError):
        return None


def _pointed(function: str, version: Callable[[int], str]) -> Ask:
    """For a function that writes the version to its pointer argument, and returns zero."""

    def ask(library: ctypes.CDLL) -> str | None:
        number = ctypes.c_int()
        return version(number.value) if library[function](ctypes.byref(number)) == 0 else None

    return ask


def _returned(function: str, version: Callable[[int], str]) -> Ask:
    def ask(library: ctypes.CDLL) -> str | None:
        entry = library[function]
        entry.restype = ctypes.c_size_t if function.startswith("cudnn") else ctypes.c_int
        return version(int(entry()))

    return ask


def _thousands(number: int) -> str:
    """13000 is CUDA 13.0."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _ten_thousands(number: int) -> str:
    """91301 is cuDNN 9.13.1; TensorRT counts the same way since version 10."""
    return f"{number // 10000}.{number % 10000 // 100}.{number % 100}"


def _major(version: str) -> int:
    return int(version.partition(".")[0])
