"""Signals at many moments of the long commands: the old file or the new one is left, and nothing else."""

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.corpus import TINY, Corpus, make_corpus

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGKILL: -9}
# What a killed process cannot remove, and the next run does.
TEMPORARY = re.compile(r"\..*\.[0-9a-f]{8}\.tmp\..*")
CHILDREN_END_S = 10


@dataclass(frozen=True, kw_only=True)
class Command:
    """`targets` are the files that it writes."""

    arguments: tuple[str, ...]
    targets: tuple[str, ...]


def commands(corpus: Corpus) -> dict[str, Command]:
    model = str(corpus.model)
    timing = ("--provider", "cpu", "--duration", "0.5", "--rounds", "3")
    made_up = ("--calibrate", "synthetic", "--samples", "8")
    return {
        "export": Command(
            arguments=("export", *TINY, "-o", "m.onnx", "--golden", "g.npz", "--json", "r.json"),
            targets=("m.onnx", "g.npz", "r.json"),
        ),
        "simplify": Command(
            arguments=("simplify", model, "-o", "m.onnx", "--json", "r.json"), targets=("m.onnx", "r.json")
        ),
        "convert": Command(
            arguments=("convert", model, "-o", "m.onnx", "--json", "r.json"), targets=("m.onnx", "r.json")
        ),
        "quantize": Command(
            arguments=("quantize", model, "-o", "m.onnx", *made_up, "--json", "r.json"), targets=("m.onnx", "r.json")
        ),
        "verify": Command(
            arguments=("verify", model, "--json", "r.json", "--junit", "r.xml", "--html", "r.html"),
            targets=("r.json", "r.xml", "r.html"),
        ),
        "bench": Command(
            arguments=("bench", model, *timing, "--json", "r.json", "--html", "r.html"), targets=("r.json", "r.html")
        ),
        "profile": Command(
            arguments=("profile", model, "--duration", "0.1", "--json", "r.json", "--html", "r.html"),
            targets=("r.json", "r.html"),
        ),
    }


@dataclass(frozen=True)
class Kill:
    """One signal at one moment, and what was wrong afterwards."""

    command: str
    signal: signal.Signals
    moment_s: float
    problems: tuple[str, ...]


def kill_at_moments(
    corpus: Corpus, *, moments: int, seed: int, names: tuple[str, ...] = (), signals: tuple[signal.Signals, ...] = ()
) -> Iterator[Kill]:
    """Each command is run once to the end, and then interrupted at `moments` random moments of that time."""
    rng = random.Random(seed)
    for name, command in commands(corpus).items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory(prefix="kills-") as folder:
            private, out = Path(folder) / "tmp", Path(folder) / "out"
            private.mkdir()
            out.mkdir()
            began = time.monotonic()
            _run(command, out, private, lambda _: None)
            lasts = time.monotonic() - began
            for number in range(moments):
                moment = rng.uniform(0, 1.05 * lasts)
                which = (signals or tuple(STATUS))[number % len(signals or STATUS)]
                yield Kill(name, which, moment, tuple(_killed(command, out, private, which, moment)))


def _killed(command: Command, out: Path, private: Path, which: signal.Signals, moment: float) -> list[str]:
    before = {name: _digest(out / name) for name in command.targets}

    def interrupt(child: "subprocess.Popen[str]") -> None:
        with suppress(subprocess.TimeoutExpired):
            child.wait(moment)
        child.send_signal(which)

    status, shown, marker = _run(command, out, private, interrupt)
    problems = []
    if status not in (0, 1, STATUS[which], -which):
        problems.append(f"exit status {status}: {shown[-300:]}")
    # Before the program has begun, an interruption is Python's own.
    if "Traceback" in shown and "resnetx" in shown:
        problems.append(f"a traceback: {shown[-300:]}")
    ended = _wait_for_children(marker)
    if not ended:
        problems.append("children live on")
    allowed = set(command.targets)
    left = {path.name for path in out.iterdir()} - allowed
    if which == signal.SIGKILL:
        left = {name for name in left if not TEMPORARY.fullmatch(name)}
    problems += [f"left in the target folder: {name}" for name in left]
    problems += [
        f"{name} is neither the old file nor a complete one"
        for name in command.targets
        if _digest(out / name) != before[name] and not _complete(out / name)
    ]
    if which != signal.SIGKILL:
        problems += [f"left in the temporary folder: {path.name}" for path in private.glob("resnetx-*")]
    for path in private.iterdir():
        shutil.rmtree(path, ignore_errors=True)
    return problems


def _run(
    command: Command, out: Path, private: Path, during: Callable[["subprocess.Popen[str]"], None]
) -> tuple[int, str, str]:
    marker = f"RESNETX_KILLS={os.urandom(8).hex()}"
    name, _, value = marker.partition("=")
    child = subprocess.Popen(
        [sys.executable, "-m", "resnetx", *command.arguments],
        cwd=out,
        env=os.environ | {"TMPDIR": str(private), name: value},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    during(child)
    _, shown = child.communicate(timeout=300)
    return child.returncode, shown, marker


def _complete(path: Path) -> bool:
    """Whether a file that was replaced is whole, as its reader sees it."""
    if not path.exists():
        return True
    import json
    import zipfile
    from xml.etree import ElementTree

    import onnx

    try:
        match path.suffix:
            case ".onnx":
                onnx.checker.check_model(onnx.load(path))
            case ".npz":
                with zipfile.ZipFile(path) as archive:
                    return archive.testzip() is None
            case ".json":
                json.loads(path.read_text())
            case ".xml":
                ElementTree.fromstring(path.read_text())
            case _:
                return path.read_text().rstrip().endswith("</html>")
    except Exception:
        return False
    return True


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _wait_for_children(marker: str) -> bool:
    """Whether every process with the marker in its environment has ended; those that have not are killed."""
    until = time.monotonic() + CHILDREN_END_S
    while (alive := _with_marker(marker)) and time.monotonic() < until:
        time.sleep(0.02)
    for pid in alive:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return not alive


def _with_marker(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if marker.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kills", description=__doc__)
    parser.add_argument("--moments", type=int, default=100, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", action="append", default=[])
    parser.add_argument("--corpus", type=Path, help="a folder to keep the honest files in for the next run")
    options = parser.parse_args()
    failed = total = 0
    with tempfile.TemporaryDirectory(prefix="kills-corpus-") as folder:
        corpus = make_corpus(options.corpus or Path(folder))
        for kill in kill_at_moments(corpus, moments=options.moments, seed=options.seed, names=tuple(options.command)):
            total += 1
            failed += bool(kill.problems)
            said = "; ".join(kill.problems) or "ok"
            print(f"{kill.command}, {kill.signal.name} after {kill.moment_s:.2f} s: {said}", flush=True)
    print(f"{total} signals, {failed} with a problem")
    sys.exit(1 if failed or not total else 0)


if __name__ == "__main__":
    main()
