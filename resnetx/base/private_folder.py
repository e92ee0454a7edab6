"""Temporary folders that are locked by their owner, so that a later run can remove those that a killed one left."""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnetx.base.locks import lock

PREFIX = "resnetx-"
# `resnetx-verify-9f3ac1d2b07e`: tempfile's own names are shorter and end in other characters.
NAME = re.compile(rf"{PREFIX}[a-z]+-[0-9a-f]{{12}}")


@contextmanager
def private_folder(purpose: str) -> Iterator[Path]:
    """A temporary folder that nobody else can read, removed afterwards; an OSError if it cannot be made.

    Folders of processes that were killed are removed first.
    """
    parent = Path(tempfile.gettempdir())
    remove_stale_folders(parent)
    folder, descriptor = _create(parent, purpose)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def remove_stale_folders(parent: Path) -> None:
    """Remove our folders that no process has locked; a lock ends with its process, in whatever container."""
    with suppress(OSError):
        for path in parent.iterdir():
            with suppress(OSError):
                if NAME.fullmatch(path.name):
                    _remove_unlocked(path)


def _create(parent: Path, purpose: str) -> tuple[Path, int]:
    while True:
        folder = parent / f"{PREFIX}{purpose}-{secrets.token_hex(6)}"
        folder.mkdir(mode=0o700)
        descriptor = _open(folder)
        if lock(descriptor) != "taken" and folder.exists():
            return folder, descriptor
        os.close(descriptor)  # another process took it for a stale one in the instant before it was locked


def _remove_unlocked(folder: Path) -> None:
    if folder.lstat().st_uid != os.getuid():
        return
    descriptor = _open(folder)
    try:
        if lock(descriptor) == "locked":
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
