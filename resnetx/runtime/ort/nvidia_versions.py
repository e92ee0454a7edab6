"""CUDA, cuDNN and TensorRT: the versions that this build of ONNX Runtime was made for, and those that load here."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

from resnetx.machine.gpus import DRIVER
from resnetx.runtime.ort.nvidia_providers import CUDNN
from resnetx.runtime.ort.shared_libraries import missing_libraries, needed_libraries, runtime_folder


@dataclass(frozen=True, kw_only=True)
class Component:
    """`wanted` is as much of the version as must agree; `found` is None where it does not load."""

    name: str
    library: str
    wanted: str
    found: str | None

    @property
    def fits(self) -> bool:
        if self.found is None:
            return False
        found, wanted = _major(self.found), _major(self.wanted)
        # A driver runs programs of its own version of CUDA and of all earlier ones.
        return found >= wanted if self.library == DRIVER else found == wanted


def read_components() -> tuple[Component, ...]:
    """What the installed providers want and get; empty where the build has none of them. Loads the libraries."""
    cuda, tensorrt = (runtime_folder() / f"libonnxruntime_providers_{name}.so" for name in ("cuda", "tensorrt"))
    needed = {*needed_libraries(cuda), *needed_libraries(tensorrt)}
    if not needed:
        return ()
    missing_libraries(cuda)  # for what it does besides: NVIDIA's wheels are loaded, and found by name from here on
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
    """`libnvinfer.so.10` for `libnvinfer.so`: the provider's own wish tells the version."""
    return next((name for name in sorted(needed) if name.startswith(f"{start}.")), None)


def _ask(library: str, ask: Ask) -> str | None:
    try:
        return ask(ctypes.CDLL(library))
    except (OSError, AttributeError):
        return None


def _pointed(function: str, version: Callable[[int], str]) -> Ask:
    """A function that writes the version to where its argument points, and returns zero."""

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
