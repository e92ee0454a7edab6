"""Reads files of `torch.save` without running any code in them.

The pickle in the file is read by another process with limits, which answers where the tensors lie. Here their bytes
are read from the file, once.
"""

from collections.abc import Sequence
from pathlib import Path

from resnetx.base.isolation import PYTHON
from resnetx.base.private_folder import private_folder
from resnetx.errors import FileError
from resnetx.weights.pickles.index import Index
from resnetx.weights.readers.indexed import NO_FOLDER, ask_reader, read_indexed
from resnetx.weights.readers.raw import RawCheckpoint

CHILD: tuple[str, ...] = (*PYTHON, "resnetx.weights.pickles.worker")
# The pickle of a ResNet-152 with its optimizer takes some 20 MB and a tenth of a second.
MEMORY_MB = 512
TIMEOUT_S = 30.0


def is_torch_archive(names: Sequence[str]) -> bool:
    return any(name == "data.pkl" or name.endswith("/data.pkl") for name in names)


def read_archive(path: Path) -> RawCheckpoint:
    """The state dict in a zip archive of `torch.save`."""
    return _read(path, legacy=False)


def read_legacy(path: Path) -> RawCheckpoint:
    """The state dict in a file of PyTorch before 1.6: five pickles, then the tensor data."""
    return _read(path, legacy=True)


def _read(path: Path, *, legacy: bool) -> RawCheckpoint:
    index = _index(path, legacy=legacy)
    return RawCheckpoint(tensors=read_indexed(path, index), assumed=tuple(index.assumed))


def _index(path: Path, *, legacy: bool) -> Index:
    request = {"path": str(path.absolute()), "legacy": legacy}
    try:
        with private_folder("pickle") as folder:
            return ask_reader(CHILD, request, Index, folder, timeout_s=TIMEOUT_S, memory_mb=MEMORY_MB)
    except OSError as error:
        raise FileError(NO_FOLDER.format(error.strerror or error)) from error
