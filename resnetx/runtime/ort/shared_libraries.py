"""Shared libraries: which ones a library needs, which of those cannot be loaded, and where wheels install them."""

import contextlib
import ctypes
import importlib.util
import io
import mmap
import struct
import warnings
from functools import cache
from pathlib import Path

DYNAMIC_SEGMENT, NEEDED, STRING_TABLE, LOAD_SEGMENT = 2, 1, 5, 1


def runtime_folder() -> Path:
    """The folder of ONNX Runtime's own libraries."""
    found = importlib.util.find_spec("onnxruntime")
    return Path(found.origin if found and found.origin else "onnxruntime/__init__.py").parent / "capi"


def provider_library(name: str) -> Path | None:
    """The library file of a provider, if it has one of its own."""
    path = runtime_folder() / f"libonnxruntime_providers_{name}.so"
    return path if path.is_file() else None


def missing_libraries(library: Path, also: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The libraries that `library` was linked against, and those in `also`, that cannot be loaded here."""
    _load_from_wheels()
    return tuple(name for name in (*needed_libraries(library), *also) if not _loads(name))


def needed_libraries(library: Path) -> tuple[str, ...]:
    """The DT_NEEDED entries of a 64-bit ELF library; empty for another format or a damaged one."""
    try:
        with library.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _needed(data) if data[:6] == b"\x7fELF\x02\x01" else ()
    except (OSError, ValueError, struct.error, IndexError):
        return ()


def _needed(data: mmap.mmap) -> tuple[str, ...]:
    offset, entry_size, entries = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", data, offset + entry_size * index) for index in range(entries)]
    start, size = next((segment[2], segment[5]) for segment in segments if segment[0] == DYNAMIC_SEGMENT)
    tags = [struct.unpack_from("<qQ", data, position) for position in range(start, start + size, 16)]
    address = next(value for tag, value in tags if tag == STRING_TABLE)
    # The table's address is one in memory; the segment that is loaded there gives its offset in the file.
    table = next(
        address - segment[3] + segment[2]
        for segment in segments
        if segment[0] == LOAD_SEGMENT and segment[3] <= address < segment[3] + segment[5]
    )
    names = [table + value for tag, value in tags if tag == NEEDED]
    return tuple(data[position : data.find(b"\0", position)].decode() for position in names)


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


@cache
def _load_from_wheels() -> None:
    """Load CUDA, cuDNN and TensorRT from NVIDIA's wheels, which are not on the system's search path."""
    from resnetx.runtime.ort.library import ort

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
        ort.preload_dlls()
    found = importlib.util.find_spec("tensorrt_libs")
    for folder in (found and found.submodule_search_locations) or ():
        for name in ("libnvinfer.so.10", "libnvonnxparser.so.10"):
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(Path(folder) / name))
