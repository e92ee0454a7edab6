"""Child processes: their limits of time, memory and processes, what is said of their end, and who outlives whom."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from resnetx.base import child_start, private_folder
from resnetx.base.isolation import PYTHON, Limits, run_isolated
from resnetx.base.private_folder import remove_stale_folders
from resnetx.base.process_tree import kill_tree, memory_mb, process_tree
from resnetx.base.progress import Progress
from resnetx.base.worker_process import Child, ChildError

PATIENCE_S = 30.0
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no /proc")


def script(code: str, folder: Path) -> tuple[str, ...]:
    """The command of an isolated child that runs this code."""
    (folder / "scripted.py").write_text(code)
    return (*PYTHON, "scripted")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | None]:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")

    def run(code: str, **limits: float) -> str | None:
        return run_isolated(script(code, tmp_path), folder=tmp_path, limits=Limits(**{"seconds": 60, **limits}))

    return run


def wait_for(condition: Callable[[], object]) -> bool:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# Limits.

GROWS = "import time\nkept = []\nwhile True: kept.append(b'x' * 2**20); time.sleep(0.001)"
LEAPS = "bytearray(2**32)[::4096]"
# The child stays small; what it started grows.
HANDS_ON = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {GROWS!r}])"
FORKS = "import os, time\nfor _ in range(40):\n    if os.fork() == 0: break\ntime.sleep(60)"


@pytest.mark.parametrize("code", [GROWS, LEAPS, HANDS_ON])
def test_memory_is_limited(run: Callable[..., str | None], code: str) -> None:
    assert run(code, memory_mb=100) == "exceeded its memory limit of 100 MB"


def test_processes_are_limited_and_all_are_killed(run: Callable[..., str | None], tmp_path: Path) -> None:
    assert run(FORKS, processes=8) == "exceeded its limit of 8 processes"
    assert wait_for(lambda: not [pid for pid in processes() if b"scripted" in command_line(pid)])


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal() and is_running(int(path.name))]


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_within_its_limits_a_child_is_left_alone(run: Callable[..., str | None]) -> None:
    assert run("kept = b'x' * 2**25", memory_mb=200) is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("while True: pass", "took longer than 1 s"),
        ("import os; os.kill(os.getpid(), 11)", "crashed (SIGSEGV)"),
        ("import os; os.kill(os.getpid(), 40)", "crashed (signal 40)"),
        ("import os; os.kill(os.getpid(), 9)", "was killed (signal 9), as the system does if memory runs out"),
        ("raise SystemExit('no \\x1b[31mluck')", "failed with exit status 1: no ?[31mluck"),
        ("raise MemoryError", "exceeded its memory limit of 500 MB"),
        ("import sys; assert sys.argv == [__file__], sys.argv", None),
    ],
)
def test_every_end_has_its_words(run: Callable[..., str | None], code: str, words: str | None) -> None:
    assert run(code, seconds=1 if "while" in code else 60, memory_mb=500) == words


def test_a_child_writes_no_core_file_and_has_no_telemetry(run: Callable[..., str | None]) -> None:
    code = (
        "import os, resource\n"
        "assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1' and 'ORT_OTHER' not in os.environ\n"
        f"assert {child_start.VARIABLE!r} not in os.environ"
    )
    os.environ["ORT_OTHER"] = "1"
    try:
        assert run(code) is None
    finally:
        del os.environ["ORT_OTHER"]


# Requests and answers.


def child(folder: Path, body: str, **options: int) -> Child:
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
    code = f"import json, sys, time\nfor line in sys.stdin:\n    {body}"
    return Child(script(code, folder), folder=folder, environment=environment, **options)


def test_a_worker_is_limited_in_memory(tmp_path: Path) -> None:
    worker = child(tmp_path, "kept = [b'x' * 2**20 for _ in range(10**4) if time.sleep(0.001) is None]", memory_mb=100)
    with pytest.raises(ChildError, match=r"it exceeded its memory limit of 100 MB$"):
        worker.ask({}, dict[str, int], timeout_s=60)


def test_progress_comes_before_the_answer(tmp_path: Path) -> None:
    lines = ['{"progress": {"text": "one"}}', '{"progress": {"text": "two", "share": 0.5}}', '{"a": 1}']
    worker = child(tmp_path, f"print(*{lines}, sep=chr(10), flush=True)")
    told: list[Progress] = []
    assert worker.ask({}, dict[str, int], timeout_s=60, progress=told.append) == {"a": 1}
    assert told == [Progress(text="one"), Progress(text="two", share=0.5)]
    worker.close()


def test_progress_that_is_something_else_is_no_answer(tmp_path: Path) -> None:
    worker = child(tmp_path, """print('{"progress": {"text": [1]}}', flush=True)""")
    with pytest.raises(ChildError, match="its answer is invalid: text has an invalid value"):
        worker.ask({}, dict[str, int], timeout_s=60)


def test_progress_without_end_is_no_answer(tmp_path: Path) -> None:
    worker = child(tmp_path, """[print('{"progress": {"text": ""}}', flush=True) for _ in iter(int, 1)]""")
    with pytest.raises(ChildError, match="did not answer within 2 s"):
        worker.ask({}, dict[str, int], timeout_s=2)


# Who outlives whom.

PARENT = """
import sys, threading
from pathlib import Path
from resnetx.base.isolation import PYTHON, Limits, run_isolated
from resnetx.base.private_folder import private_folder
with private_folder("test") as folder:
    run_isolated((*PYTHON, "scripted", {target!r}), folder=folder, limits=Limits(seconds=600))
"""
# A call that does not return to Python: no handler and no thread of the child can end it.
STUCK = "import os, sys, pathlib, time\npathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\nsum(iter(int, 1))"


def test_children_end_with_a_killed_parent_and_the_next_run_removes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(STUCK, tmp_path)
    temporary, target = tmp_path / "temporary", tmp_path / "pid"
    temporary.mkdir()
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(target=str(target))],
        env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(temporary)},
    )
    assert wait_for(lambda: target.exists() and target.read_text())
    pid = int(target.read_text())
    assert is_running(pid) and len(list(temporary.iterdir())) == 1
    remove_stale_folders(temporary)  # a living process owns it
    assert len(list(temporary.iterdir())) == 1
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: not is_running(pid))
    monkeypatch.setattr(private_folder.tempfile, "tempdir", str(temporary))
    with private_folder.private_folder("next") as folder:
        assert list(temporary.iterdir()) == [folder]
    assert list(temporary.iterdir()) == []


def test_what_is_not_ours_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    (tmp_path / "resnetx-verify-0123456789ab").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "resnetx-verify-0123456789ac").touch()
    for name in ("resnetx-bench-abcdefgh", "resnetx-models", "my-resnetx-verify-0123456789ab"):
        (tmp_path / name).mkdir()
    before = sorted(tmp_path.rglob("*"))
    remove_stale_folders(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_private_folder_is_private_and_goes_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), private_folder.private_folder("test") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        raise ZeroDivisionError
    assert not folder.exists()


def test_a_tree_is_measured_and_killed() -> None:
    code = "import subprocess, sys, time; kept = b'x' * 2**25; print(1, flush=True)\n"
    inner = f"{code}time.sleep(60)"
    # The grandchild leaves the group.
    outer = f"{code}subprocess.run([sys.executable, '-c', {inner!r}], start_new_session=True)"
    process = subprocess.Popen([sys.executable, "-c", outer], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    with process.stdout:
        for _ in range(2):
            process.stdout.readline()
        tree = process_tree(process.pid)
        assert len(tree) == 2 and 64 < memory_mb(tree) < 128
        kill_tree(process.pid)
    assert process.wait() == -9
    assert wait_for(lambda: not is_running(tree[1]))
