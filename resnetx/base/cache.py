"""The user's cache folder."""

import os
from pathlib import Path


def default_cache() -> Path:
    """The folder for downloads and compiled engines: `RESNETX_CACHE`, or `resnetx` in the user's cache folder."""
    if own := os.environ.get("RESNETX_CACHE"):
        return Path(own).expanduser()
    if (shared := os.environ.get("XDG_CACHE_HOME")) and Path(shared).is_absolute():
        return Path(shared) / "resnetx"
    return Path("~/.cache/resnetx").expanduser()
