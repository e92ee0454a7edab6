"""Tensors whose places another process has found, read from their file; what that process answers is checked."""

import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from resnetx.base.isolation import neutral_environment
from resnetx.base.worker_process import Child, ChildError
from resnetx.errors import CheckpointError
from resnetx.weights.pickles.index import DTYPES, Index, Storage, StoredTensor
from resnetx.weights.untrusted import MAX_BYTES, clip

T = TypeVar("T")
# Tensors may share storages (tied weights), but a few bytes may not become many tensors.
MOST_SHARING = 4
DAMAGED = "its tensors declare more bytes than the file contains: it is damaged or malicious."
NO_FOLDER = (
    "Checkpoints are read in a process with a temporary folder, which could not be used: {}. Free some space, or set "
    "TMPDIR to a writable folder."
)


def ask_reader(
    command: Sequence[str], request: Mapping[str, Any], kind: type[T], folder: Path, *, timeout_s: float, memory_mb: int
) -> T:
    """What a process that reads a hostile file answers; whatever becomes of it is a CheckpointError."""
    child = Child(command, folder=folder, environment=neutral_environment(folder), memory_mb=memory_mb)
    try:
        return child.ask(request, kind, timeout_s=timeout_s)
    except ChildError as error:
        if error.deliberate:
            raise CheckpointError(str(error)) from error
        raise CheckpointError(
            f"reading it failed in the process that does it ({clip(error, 200)}): the file is damaged, or malicious; "
            "fetch it again from where you trust it."
        ) from error
    finally:
        child.close()


def read_indexed(path: Path, index: Index) -> dict[str, Tensor]:
    """The tensors, each storage read once."""
    check_index(index)
    try:
        with path.open("rb") as file:
            storages = [_read_storage(file, storage) for storage in index.storages]
    except (OSError, zlib.error) as error:
        raise CheckpointError(
            f"its tensors cannot be read ({clip(error, 200)}): it is truncated or damaged; fetch or save it again."
        ) from error
    return {each.name: _tensor(each, storages[each.storage], big=index.big_endian) for each in index.tensors}


def check_index(index: Index) -> None:
    """Whatever reads the pickle may be wrong: every tensor lies within its storage, and no two elements are one."""
    total = stored = 0
    for storage in index.storages:
        if min(storage.start, storage.size, storage.packed or 0) < 0:
            raise CheckpointError(DAMAGED)
        stored += storage.size
    for tensor in index.tensors:
        if not 0 <= tensor.storage < len(index.storages) or len(tensor.shape) != len(tensor.stride):
            raise CheckpointError(DAMAGED)
        if min((tensor.offset, *tensor.shape, *tensor.stride)) < 0:
            raise CheckpointError(DAMAGED)
        size = DTYPES[tensor.dtype]
        held = index.storages[tensor.storage].size // size
        count = math.prod(tensor.shape)
        dimensions = [each for each in zip(tensor.stride, tensor.shape, strict=True) if each[1] > 1]
        last = tensor.offset + sum(stride * (length - 1) for stride, length in dimensions)
        if tensor.offset > held or (count and last >= held) or count > held:
            raise CheckpointError(DAMAGED)
        reach = 0
        for stride, length in sorted(dimensions):
            if count and stride <= reach:
                raise CheckpointError(
                    f"the elements of {clip(tensor.name)} overlap (shape {tensor.shape}, strides {tensor.stride}): a "
                    "few bytes can declare many. If you trust the file, save it again with contiguous tensors."
                )
            reach += stride * (length - 1)
        total += count * size
    if total > min(MAX_BYTES, MOST_SHARING * stored) or stored > MAX_BYTES:
        raise CheckpointError(DAMAGED)


def _read_storage(file: IO[bytes], storage: Storage) -> np.ndarray:
    """The bytes of a storage. A stored one is read into its place; a deflated one is unpacked up to its size."""
    file.seek(storage.start)
    data = np.empty(storage.size, np.uint8)
    if storage.packed is None:
        done = file.readinto(data.data)  # type: ignore[attr-defined]  # files have it, their protocol does not
    else:
        unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(storage.packed), storage.size)
        done = len(unpacked)
        data[:done] = np.frombuffer(unpacked, np.uint8)
    if done != storage.size:
        raise CheckpointError(DAMAGED)
    return data


def _tensor(stored: StoredTensor, data: np.ndarray, *, big: bool) -> Tensor:
    size = DTYPES[stored.dtype]
    whole = data[: len(data) // size * size]
    if big and size > 1:
        whole = whole.view(f"u{size}").byteswap().view(np.uint8)
    dtype = getattr(torch, stored.dtype)
    values = torch.from_numpy(whole).view(dtype) if len(whole) else torch.empty(0, dtype=dtype)
    return values.as_strided(stored.shape, stored.stride, stored.offset)
