"""What a command writes: devices, pipes and links stay what they are, and nothing that is read is overwritten."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from resnetx.base import targets
from resnetx.base.files import require_writable, whole_file, write_whole
from resnetx.base.targets import check_targets
from resnetx.errors import FileError, UsageError


def test_a_device_is_written_to_and_stays_a_device(tmp_path: Path) -> None:
    link = tmp_path / "null.json"
    link.symlink_to("/dev/null")
    before = Path("/dev/null").stat()
    for target in (Path("/dev/null"), link):
        require_writable(target)
        write_whole(target, b"text")
    after = Path("/dev/null").stat()
    assert stat.S_ISCHR(after.st_mode) and after.st_rdev == before.st_rdev and link.is_symlink()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_device_is_an_error() -> None:
    with pytest.raises(FileError, match="is full"):
        write_whole("/dev/full", b"text")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_pipe_is_written_to_its_reader(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileError, match="nothing reads from this pipe"):
        write_whole(pipe, b"text")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    data = os.urandom(1 << 18)  # more than a pipe holds
    reader.start()
    while True:  # until the reader has opened it
        try:
            write_whole(pipe, data)
            break
        except FileError as error:
            assert "nothing reads" in str(error)
    reader.join(10)
    assert read == [data] and pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("to", ["pipe", "file", "null"])
def test_the_own_output_gets_the_text_in_order(tmp_path: Path, name: str, to: str) -> None:
    code = (
        "import sys; from resnetx.base.files import write_whole, require_writable\n"
        f"print('before'); require_writable({name!r}); write_whole({name!r}, 'json\\n'); print('after')"
    )
    out = tmp_path / "out.txt"
    with out.open("w") as stream:
        where = {"pipe": subprocess.PIPE, "file": stream, "null": subprocess.DEVNULL}[to]
        done = subprocess.run([sys.executable, "-c", code], stdout=where, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    text = {"pipe": done.stdout, "file": out.read_text(), "null": "before\njson\nafter\n"}[to]
    assert text == "before\njson\nafter\n"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o755])
def test_a_link_is_followed_and_the_mode_is_kept(tmp_path: Path, mode: int) -> None:
    (tmp_path / "real").mkdir()
    real, link = tmp_path / "real" / "m.onnx", tmp_path / "m.onnx"
    real.write_bytes(b"old")
    real.chmod(mode)
    link.symlink_to("real/m.onnx")
    if os.access(real, os.W_OK):
        with whole_file(link) as temporary:
            assert temporary.parent == real.parent
            assert stat.S_IMODE(temporary.stat().st_mode) & 0o077 <= mode & 0o077, "never wider than the file was"
            temporary.write_bytes(b"new")
        assert real.read_bytes() == b"new"
    else:
        with pytest.raises(FileError, match="read-only"):
            write_whole(link, b"new")
    assert link.is_symlink() and stat.S_IMODE(real.stat().st_mode) == mode
    assert [path.name for path in real.parent.iterdir()] == ["m.onnx"]


def test_a_link_to_nothing_and_a_circle_of_links(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("new")
    write_whole(tmp_path / "link", b"data")
    assert (tmp_path / "new").read_bytes() == b"data" and (tmp_path / "link").is_symlink()
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(FileError, match="in a circle"):
        require_writable(tmp_path / "a")


def test_a_socket_and_a_name_with_a_null_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(FileError, match="is a socket"):
            require_writable("s")
    with pytest.raises(FileError, match="null characters"):
        require_writable("a\0b")


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    target = tmp_path / "m[1].onnx"
    (tmp_path / ".m[1].00c0ffee.tmp.onnx").write_bytes(b"left")
    (tmp_path / ".m[1].mine.tmp.onnx").write_bytes(b"not ours")
    code = (
        "import sys; from resnetx.base.files import whole_file\n"
        "with whole_file(sys.argv[1]) as temporary: print(temporary, flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout and child.stdin
    with child.stdin, child.stdout:
        alive = Path(child.stdout.readline().strip())
        write_whole(target, b"new")
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            [".m[1].mine.tmp.onnx", alive.name, "m[1].onnx"]
        )
        child.kill()
        child.wait()
    write_whole(target, b"newer")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".m[1].mine.tmp.onnx", "m[1].onnx"]


def test_the_longest_name_that_a_file_may_have_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("ü" * 120 + ".onnx")
    write_whole(target, b"data")
    assert target.read_bytes() == b"data"
    with pytest.raises(FileError, match="name is too long"):
        write_whole(tmp_path / ("x" * 300), b"data")


def test_text_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    write_whole(tmp_path / "r.xml", "a\udcffb")
    assert (tmp_path / "r.xml").read_bytes() == b"a?b"


def alias(path: Path, kind: str) -> Path:
    other = path.parent / "sub" / "other"
    other.parent.mkdir()
    match kind:
        case "itself":
            return path
        case "dots":
            return other.parent / ".." / path.name
        case "hard link":
            os.link(path, other)
        case "symbolic link":
            other.symlink_to(path)
        case "folder link":
            (path.parent / "folder").symlink_to(path.parent)
            return path.parent / "folder" / path.name
    return other


KINDS = ["itself", "dots", "hard link", "symbolic link", "folder link"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_is_read_is_refused_by_whatever_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"model")
    with pytest.raises(UsageError, match=r"--json .* would overwrite what MODEL reads"):
        check_targets({"--json": alias(path, kind), "--html": None}, inputs={"MODEL": [path]}, may_be={})
    assert path.read_bytes() == b"model"


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_two_targets_that_are_one_file_are_refused(tmp_path: Path, kind: str, exists: bool) -> None:
    path = tmp_path / "r.json"
    if exists or kind == "hard link":
        path.write_bytes(b"old")
    with pytest.raises(UsageError, match="are the same file"):
        check_targets({"--json": path, "--html": alias(path, kind)}, inputs={}, may_be={})


def test_names_that_differ_in_case_are_one_file_only_where_the_disk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"--json": tmp_path / "R.json", "--html": tmp_path / "r.JSON"}
    if not targets._equal_on_disk(*both.values()):
        check_targets(both, inputs={}, may_be={})
    monkeypatch.setattr(targets, "_equal_on_disk", lambda *_: True)
    with pytest.raises(UsageError, match="are the same file"):
        check_targets(both, inputs={}, may_be={})
    assert not list(tmp_path.iterdir())


def test_what_is_allowed(tmp_path: Path) -> None:
    model, other = tmp_path / "m.onnx", tmp_path / "n.onnx"
    model.write_bytes(b"model")
    null = Path("/dev/null")
    check_targets({"--out": other, "--json": null, "--html": null}, inputs={"IN": [model, null]}, may_be={})
    check_targets({"--out": model}, inputs={"IN": [model]}, may_be={"--out": model})
    with pytest.raises(UsageError):
        check_targets({"--json": model}, inputs={"IN": [model]}, may_be={"--out": model})


def test_the_folder_of_a_target_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        check_targets({"--json": tmp_path / "no" / "r.json"}, inputs={}, may_be={})
    with pytest.raises(FileError, match="does not exist"), whole_file(tmp_path / "no" / "m"):
        raise OSError(errno.EIO, "never reached")
