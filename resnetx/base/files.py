"""Atomic file writes: a temporary file in the target's folder is written, flushed and renamed."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnetx.errors import FileError


@contextmanager
def whole_file(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder, and rename it to the target if no error occurred.

    The target is unchanged after an error or a kill, and if the temporary file was removed.
    """
    target = Path(target)
    if target.is_dir():
        raise FileError(f"Cannot write {target}: it is a folder. Give a file name, such as {target}/model.onnx.")
    # The suffix is kept because writers such as numpy's choose the format by it.
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}.tmp{target.suffix}")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        if temporary.exists():
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(target)
    except OSError as error:
        raise FileError(_cannot_write(target, error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def require_writable(target: str | Path) -> None:
    """Fail now, rather than after minutes of work, if `target` cannot be written."""
    with whole_file(target) as temporary:
        temporary.unlink()


def write_whole(target: str | Path, data: bytes | str) -> None:
    """Write `data` to `target` completely or not at all."""
    with whole_file(target) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def _cannot_write(target: Path, error: OSError) -> str:
    folder = target.parent
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            advice = f"the disk that holds {folder} is full; free some space or write elsewhere with -o"
        case errno.EROFS | errno.EACCES | errno.EPERM:
            advice = f"the folder {folder} is not writable; choose another with -o"
        case errno.ENOENT | errno.ENOTDIR:
            advice = f"the folder {folder} does not exist; create it first"
        case errno.ENAMETOOLONG:
            advice = "the file name is too long for this file system; choose a shorter one"
        case _:
            advice = f"the system reported: {error.strerror or error}"
    return f"Cannot write {target}: {advice}. Nothing was left behind."
