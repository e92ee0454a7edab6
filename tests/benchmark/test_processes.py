"""The processes of a benchmark: what fails in a helper, what falls back, and who is left when the parent goes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import resnetx
from resnetx.base.worker_process import ChildError
from resnetx.benchmark import child_tasks
from resnetx.benchmark import run as benchmarking
from resnetx.benchmark.child_tasks import best_provider_here, computed_truths, measured_limits
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.plan import look_into
from resnetx.benchmark.run import passed, run_benchmark
from resnetx.errors import RuntimeUnavailableError
from resnetx.report.bench import render_bench
from resnetx.report.html.page import render_html
from resnetx.report.rerun_command import bench_command
from resnetx.runtime.catalog import BY_NAME, engine_of
from tests.benchmark.test_run import FAKE, QUICK, shown
from tests.conftest import TINY_SIZE, tiny_config
from tests.support.onnx_models import small_classifier

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarking, "measured_limits", lambda threads, gpu: None)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    return tmp_path / "m.onnx"


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "ours.onnx"
    assert resnetx.export(tiny_config(), path, image_size=TINY_SIZE).passed
    return path


def failing(*_: Any, **__: Any) -> Any:
    raise ChildError("it crashed (SIGILL)")


# Helpers.


def test_limits_that_crash_leave_the_cases_unharmed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarking, "measured_limits", failing)
    result = run_benchmark([model], replace(QUICK, verify=False), worker=FAKE)
    assert passed(result) and result.limits is None
    assert result.limits_problem == "it crashed (SIGILL)"
    assert "limits were not measured: it crashed (SIGILL)" in " ".join(shown(result).split())


def test_a_truth_that_crashes_leaves_the_case_unverified(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_tasks, "ask_helper", failing)
    (case,) = run_benchmark([ours], QUICK).cases
    assert case.status == "ok" and case.parity is not None and not case.parity.passed
    assert case.parity.reason == "the reference could not be computed: it crashed (SIGILL)"
    with pytest.raises(RuntimeUnavailableError, match="SIGILL"):
        best_provider_here(precision="fp32", threads=1)


def test_a_helper_that_cannot_says_why(ours: Path, tmp_path: Path) -> None:
    model = look_into(ours)
    assert model.card is not None
    broken = replace(model.card, weights=replace(model.card.weights, source="gone.safetensors"))
    answer = computed_truths(replace(model, card=broken), [1], ["fp32"], tmp_path, BenchOptions(threads=1))
    assert isinstance(answer, str) and "gone.safetensors" in answer
    with pytest.raises(ChildError, match="at least one thread"):
        measured_limits(0)


def test_torch_stays_out_of_the_parent(ours: Path) -> None:
    """Its libraries take memory, and may be built for another processor."""
    script = f"""
import sys
from pathlib import Path
from resnetx.benchmark import run
from resnetx.benchmark.options import BenchOptions
run.measured_limits = lambda threads, gpu: None
options = BenchOptions(providers=("cpu", "torch"), duration_s=0.02, rounds=2, warmup=1, threads=1)
result = run.run_benchmark([Path({str(ours)!r})], options)
print(run.passed(result), [case.parity.passed for case in result.cases], "torch" in sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENCE_S)
    assert answer.stdout.split("\n")[0] == "True [True, True] False", answer.stderr


# Falling back.


def test_a_fallback_is_refused_unless_allowed_and_then_marked(model: Path) -> None:
    if engine_of(BY_NAME["cuda"]).why_not() is None:
        pytest.skip("CUDA works here")
    options = replace(QUICK, providers=("cuda", "cpu"))
    refused, _ = run_benchmark([model], options).cases
    assert refused.status == "failed" and "was requested, but it does not run" in str(refused.error)
    result = run_benchmark([model], replace(options, allow_fallback=True))
    fallen, honest = result.cases
    assert (fallen.status, fallen.provider, fallen.placement[0][0]) == ("ok", "cuda", "cpu")
    assert fallen.fallback is not None and honest.fallback is None
    assert any(words.startswith("It ran on cpu instead of cuda: ") for words in fallen.warnings)
    assert not any("instead of" in words for words in honest.warnings)
    text = shown(result)
    assert "cuda!" in text and "! fell back" in text and "cuda->cpu" in text
    page = render_html(result)
    assert page.count("⚠ fell back") == 1 and "cuda-&gt;cpu" in page
    assert "--allow-fallback" in bench_command(fallen, result.settings)
    assert json.loads(json.dumps(result.to_json()))["cases"][0]["fallback"] == fallen.fallback
    assert render_bench(result)


# The parent ends.


def children_of(folder: Path) -> list[int]:
    """The processes whose temporary files go below `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={folder}/resnetx-bench-".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it has ended, or is another's
            continue
    return found


def wait_for(condition: Callable[[], object]) -> bool:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def running(model: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A benchmark of many seconds whose first case is open, and its folder for temporary files."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("there is no /proc to look for processes in")
    folder = model.parent / "temporary"
    folder.mkdir()
    command = ["bench", str(model), "--provider", "cpu", "--threads", "1", "--duration", "30", "--rounds", "100"]
    process = subprocess.Popen(
        [sys.executable, "-m", "resnetx.cli.main", *command, "--json", str(model.parent / "r.json")],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert wait_for(lambda: len(children_of(folder)) == 1 or process.poll() is not None)
        assert process.poll() is None
        yield process, folder
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def test_sigterm_ends_the_children_writes_and_cleans_up(running: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, folder = running
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 143
    assert children_of(folder) == [] and list(folder.glob("resnetx-*")) == []
    assert json.loads((folder.parent / "r.json").read_text())["cases"][0]["status"] == "interrupted"


def test_children_notice_that_their_parent_was_killed(running: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, folder = running
    process.kill()
    process.wait(PATIENCE_S)
    assert wait_for(lambda: children_of(folder) == [])
