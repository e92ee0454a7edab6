"""Reads .npz archives of unknown origin: plain arrays only, each of exactly the bytes that its entry has."""

import ast
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from resnetx.base.regular_file import open_input

MAGIC = b"\x93NUMPY"
MOST_ENTRIES = 100_000
MOST_DIMENSIONS = 32
# numpy writes headers of some hundred bytes; parsing a long one could exhaust the parser.
LONGEST_HEADER = 4096
# Compressed arrays of zeros unpack to a thousand times their size; arrays of results do not.
MOST_EXPANSION = 64
FREE_BYTES = 16 * 2**20
# Booleans, integers, floats and text; not objects, which are pickles.
KINDS = "biufU"
STORED_AS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
BROKEN = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, EOFError, OSError),
    *(NotImplementedError, KeyError, RuntimeError, OverflowError, UnicodeError),
)


class NpzError(ValueError):
    """The archive cannot be read; the message is the second half of a sentence."""


class Npz:
    """An open archive; an array is read when it is asked for, so that a caller can refuse the file before."""

    def __init__(self, archive: zipfile.ZipFile, file_bytes: int) -> None:
        self._archive = archive
        entries = archive.infolist()
        if len(entries) > MOST_ENTRIES:
            raise NpzError(f"it has {len(entries):,} entries, and the limit is {MOST_ENTRIES:,}")
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > MOST_EXPANSION * file_bytes + FREE_BYTES:
            raise NpzError(f"it unpacks to {unpacked:,} bytes from {file_bytes:,}, as a decompression bomb does")
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name in self._entries:
                raise NpzError(f"it has two arrays {name[:100]!r}")
            if entry.flag_bits & ENCRYPTED or entry.compress_type not in STORED_AS:
                raise NpzError(f"its array {name[:100]!r} is encrypted, or compressed in an unknown way")
            self._entries[name] = entry

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self._entries.get(name)
        if entry is None:
            raise NpzError(f"it has no array {name[:100]!r}")
        try:
            with self._archive.open(entry) as stream:
                return _array(stream, entry.file_size)
        except NpzError as error:
            raise NpzError(f"its array {name[:100]!r} {error}") from error
        except BROKEN as error:
            raise NpzError(f"its array {name[:100]!r} is damaged ({error})") from error

    def numbers(self, name: str, *, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """An array of numbers, of a certain shape."""
        array = self[name]
        if array.dtype.kind == "U":
            raise NpzError(f"its array {name[:100]!r} holds text, not numbers")
        if shape is not None and array.shape != shape:
            raise NpzError(f"its array {name[:100]!r} has the shape {array.shape}, but {shape} belongs there")
        return array


@contextmanager
def open_npz(path: Path, *, most_bytes: int, what: str) -> Iterator[Npz]:
    """Open an archive of at most `most_bytes`; FileError if it cannot be opened, NpzError if it is not valid."""
    with open_input(path, most_bytes=most_bytes, what=what) as stream:
        size = stream.seek(0, 2)
        try:
            archive = zipfile.ZipFile(stream)
        except (*BROKEN, ValueError) as error:
            raise NpzError(f"it is no complete .npz archive ({error})") from error
        with archive:
            yield Npz(archive, size)


def _array(stream: IO[bytes], size: int) -> np.ndarray:
    dtype, shape, fortran, start = _header(stream)
    needed = math.prod(shape) * dtype.itemsize
    if needed != size - start:
        raise NpzError(f"has the shape {shape}, which takes {needed:,} bytes, but {size - start:,} are stored")
    data = np.empty(needed, np.uint8)
    filled = 0
    while filled < needed:
        count = stream.readinto(data.data[filled:])  # type: ignore[attr-defined]  # an entry of a zip has it
        if not count:
            raise NpzError("is truncated")
        filled += count
    stream.read(1)  # the end of an entry, where its checksum is compared
    flat = data.view(dtype) if needed else np.empty(math.prod(shape), dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes]) -> tuple[np.dtype, tuple[int, ...], bool, int]:
    """The type, the shape, whether columns come first, and where the data begins."""
    magic = stream.read(8)
    if magic[:6] != MAGIC or magic[6:7] not in (b"\x01", b"\x02", b"\x03"):
        raise NpzError("is not in numpy's format")
    wide = magic[6] > 1
    length = int.from_bytes(stream.read(4 if wide else 2), "little")
    if length > LONGEST_HEADER:
        raise NpzError(f"has a header of {length:,} bytes, and {LONGEST_HEADER:,} is the limit")
    try:
        header = ast.literal_eval(stream.read(length).decode("latin1").strip())
        descr, shape, fortran = header["descr"], header["shape"], header["fortran_order"]
        dtype = np.dtype(descr) if isinstance(descr, str) else None
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise NpzError("has a damaged header") from error
    if dtype is None or dtype.kind not in KINDS or dtype.hasobject or dtype.subdtype is not None:
        raise NpzError("is of a type that is not read: only numbers and text are")
    if not isinstance(shape, tuple) or len(shape) > MOST_DIMENSIONS or not isinstance(fortran, bool):
        raise NpzError("has a damaged header")
    if not all(type(side) is int and 0 <= side < 2**48 for side in shape):
        raise NpzError("has an invalid shape")
    return dtype, shape, fortran, (12 if wide else 10) + length
