"""Runs cases in forked children with a hard limit, and judges each by one rule.

Forks of a process that has loaded the libraries start in milliseconds, can be killed whatever they do, and have a peak
memory of their own.
"""

import hashlib
import json
import os
import random
import re
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.case import Family, Setting
from tests.fuzz.corpus import Corpus

MAX_REFUSED_MB = 1500
# What a command's libraries take; a fork of a larger process is not charged for what it inherits beyond this.
LIBRARIES_MB = 600
LONGEST_OUTPUT = 2_000_000
# A case that waits, for a pipe or a lock, is given this many times the limit of one that computes.
WAITING = 4
LONGEST_ERROR = 6000
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True)
class Outcome:
    """`problems` is empty if the case went as it should."""

    family: str
    seed: int
    status: int
    seconds: float
    peak_mb: int
    problems: tuple[str, ...]
    arguments: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.family}:{self.seed}"


@dataclass
class Running:
    family: str
    seed: int
    folder: Path
    started: float
    limit_s: float


def run_cases(
    cases: Iterable[tuple[str, int]], families: Mapping[str, Family], corpus: Corpus, *, jobs: int, until: float
) -> Iterator[Outcome]:
    """Outcomes as they come; no case begins after `until` on the monotonic clock."""
    waiting = iter(cases)
    running: dict[int, Running] = {}
    more = True
    try:
        while more or running:
            while more and len(running) < jobs:
                case = next(waiting, None)
                if case is None or time.monotonic() > until:
                    more = False
                    break
                pid, state = _start(*case, families[case[0]], corpus)
                running[pid] = state
            for pid, state in list(running.items()):
                late = _late(pid, state)
                done, status, usage = os.wait4(pid, os.WNOHANG)
                if not done and late:
                    with suppress(ProcessLookupError):
                        os.killpg(pid, signal.SIGKILL)
                    done, status, usage = os.wait4(pid, 0)
                    late = os.WIFSIGNALED(status)  # it may have ended in the meantime
                elif done:
                    late = False
                if done:
                    del running[pid]
                    yield _judge(state, status, usage.ru_maxrss >> 10, late=late)
            time.sleep(0.003)
    finally:
        for pid in running:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def _late(pid: int, state: Running) -> bool:
    """Whether a case has computed for longer than its limit, or waited for much longer, as on a busy machine."""
    if time.monotonic() - state.started > WAITING * state.limit_s:
        return True
    with suppress(OSError, ValueError, IndexError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK") > state.limit_s
    return False


def _start(name: str, seed: int, family: Family, corpus: Corpus) -> tuple[int, Running]:
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    state = Running(name, seed, folder, time.monotonic(), family.limit_s * (3 if family.real else 1))
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            _child(name, seed, family, corpus, folder)
        except BaseException:
            (folder / "harness.txt").write_text(traceback.format_exc())
        finally:
            os._exit(99)  # reached only if the case could not be made
    return pid, state


def _child(name: str, seed: int, family: Family, corpus: Corpus, folder: Path) -> None:
    work = folder / "work"
    for each in (work, work / "out", folder / "tmp", folder / "cache"):
        each.mkdir()
    setting = Setting(random.Random(f"{name}:{seed}"), work, corpus)
    arguments = family.build(setting)
    (folder / "case.json").write_text(json.dumps(arguments))
    (folder / "before.json").write_text(json.dumps(snapshot(work)))
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        "TMPDIR": str(folder / "tmp"),
        "RESNETX_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "cache"),
        "COLUMNS": "80",
        **setting.environment,
    }
    os.chdir(work)
    for number, path in ((1, setting.stdout or folder / "stdout"), (2, folder / "stderr")):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    (folder / "begun").write_text(str(_resident_mb()))
    if family.real:
        os.execve(sys.executable, [sys.executable, "-m", "resnetx", *arguments], environment)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode) for n, mode in ((0, "r"), (1, "w"), (2, "w")))
    sys.argv = ["resnetx", *arguments]
    _run_here()


def _resident_mb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def _run_here() -> None:
    from resnetx.cli.main import main

    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:
        traceback.print_exc()
        status = 98
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder with a digest of what it is and holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.lstat()
        content = b""
        if stat.S_ISREG(facts.st_mode) and facts.st_size < 2**24:
            content = path.read_bytes()
        elif stat.S_ISLNK(facts.st_mode):
            content = str(path.readlink()).encode(errors="surrogateescape")
        digest = hashlib.sha256(content).hexdigest()[:16]
        found[str(path.relative_to(folder))] = (
            f"{stat.S_IFMT(facts.st_mode):o} {facts.st_size if content else 0} {digest}"
        )
    return found


def _judge(state: Running, status: int, peak_mb: int, *, late: bool) -> Outcome:
    folder = state.folder
    problems = []
    seconds = time.monotonic() - state.started
    code = os.waitstatus_to_exitcode(status)
    arguments: list[str] = []
    with suppress(OSError, ValueError):
        arguments = json.loads((folder / "case.json").read_text())
    if not (folder / "begun").exists():
        detail = (folder / "harness.txt").read_text() if (folder / "harness.txt").exists() else ""
        problems.append(f"the harness failed: {detail[-300:]}")
    elif late:
        problems.append(f"still running after {seconds:.0f} s, with a limit of {state.limit_s:g} s of work")
    elif code not in (0, 1, 2):
        problems.append(f"exit status {code}")
    problems += _said(folder, code) if not late else []
    with suppress(OSError, ValueError):
        peak_mb -= max(0, int((folder / "begun").read_text()) - LIBRARIES_MB)
    if code == 2 and peak_mb > MAX_REFUSED_MB:
        problems.append(f"a refused case took {peak_mb} MB")
    with suppress(OSError, ValueError):
        problems += _changed(json.loads((folder / "before.json").read_text()), snapshot(folder / "work"))
    left = [path.name for path in (folder / "tmp").glob("resnetx-*")] if not late else []
    if left:
        problems.append(f"left in the temporary folder: {left[:3]}")
    shutil.rmtree(folder, ignore_errors=True)
    return Outcome(state.family, state.seed, code, seconds, peak_mb, tuple(problems), tuple(arguments))


def _said(folder: Path, code: int) -> list[str]:
    problems = []
    for name in ("stdout", "stderr"):
        path = folder / name
        if not path.exists():
            continue
        size = path.stat().st_size
        text = path.read_bytes()[:LONGEST_OUTPUT].decode(errors="replace")
        if "Traceback (most recent call last)" in text:
            problems.append(f"a traceback: {text.strip().splitlines()[-1][:200]}")
        elif "unexpected error" in text:
            problems.append(f"an unexpected error: {' '.join(text.split())[:300]}")
        if CONTROLS.search(text):
            problems.append(f"control characters on {name}")
        if size > (LONGEST_ERROR if name == "stderr" else LONGEST_OUTPUT):
            problems.append(f"{size} bytes on {name}")
        if name == "stderr" and code == 2 and not text.strip():
            problems.append("refused without a word")
    return problems


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What is not in `out` may not change, and there nothing may be left half-written."""
    changed = [
        name
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name) and not name.startswith("out/")
    ]
    hidden = [name for name in after if name.startswith("out/") and Path(name).name.startswith(".")]
    return [f"changed: {name[:100]!r}" for name in changed[:3]] + [
        f"left behind: {name[:100]!r}" for name in hidden[:3]
    ]


def seed_of(text: str) -> int:
    return zlib.crc32(text.encode())
