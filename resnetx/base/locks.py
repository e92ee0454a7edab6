"""Locks on open files, which end with their process: they tell what is in use from what a killed process left."""

from typing import Literal


def lock(descriptor: int) -> Literal["locked", "taken", "unsupported"]:
    """Lock an open file or folder until it is closed or the process ends."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "taken"
    except (ImportError, OSError):
        return "unsupported"
    return "locked"
