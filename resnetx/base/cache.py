"""The folder of the user's own where things are kept between runs."""

import os
from pathlib import Path


def default_cache() -> Path:
    """Where what was fetched, or took long to build, is kept: `RESNETX_CACHE`, or the user's own cache folder."""
    if own := os.environ.get("RESNETX_CACHE"):
        return Path(own).expanduser()
    if (shared := os.environ.get("XDG_CACHE_HOME")) and Path(shared).is_absolute():
        return Path(shared) / "resnetx"
    return Path("~/.cache/resnetx").expanduser()
