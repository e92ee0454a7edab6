"""Reads untrusted HDF5 files: only groups and plain floating-point datasets are accepted."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from resnetx.errors import CheckpointError
from resnetx.weights.untrusted import MAX_BYTES, clip

MAX_NESTING = 16
# ResNet-152 has some 2,000 groups and datasets in a Keras file.
MAX_OBJECTS = 8_000


@contextmanager
def open_hdf5(source: Path | bytes) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; every error of h5py becomes a CheckpointError."""
    try:
        with h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r", locking=False) as file:
            yield file
    except CheckpointError:
        raise
    except Exception as error:  # h5py raises many exception types on malformed bytes
        raise CheckpointError(
            f"it looks like a Keras HDF5 file, but cannot be read ({clip(error, 200)}): it is truncated or damaged; "
            "fetch or save it again."
        ) from error


def datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Every dataset below a group by its path; their data is not read yet."""
    found: dict[str, h5py.Dataset] = {}
    _walk(group, "", found, [0], 0)
    total = sum(dataset.nbytes for dataset in found.values())
    if total > MAX_BYTES:
        raise CheckpointError(
            f"its datasets declare {total / 2**30:.1f} GiB, and a ResNet has less than {MAX_BYTES // 2**30} GiB."
        )
    return found


def _walk(group: h5py.Group, prefix: str, found: dict[str, h5py.Dataset], count: list[int], depth: int) -> None:
    # Hard links can form cycles; the limits on depth and count end the recursion.
    if depth > MAX_NESTING:
        raise CheckpointError(f"its groups are nested deeper than {MAX_NESTING} levels, which Keras doesn't write.")
    count[0] += len(group)
    if count[0] > MAX_OBJECTS:
        raise CheckpointError(f"it has more than {MAX_OBJECTS} groups and datasets, more than any ResNet.")
    for name in group:
        child = safe_child(group, name)
        if isinstance(child, h5py.Group):
            _walk(child, f"{prefix}{name}/", found, count, depth + 1)
        else:
            found[f"{prefix}{name}"] = child


def safe_child(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """A member of a group, which must be stored in this file."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise CheckpointError(
            f"{clip(name)} is a link ({type(link).__name__}); weights must be stored in the file itself."
        )
    child = group[name]
    if isinstance(child, h5py.Group):
        return child
    if not isinstance(child, h5py.Dataset):
        raise CheckpointError(f"{clip(name)} is neither a group nor a dataset.")
    _check_dataset(name, child)
    return child


def _check_dataset(name: str, dataset: h5py.Dataset) -> None:
    if dataset.is_virtual or dataset.external:
        raise CheckpointError(f"{clip(name)} is stored in another file; weights must be stored in the file itself.")
    if dataset.id.get_create_plist().get_nfilters():
        raise CheckpointError(
            f"{clip(name)} is compressed, which Keras doesn't do and which can hide a decompression bomb; "
            "save the model again with Keras."
        )
    if dataset.shape and dataset.id.get_storage_size() < dataset.nbytes:
        raise CheckpointError(
            f"{clip(name)} declares {dataset.nbytes} bytes, but the file contains {dataset.id.get_storage_size()}: "
            "it is truncated or malicious."
        )


def read_array(name: str, dataset: h5py.Dataset) -> np.ndarray:
    """The data of a dataset."""
    if dataset.dtype.kind != "f" or dataset.dtype.itemsize not in (2, 4, 8):
        raise CheckpointError(f"{clip(name)} is of type {dataset.dtype}, not floating-point.")
    # PyTorch accepts the native byte order only.
    values: np.ndarray = np.asarray(dataset[()], dtype=dataset.dtype.newbyteorder("="))
    return values


def text_attribute(item: h5py.Group, name: str) -> str | None:
    """A text attribute, or None if there is none."""
    if name not in item.attrs or item.attrs.get_id(name).shape != ():
        return None
    value = item.attrs[name]
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value if isinstance(value, str) else None
