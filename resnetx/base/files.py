"""Atomic file writes: a temporary file in the target's folder is written, flushed and renamed."""

import errno
import glob
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnetx.base.locks import lock
from resnetx.base.text import readable
from resnetx.errors import FileError

# The random part of a temporary file's name.
TOKEN = "[0-9a-f]" * 8
MOST_LINKS = 40
CHUNK = 1 << 20


@contextmanager
def whole_file(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path, and rename it to the target if no error occurred; it is not if the caller removes it.

    The target is unchanged after an error or a kill. A symbolic link is followed, and the permissions of an existing
    file are kept. A device, a pipe, or the file that is this process's output gets the bytes written to it instead.
    """
    try:
        real, facts = _destination(Path(target))
        with _stream_target(Path(target)) if _is_stream(facts) else _replaced(real, facts) as temporary:
            yield temporary
    except OSError as error:
        raise FileError(_cannot_write(Path(target), error)) from error


def require_writable(target: str | Path) -> None:
    """Fail now, rather than after minutes of work, if `target` cannot be written."""
    try:
        real, facts = _destination(Path(target))
        if _is_stream(facts):
            # Opening a pipe and closing it again would end its reader.
            if not os.access(target, os.W_OK) and (facts is None or _own_output(facts) is None):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        else:
            with _replaced(real, facts) as temporary:
                temporary.unlink()
    except OSError as error:
        raise FileError(_cannot_write(Path(target), error)) from error


def write_whole(target: str | Path, data: bytes | str) -> None:
    """Write `data` to `target` completely or not at all; a lone surrogate, which is no text, becomes `?`."""
    with whole_file(target) as temporary:
        temporary.write_bytes(data.encode(errors="replace") if isinstance(data, str) else data)


def replaced_file(target: str | Path) -> Path | None:
    """The regular file with content that writing to `target` would replace, if there is one."""
    facts = existing(target)
    return Path(target) if facts is not None and facts.st_size and not _is_stream(facts) else None


def existing(path: str | Path) -> os.stat_result | None:
    """What stands at a path, links followed; None if nothing does."""
    try:
        return Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def resolved(path: Path) -> Path:
    """The path with its symbolic links followed, also that of a link to a file which does not exist yet."""
    for _ in range(MOST_LINKS):
        if not path.is_symlink():
            return path.parent.resolve() / path.name
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _destination(target: Path) -> tuple[Path, os.stat_result | None]:
    if "\0" in str(target):
        raise FileError(f"Cannot write {readable(str(target))}: a file name has no null characters. Give another name.")
    facts = existing(target)
    if facts is not None and stat.S_ISDIR(facts.st_mode):
        raise FileError(f"Cannot write {target}: it is a folder. Give the name of a file.")
    if facts is not None and stat.S_ISSOCK(facts.st_mode) and _own_output(facts) is None:
        raise FileError(f"Cannot write {target}: it is a socket. Give a file name.")
    return target if _is_stream(facts) else resolved(target), facts


def _is_stream(facts: os.stat_result | None) -> bool:
    """Whether the bytes are written to what is there: a device, a pipe, or this process's own output."""
    return facts is not None and (not stat.S_ISREG(facts.st_mode) or _own_output(facts) is not None)


def _own_output(facts: os.stat_result) -> int | None:
    """The descriptor of our output if it is this file: `--json /dev/stdout`."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), facts):
                return descriptor
    return None


@contextmanager
def _stream_target(target: Path) -> Iterator[Path]:
    """A temporary file whose bytes are written to `target` at the end."""
    with tempfile.TemporaryDirectory(prefix="resnetx-", ignore_cleanup_errors=True) as folder:
        temporary = Path(folder) / f"output{target.suffix}"
        temporary.touch()
        yield temporary
        if temporary.exists():
            _copy(temporary, target)


def _copy(source: Path, target: Path) -> None:
    own = _own_output(os.stat(target))  # noqa: PTH116
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()  # what was printed before comes first
    # A pipe that nobody reads is an error, not a wait without end.
    flags = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    descriptor = os.dup(own) if own is not None else os.open(target, flags)
    try:
        if own is None:
            os.set_blocking(descriptor, True)
        with source.open("rb") as stream, os.fdopen(descriptor, "wb", buffering=0, closefd=False) as sink:
            while data := stream.read(CHUNK):
                view = memoryview(data)
                while view:
                    view = view[sink.write(view) or 0 :]
    finally:
        os.close(descriptor)


@contextmanager
def _replaced(target: Path, facts: os.stat_result | None) -> Iterator[Path]:
    """A temporary file beside `target`, renamed over it at the end."""
    if facts is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is read-only")
    _remove_stale(target)
    temporary, lock = _create_beside(target)
    try:
        if facts is not None:
            _set_owner(temporary, facts, stat.S_IMODE(facts.st_mode) | stat.S_IWUSR | stat.S_IRUSR)
        yield temporary
        if temporary.exists():
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            if facts is not None:
                temporary.chmod(stat.S_IMODE(facts.st_mode))
            temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        os.close(lock)


def _create_beside(target: Path) -> tuple[Path, int]:
    """A new file, and a descriptor that locks it: a file without its lock was left by a process that was killed."""
    before, after = _temporary_name(target)
    while True:
        path = target.with_name(f"{before}{secrets.token_hex(4)}{after}")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
        if lock(descriptor) != "taken" and path.exists():
            return path, descriptor
        os.close(descriptor)  # another process took it for a stale one in the instant before it was locked


def _remove_stale(target: Path) -> None:
    """Remove the temporary files for `target` that killed processes left."""
    before, after = map(glob.escape, _temporary_name(target))
    for path in target.parent.glob(f"{before}{TOKEN}{after}"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
            try:
                if lock(descriptor) == "locked":
                    path.unlink()
            finally:
                os.close(descriptor)


def _temporary_name(target: Path) -> tuple[str, str]:
    """What precedes and follows the random part of the name, in at most the 255 bytes that file systems allow.

    The suffix is kept because writers such as numpy's choose the format by it.
    """
    return f".{target.stem[:40]}.", f".tmp{target.suffix[:15]}"


def _set_owner(path: Path, facts: os.stat_result, mode: int) -> None:
    with suppress(OSError, AttributeError):
        os.chown(path, facts.st_uid, facts.st_gid)
    path.chmod(mode)


def _cannot_write(target: Path, error: OSError) -> str:
    folder = target.parent
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            advice = f"the disk that holds {folder} is full; free some space or write elsewhere with -o"
        case errno.EACCES if error.strerror == "the file is read-only":
            advice = "the file is read-only; change its permissions, or write elsewhere"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            advice = f"the folder {folder} is not writable; choose another with -o"
        case errno.ENOENT | errno.ENOTDIR:
            advice = f"the folder {folder} does not exist; create it first"
        case errno.ENAMETOOLONG:
            advice = "the file name is too long for this file system; choose a shorter one"
        case errno.ELOOP:
            advice = "its symbolic links lead in a circle; give the file itself"
        case errno.ENXIO | errno.EPIPE:
            advice = "nothing reads from this pipe; start its reader first"
        case _:
            advice = f"the system reported: {error.strerror or error}"
    return f"Cannot write {target}: {advice}. Nothing was left behind."
