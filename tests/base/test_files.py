"""Files are whole or absent."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnetx.base.files import require_writable, whole_file, write_whole
from resnetx.errors import FileError


def test_a_file_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    with whole_file(target) as temporary:
        temporary.write_bytes(b"half")
        assert not target.exists()
        assert temporary.suffix == ".onnx" and temporary.parent == tmp_path
    assert target.read_bytes() == b"half"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("leave", ["raise", "unlink"])
def test_what_stood_there_stays_when_writing_fails(tmp_path: Path, leave: str) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"old")
    try:
        with whole_file(target) as temporary:
            temporary.write_bytes(b"new")
            if leave == "raise":
                raise ValueError
            temporary.unlink()
    except ValueError:
        pass
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "is full"), (errno.EROFS, "is not writable"), (errno.EACCES, "is not writable")],
)
def test_a_full_disk_and_a_read_only_folder_are_named(tmp_path: Path, number: int, advice: str) -> None:
    with pytest.raises(FileError, match=advice), whole_file(tmp_path / "m.onnx"):
        raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


def test_a_target_is_tried_without_leaving_a_trace(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"old")
    require_writable(tmp_path / "m.onnx")
    require_writable(tmp_path / "new.onnx")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("m.onnx", b"old")]
    with pytest.raises(FileError, match="does not exist"):
        require_writable(tmp_path / "absent" / "m.onnx")


def test_a_missing_folder_and_a_folder_as_target_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        write_whole(tmp_path / "absent" / "m.onnx", b"")
    with pytest.raises(FileError, match="is a folder"):
        write_whole(tmp_path, b"")


def test_a_kill_in_the_middle_leaves_no_file_under_the_name(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    code = (
        "import sys, time; from resnetx.base.files import whole_file\n"
        "with whole_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half'); print('writing', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == "writing\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    deadline = time.monotonic() + 5
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not target.exists()
