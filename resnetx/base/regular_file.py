"""Reads files of unknown origin: only regular files, which end and cannot hang, and only up to a number of bytes."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from resnetx.errors import FileError


def open_regular(path: Path, *, follow: bool = True) -> tuple[BinaryIO, os.stat_result]:
    """Open a regular file; ValueError for a folder, a device, a pipe or a socket. `follow` symbolic links or refuse.

    It is opened without waiting and looked at afterwards, so that it cannot be exchanged in between.
    """
    names = ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY", *(() if follow else ("O_NOFOLLOW",)))
    descriptor = os.open(path, os.O_RDONLY | sum(getattr(os, name, 0) for name in names))
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("it is a folder" if stat.S_ISDIR(facts.st_mode) else "it is a pipe, a device or a socket")
        return os.fdopen(descriptor, "rb"), facts
    except BaseException:
        os.close(descriptor)
        raise


def open_input(path: Path, *, most_bytes: int, what: str) -> BinaryIO:
    """Open a file that should be `what`, such as "a label file"; FileError if it is none of at most `most_bytes`."""
    try:
        stream, facts = open_regular(path)
    except (FileNotFoundError, ValueError) as error:
        noun = what.removeprefix("an ").removeprefix("a ")
        reason = f": {error}" if isinstance(error, ValueError) else ""
        raise FileError(f"There is no {noun} {path}{reason}. Check the path.") from error
    except OSError as error:
        raise FileError(f"Cannot read {path} as {what}: {error.strerror or error}. Check the path.") from error
    if facts.st_size > most_bytes:
        stream.close()
        raise FileError(
            f"{path} has {facts.st_size:,} bytes, and {most_bytes:,} is the limit for {what}. Check the path."
        )
    return stream


def read_limited(path: Path, most_bytes: int, what: str) -> bytes:
    """The bytes of a file that should be `what`; FileError if it cannot be read or is larger than `most_bytes`."""
    with open_input(path, most_bytes=most_bytes, what=what) as stream:
        try:
            data = stream.read(most_bytes + 1)
        except OSError as error:
            raise FileError(f"Cannot read {path} as {what}: {error.strerror or error}.") from error
    if len(data) > most_bytes:
        raise FileError(f"{path} grew beyond {most_bytes:,} bytes, the limit for {what}. Check the path.")
    return data
