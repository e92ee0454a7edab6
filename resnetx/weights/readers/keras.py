"""Reads Keras files (.keras, .weights.h5, legacy .h5) without Keras, in a process with limits."""

from collections.abc import Sequence
from pathlib import Path

from resnetx.base.isolation import PYTHON
from resnetx.base.private_folder import private_folder
from resnetx.errors import FileError
from resnetx.weights.keras_files.index import KerasIndex
from resnetx.weights.readers.indexed import NO_FOLDER, ask_reader, read_indexed
from resnetx.weights.readers.raw import RawCheckpoint

CHILD: tuple[str, ...] = (*PYTHON, "resnetx.weights.keras_files.worker")
TIMEOUT_S = 120.0
MEMORY_BASE_MB = 512
MEMORY_TIMES_SIZE = 3


def is_keras_archive(names: Sequence[str]) -> bool:
    return "config.json" in names and any(name.startswith("model.weights.") for name in names)


def read_keras_archive(path: Path) -> RawCheckpoint:
    """The layers of a .keras archive."""
    return _read(path, zipped=True)


def read_keras_h5(path: Path) -> RawCheckpoint:
    """The layers of an HDF5 file in the format of Keras 3 or the legacy format."""
    return _read(path, zipped=False)


def _read(path: Path, *, zipped: bool) -> RawCheckpoint:
    memory_mb = MEMORY_BASE_MB + MEMORY_TIMES_SIZE * path.stat().st_size // 2**20
    try:
        with private_folder("keras") as folder:
            target = folder / "tensors.bin"
            request = {"path": str(path.absolute()), "target": str(target), "zipped": zipped}
            found = ask_reader(CHILD, request, KerasIndex, folder, timeout_s=TIMEOUT_S, memory_mb=memory_mb)
            tensors = read_indexed(target, found.index)
    except OSError as error:
        raise FileError(NO_FOLDER.format(error.strerror or error)) from error
    return RawCheckpoint(tensors=tensors, bn_eps=found.bn_eps, variant=found.variant)
