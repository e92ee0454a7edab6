"""The memory of a process and of everything that it started, read from /proc; and how to end all of them."""

import os
import signal
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def memory_mb(pids: list[int]) -> float:
    """The memory that only these processes hold: without files and without what they share."""
    pages = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile, or there is no /proc
            fields = (PROC / str(pid) / "statm").read_text().split()
            pages += int(fields[1]) - int(fields[2])
    return pages * _PAGE / 2**20


def process_tree(pid: int) -> list[int]:
    """The process and everything that it started and that is still below it, the parents first."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for thread in (PROC / str(parent) / "task").iterdir():
                with suppress(OSError, ValueError):
                    found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def kill_tree(pid: int) -> None:
    """Kill a process that leads its own group, the group, and descendants that have left it."""
    # First all of them stop starting others: what is listed afterwards is complete.
    tree = process_tree(pid)
    for member in tree:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(member, signal.SIGSTOP if hasattr(signal, "SIGSTOP") else signal.SIGTERM)
    tree = list(dict.fromkeys([*tree, *process_tree(pid)]))
    with suppress(ProcessLookupError, PermissionError, AttributeError):
        os.killpg(pid, signal.SIGKILL)
    for member in tree:
        with suppress(ProcessLookupError, PermissionError, AttributeError):
            os.kill(member, signal.SIGKILL)
