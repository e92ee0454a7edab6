"""Runs a command in a child process, isolated from its crashes, hangs and excessive memory use."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from resnetx.base.text import readable

# -P: a file `onnx.py` in the working folder must not be imported instead of the library.
PYTHON = (sys.executable, "-P", "-W", "ignore", "-m")
STDERR_TAIL = 4096


def run_isolated(command: Sequence[str], *, folder: Path, timeout_s: float) -> str | None:
    """Run `command` in `folder` and return what went wrong as text ("crashed (signal 11)"), or None.

    The child has its own process group, which is killed on a timeout and if this process is interrupted. Its temporary
    files are written to `folder`, which the caller removes.
    """
    log = folder / "stderr.txt"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"took longer than {timeout_s:g} s"
        finally:
            if process.poll() is None:
                _kill_group(process)
    return None if status == 0 else _failure(status, _last_line(log))


def limit_self(*, memory_mb: int, lifetime_s: float) -> None:
    """Limit the calling child process, after its imports, to `memory_mb` more memory and to `lifetime_s` seconds.

    The lifetime ends a child whose parent is gone. Libraries reserve much more address space than they use, so the
    memory limit is added to what is reserved already.
    """
    if hasattr(signal, "alarm"):
        signal.alarm(max(1, int(lifetime_s)))
    with suppress(ImportError, OSError, ValueError, AttributeError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        reserved = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = reserved + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _environment(folder: Path) -> dict[str, str]:
    # Variables with these prefixes configure the libraries; the result must depend only on the file.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ONNXSIM_", "ORT_"))}
    # One malloc arena per thread reserves gigabytes on a machine with many cores, and the limit counts reservations.
    return kept | {"TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder), "MALLOC_ARENA_MAX": "2"}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _failure(status: int, message: str) -> str:
    if "bad_alloc" in message or "MemoryError" in message or "Failed to allocate memory" in message:
        return "exceeded its memory limit"
    how = f"crashed (signal {-status})" if status < 0 else f"failed with exit status {status}"
    return f"{how}: {message}" if message else how


def _last_line(log: Path) -> str:
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - STDERR_TAIL))
        lines = stream.read().decode(errors="replace").split("\n")
    return readable(next((line for line in reversed(lines) if line.strip()), ""))
