"""Where compiled engines are cached: in folders of the user's own, under keys of all that an engine depends on."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from resnetx.errors import FileError

OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def engine_key(facts: Mapping[str, object]) -> str:
    """A unique name for these facts, whatever their order."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def private_folder(folder: Path) -> Path:
    """A folder that other users cannot write to, created if needed."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise FileError(f"Cannot create {folder} for compiled engines: {error.strerror or error}.") from error
    require_private(folder)
    return folder


def require_private(folder: Path) -> None:
    """Raise if other users can write to the folder, because an engine is native code."""
    try:
        facts = folder.lstat()
    except OSError as error:
        raise FileError(f"Cannot check {folder} for compiled engines: {error.strerror or error}.") from error
    if not stat.S_ISDIR(facts.st_mode):
        problem = "is not a folder"
    elif hasattr(os, "geteuid") and facts.st_uid != os.geteuid():
        problem = f"belongs to the user {facts.st_uid}"
    elif hasattr(os, "geteuid") and facts.st_mode & OTHERS_MAY_WRITE:
        problem = f"is writable by other users (mode {stat.S_IMODE(facts.st_mode):o})"
    else:
        return
    raise FileError(
        f"Compiled engines cannot be cached in {folder}, which {problem}. Engines are native code, so the folder must "
        "be yours only: remove it, or choose another cache with RESNETX_CACHE."
    )
