"""A sample of the fuzz cases and of the kills, and the proof that the harness notices what it is there for."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.case import Family, Setting
from tests.fuzz.corpus import Corpus, make_corpus
from tests.fuzz.families import FAMILIES
from tests.fuzz.harness import Outcome, run_cases
from tests.fuzz.kills import STATUS, TEMPORARY, kill_at_moments

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not Path("/proc/self").exists(), reason="needs fork and /proc"
)
SAMPLE = 100


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sample_of_the_cases() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--cases", str(SAMPLE), "--jobs", "1", "--minutes", "14"]
    done = subprocess.run([*command, "--without-limits"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failed" in done.stdout


def judged(build: Callable[[Setting], list[str]], corpus: Corpus, **settings: float) -> Outcome:
    families = {"planted": Family(build=build, share=1, **settings)}  # type: ignore[arg-type]
    (outcome,) = run_cases([("planted", 0)], families, corpus, jobs=1, until=time.monotonic() + 60)
    return outcome


def version(_: Setting) -> list[str]:
    return ["--version"]


def planted(code: Callable[[Setting], object]) -> Callable[[Setting], list[str]]:
    """A case in whose command `code` is run."""

    def build(setting: Setting) -> list[str]:
        import resnetx.cli.main

        def run(_: object) -> int:
            code(setting)
            return 2

        resnetx.cli.main._run = run  # type: ignore[assignment]  # in the fork of the case only
        return ["planted"]

    return build


def raises(_: Setting) -> None:
    raise ZeroDivisionError


def traces(_: Setting) -> None:
    sys.stderr.write("Traceback (most recent call last):\nError: no\n")


def hangs(_: Setting) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1)


def crashes(_: Setting) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def takes_memory(_: Setting) -> None:
    assert len(b"x" * (1700 << 20))


def controls(_: Setting) -> None:
    sys.stderr.write("a\x1b[2Jb\n")


def says_nothing(_: Setting) -> None:
    pass


def writes_elsewhere(setting: Setting) -> None:
    sys.stderr.write("no\n")
    (setting.folder / "stray").touch()


def leaves_half(setting: Setting) -> None:
    sys.stderr.write("no\n")
    (setting.out / ".m.00c0ffee.tmp.onnx").touch()


def talks(_: Setting) -> None:
    sys.stderr.write("x" * 10_000)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (raises, "an unexpected error"),
        (traces, "a traceback"),
        (hangs, "still running"),
        (crashes, "exit status -11"),
        (takes_memory, "a refused case took"),
        (controls, "control characters"),
        (says_nothing, "refused without a word"),
        (writes_elsewhere, "changed: 'stray'"),
        (leaves_half, "left behind"),
        (talks, "bytes on stderr"),
    ],
)
def test_the_harness_notices(corpus: Corpus, code: Callable[[Setting], object], said: str) -> None:
    outcome = judged(planted(code), corpus, limit_s=3 if code is hangs else 60)
    assert said in "; ".join(outcome.problems)


def test_an_honest_command_has_no_problem_and_a_broken_case_is_one(corpus: Corpus) -> None:
    assert judged(version, corpus, limit_s=60).problems == ()
    assert judged(version, corpus, limit_s=60).status == 0

    def broken(_: Setting) -> list[str]:
        raise LookupError

    assert "the harness failed" in judged(broken, corpus).problems[0]


def test_the_families_reach_every_command_and_the_same_seed_is_the_same_case(corpus: Corpus, tmp_path: Path) -> None:
    import random

    commands_seen = set()
    for name, family in FAMILIES.items():
        if name in ("web", "hub"):
            continue  # they start servers
        for seed in range(12):
            built = []
            for repeat in range(2):
                folder = tmp_path / f"{name}-{seed}-{repeat}"
                (folder / "out").mkdir(parents=True)
                setting = Setting(random.Random(f"{name}:{seed}"), folder, corpus)
                built.append([word.replace(str(folder), "") for word in family.build(setting)])
            assert built[0] == built[1]
            commands_seen.update(built[0][:1])
    every = {"export", "simplify", "inspect", "verify", "bench", "profile", "compare", "convert", "quantize", "tune"}
    every |= {"doctor"}
    assert every <= commands_seen


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["verify", "bench", "profile", "simplify", "convert", "quantize", "export"])
def test_signals_at_some_moments(corpus: Corpus, name: str) -> None:
    kills = list(kill_at_moments(corpus, moments=4, seed=1, names=(name,)))
    assert len(kills) == 4 and {kill.signal for kill in kills} == set(STATUS)
    assert [kill for kill in kills if kill.problems] == []


def test_a_temporary_file_is_known_by_its_name() -> None:
    assert TEMPORARY.fullmatch(".m.00c0ffee.tmp.onnx") and not TEMPORARY.fullmatch("m.onnx")
