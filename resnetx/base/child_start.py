"""What every isolated child does first: it ends with its parent, takes its limits, then runs its module.

python -m resnetx.base.child_start MODULE ARGUMENTS...
"""

import json
import os
import runpy
import signal
import sys
import threading
import time
from contextlib import suppress

# The limits for the child, in its environment: {"parent": pid, "memory_mb": number or null, "seconds": number}.
VARIABLE = "RESNETX_CHILD"
# From prctl(2) of Linux.
PR_SET_PDEATHSIG = 1
# The memory limit of the kernel counts what is reserved: libraries, and 8 MB of stack for every thread.
LIBRARIES_MB = 512
STACKS_MB_PER_PROCESSOR = 32


def end_with(parent: int) -> None:
    """End this process when its parent ends, even in the middle of a call that does not return."""
    with suppress(Exception):  # only Linux has it
        import ctypes

        if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0:
            if os.getppid() != parent:  # it ended before
                os._exit(1)
            return
    threading.Thread(target=_poll, args=(parent,), daemon=True).start()


def _poll(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def limit_memory(memory_mb: int) -> None:
    """A second limit, by the kernel: an allocation far beyond the limit fails at once.

    It is on the data of the process and not on its address space, of which CUDA reserves terabytes. The parent watches
    the memory that is really used.
    """
    with suppress(ImportError, OSError, ValueError, AttributeError):
        import resource

        slack_mb = LIBRARIES_MB + STACKS_MB_PER_PROCESSOR * (os.cpu_count() or 1)
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = (memory_mb + slack_mb) * 2**20
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def without_core_file() -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    order = json.loads(os.environ.pop(VARIABLE, "{}"))
    if "parent" in order:
        end_with(order["parent"])
    without_core_file()
    if order.get("memory_mb"):
        limit_memory(order["memory_mb"])
    if hasattr(signal, "alarm") and order.get("seconds"):
        signal.alarm(max(1, int(order["seconds"])))
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
