"""Verification in a process with limits: the same answers as without, and a clear end for what is hostile."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import resnetx
from resnetx.base.isolation import PYTHON
from resnetx.base.process_tree import process_tree
from resnetx.errors import FileError, GraphError, ResnetxError, UsageError
from resnetx.graph.card import embed_card, read_card
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.inputs.timed import DISTINCT_INPUTS
from resnetx.machine.gpus import has_nvidia_hardware
from resnetx.model.config import resnet_config
from resnetx.runtime.catalog import BY_NAME
from resnetx.runtime.memory_limit import COMPUTED_MOST_MB, INPUTS_MOST_MB, memory_limit_mb
from resnetx.verification import isolated
from resnetx.verification.isolated import IsolationOptions, verify_isolated
from resnetx.verification.messages import read_order, write_order
from resnetx.verification.parity import Tolerance
from resnetx.verification.rebuild import rebuild
from resnetx.verification.result import Verification
from resnetx.verification.verify import VerifyOptions, verify_file
from resnetx.weights.sources import is_remote
from tests.conftest import TINY_SIZE, tiny_config
from tests.support import graph_bombs
from tests.support.loopback import Loopback
from tests.support.measured import measured
from tests.support.watching import Listening

BOMBS = {
    bomb.__name__: bomb
    for bomb in (
        graph_bombs.constant_bomb,
        graph_bombs.expand_bomb,
        graph_bombs.concat_bomb,
        graph_bombs.resize_bomb,
        graph_bombs.tile_bomb,
    )
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "ours.onnx"
    golden = path.with_suffix(".npz")
    assert resnetx.export(tiny_config(), path, image_size=TINY_SIZE, golden=golden).passed
    return path


def harmless(folder: Path) -> Path:
    (folder / "harmless.onnx").write_bytes(graph_bombs.harmless())
    return folder / "harmless.onnx"


def untimed(result: Verification) -> Verification:
    file = None if result.file is None else replace(result.file, seconds=0.0)
    return replace(result, file=file, verdicts=tuple(replace(each, seconds=0.0) for each in result.verdicts))


# The same answers.


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"layers": True, "batches": (2, 1), "seed": 3},
        {"golden": "golden"},
        {"reference": "itself"},
        {"tolerance": Tolerance(atol=1e-30)},
        {"images": "array", "samples": 2},
    ],
    ids=str,
)
def test_the_result_is_the_one_without_isolation(ours: Path, changes: dict[str, Any]) -> None:
    given = {
        "golden": ours.with_suffix(".npz"),
        "itself": ours,
        "array": np.random.default_rng(0).integers(0, 256, (2, TINY_SIZE, TINY_SIZE, 3), np.uint8),
    }
    changes = {name: given.get(value, value) if isinstance(value, str) else value for name, value in changes.items()}
    options = VerifyOptions(**changes)
    told = Listening(), Listening()
    here = verify_file(ours, options, progress=told[0])
    there = verify_isolated(ours, options, progress=told[1])
    assert there == here and asdict(untimed(there)) == asdict(untimed(here))
    assert untimed(there).to_json() == untimed(here).to_json()
    assert told[1].steps == told[0].steps and told[0].steps[3] == "step 4 of 4: verifying on cpu"


@pytest.mark.parametrize(
    "options",
    [
        VerifyOptions(providers=("cuda",)),
        VerifyOptions(batches=(0,)),
        VerifyOptions(golden=Path("absent.npz")),
        VerifyOptions(weights="absent.pt"),
        VerifyOptions(images=Path("absent")),
    ],
    ids=str,
)
def test_errors_are_those_without_isolation(ours: Path, options: VerifyOptions) -> None:
    with pytest.raises(ResnetxError) as here:
        verify_file(ours, options)
    with pytest.raises(ResnetxError) as there:
        verify_isolated(ours, options)
    assert (type(there.value), str(there.value)) == (type(here.value), str(here.value))


def test_every_option_reaches_the_process(tmp_path: Path) -> None:
    options = VerifyOptions(
        weights="w.pt",
        golden=Path("g.npz"),
        reference=Path("r.onnx"),
        providers=("cpu", "openvino"),
        provider_options={"openvino:NUM_STREAMS": "1"},
        batches=(1, 2),
        samples=3,
        images=np.ones((1, 2)),
        seed=4,
        tolerance=Tolerance(atol=0.1, rtol=0.2),
        precision="fp16",
        session="bf16",
        layers=False,
    )
    defaults = VerifyOptions()
    same = [
        each.name for each in fields(options) if repr(getattr(options, each.name)) == repr(getattr(defaults, each.name))
    ]
    assert same == ["module"], "set every option here, so that this test sees it"
    path, read = read_order(write_order(Path("m.onnx"), options, tmp_path))
    assert path == Path("m.onnx") and isinstance(read.images, np.ndarray)
    assert np.array_equal(read.images, np.ones((1, 2)))
    assert replace(read, images=None) == replace(options, images=None)
    folder = replace(options, images=Path("d"))
    assert read_order(write_order(Path("m.onnx"), folder, tmp_path))[1] == folder


def test_from_python_with_and_without_a_module(ours: Path) -> None:
    card = read_card(read_onnx(ours))
    assert card is not None
    assert resnetx.verify(ours).passed
    assert resnetx.verify(ours, rebuild(card).network, batches=[1]).passed
    with pytest.raises(UsageError, match="`memory_mb` takes a number above 0"):
        resnetx.verify(ours, memory_mb=-1)


# Hostile files.


def command_line(*arguments: str | Path) -> tuple[int, str, int]:
    """The exit status of the command, what it wrote, and the largest memory of its processes in bytes."""
    return measured([sys.executable, "-m", "resnetx.cli.main", *arguments])


@pytest.mark.parametrize(("name", "role"), [*((name, "model") for name in BOMBS), ("expand_bomb", "reference")])
def test_a_bomb_is_refused_before_it_takes_the_memory(tmp_path: Path, name: str, role: str) -> None:
    bomb = tmp_path / "bomb.onnx"
    bomb.write_bytes(BOMBS[name]())
    assert bomb.stat().st_size < 2000
    model, reference = (bomb, harmless(tmp_path)) if role == "model" else (harmless(tmp_path), bomb)
    status, output, peak = command_line("verify", model, "--reference", reference)
    assert status == 2 and "resnetx: " in output, output
    # The runtime itself refuses some tensors before the limit does.
    assert ("exceeded the memory limit of 801 MB" in output and "--memory-mb" in output) or "could not run" in output
    assert peak < 1.5 * 2**30


@pytest.mark.parametrize("role", ["model", "reference"])
def test_a_loop_without_end_is_ended(tmp_path: Path, role: str) -> None:
    (tmp_path / "loop.onnx").write_bytes(graph_bombs.endless_loop())
    assert (tmp_path / "loop.onnx").stat().st_size < 250
    pair = [tmp_path / "loop.onnx", harmless(tmp_path)]
    model, reference = pair if role == "model" else pair[::-1]
    limits = IsolationOptions(timeout_s=6)
    with pytest.raises(GraphError, match=r"was not verified: it took longer than 6 s.*--timeout"):
        verify_isolated(model, VerifyOptions(reference=reference), limits)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.kill(os.getpid(), 11)", "it crashed (SIGSEGV)"),
        ("raise SystemExit(3)", "it failed with exit status 3"),
        ("pass", "it ended without an answer"),
        ("""print('{"verification": 3}')""", "its answer is invalid"),
        ("""print('{"error": "KeyError: 1", "kind": "KeyError"}')""", "KeyError: 1"),
        ("""print('{"error": "x", "kind": "FileError"}')""", "(x)"),
        ("""print('{"error": "x", "kind": "Path", "deliberate": true}')""", "(x)"),
        ("print('[]')", "it ended without an answer"),
    ],
)
def test_a_process_that_fails_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    (tmp_path / "scripted.py").write_text(f"import sys; sys.stdin.readline()\n{code}")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(isolated, "CHILD", (*PYTHON, "scripted"))
    path = harmless(tmp_path)
    with pytest.raises(GraphError) as caught:
        verify_isolated(path, VerifyOptions(reference=path))
    assert str(caught.value).startswith(f"{path} was not verified: ") and words in str(caught.value)


def test_a_file_that_is_none_is_refused_and_its_process_ended(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(GraphError, match="not an ONNX file"):
        verify_isolated(tmp_path / "m.onnx", VerifyOptions())
    with pytest.raises(FileError, match="no file"):
        verify_isolated(tmp_path / "absent.onnx", VerifyOptions())
    children = process_tree(os.getpid())[1:]
    commands = [Path(f"/proc/{child}/cmdline").read_text() for child in children]
    assert not any("verify_worker" in command for command in commands)


def test_no_process_is_left_by_an_interrupted_verification(tmp_path: Path) -> None:
    (tmp_path / "loop.onnx").write_bytes(graph_bombs.endless_loop())
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "resnetx.cli.main", "verify", tmp_path / "loop.onnx", "--reference", harmless(tmp_path)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.DEVNULL,
    )

    def children() -> list[Path]:
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"TMPDIR={temporary}/".encode() in path.read_bytes():
                    found.append(path)
            except OSError:
                continue
        return found

    until = time.monotonic() + 60
    while not children() and time.monotonic() < until:
        time.sleep(0.05)
    assert children()
    process.kill()
    process.wait()
    while children() and time.monotonic() < until:
        time.sleep(0.05)
    assert children() == []


def test_a_bomb_in_a_benchmark_ends_its_case_only(tmp_path: Path) -> None:
    bomb, report = tmp_path / "bomb.onnx", tmp_path / "r.json"
    bomb.write_bytes(graph_bombs.expand_bomb())
    short = ("--provider", "cpu", "--duration", "0.1", "--rounds", "2", "--no-verify")
    status, _, peak = command_line("bench", bomb, harmless(tmp_path), *short, "--json", report)
    first, second = json.loads(report.read_text())["cases"]
    assert (first["status"], second["status"]) == ("failed", "ok") and status == 1
    assert first["error"] == "it exceeded its memory limit of 801 MB; allow more with --memory-mb"
    assert peak < 1.5 * 2**30


# The limit.


def limit(**changes: Any) -> int:
    usual: dict[str, Any] = {
        "file_bytes": 102 * 10**6,
        "inputs": [[None, 3, 224, 224]],
        "batch": 17,
        "free_size": 224,
        "providers": ["cpu"],
    }
    return memory_limit_mb(**{**usual, **changes})


def test_the_limit_leaves_room_for_honest_files_and_none_for_bombs() -> None:
    assert limit() > 3000
    assert limit(file_bytes=240 * 10**6, inputs=[[None, 3, 768, 768]], batch=3) > 5000
    assert limit(file_bytes=1000) < 900
    assert limit(file_bytes=1000, providers=["auto"]) < 1200 or has_nvidia_hardware()
    assert limit(file_bytes=1000, batch=256) > 256 * 3 * 224 * 224 * 4 * DISTINCT_INPUTS / 2**20 + 500
    assert limit(file_bytes=1000, inputs=[[10**6, 3, 10**6, 10**6]]) < 900 + INPUTS_MOST_MB
    assert limit(inputs=[[10**6, 3, 10**6, 10**6]]) < 900 + 1200 + INPUTS_MOST_MB + COMPUTED_MOST_MB


def test_a_small_network_of_large_images_has_room(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    config = resnet_config(stages=(1, 1), width=8, block="basic")
    resnetx.export(config, path, image_size=768, verify=False)
    assert path.stat().st_size < 150_000
    assert verify_isolated(path, VerifyOptions()).passed


@given(
    small=st.integers(0, 2**30),
    more=st.integers(0, 2**30),
    batch=st.integers(1, 64),
    providers=st.lists(st.sampled_from([*BY_NAME, "auto"]), min_size=1, max_size=3),
)
def test_the_limit_grows_with_what_it_depends_on(small: int, more: int, batch: int, providers: list[str]) -> None:
    least = limit(file_bytes=small, batch=batch, providers=providers)
    assert least <= limit(file_bytes=small + more, batch=batch, providers=providers)
    assert least <= limit(file_bytes=small, batch=batch + 1, providers=providers)
    assert least <= limit(file_bytes=small, batch=batch, providers=[*providers, "openvino"])


# Where a card says its weights are.


@pytest.mark.parametrize(
    "source",
    [
        *("https://127.0.0.1/w.pt#sha256=" + "0" * 64, "http://169.254.169.254/latest/meta-data", "hf://a/b", "hf:a/b"),
        *(
            "HTTPS://h/w",
            "ftp://h/w",
            "file:///etc/passwd",
            "//host/share/w.pt",
            r"\\host\share\w.pt",
            "smb:x",
            "s3://b/w",
        ),
        *("/net/host/w.pt", "/afs/cell/w.pt", " https://h/w", "https:/h/w"),
    ],
)
def test_a_card_causes_no_request(ours: Path, tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", None)  # whoever tries fails differently
    card = read_card(read_onnx(ours))
    assert card is not None and is_remote(source)
    with pytest.raises(UsageError, match=r"may not make resnetx contact a host.*--weights"):
        rebuild(replace(card, weights=replace(card.weights, source=source)))


@pytest.mark.parametrize("command", ["verify", "bench"])
def test_a_servers_log_stays_empty(ours: Path, tmp_path: Path, command: str) -> None:
    with Loopback() as server:
        model = read_onnx(ours)
        card = read_card(model)
        assert card is not None
        source = f"{server.address}/weights.pt#sha256={'0' * 64}"
        embed_card(model, replace(card, weights=replace(card.weights, source=source)))
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        short = ("--duration", "0.1", "--rounds", "2") if command == "bench" else ()
        status, output, _ = command_line(command, tmp_path / "m.onnx", *short)
        assert status != 0 and "contact a host" in output, output
        assert server.requests == []


def test_the_users_own_weights_may_come_from_anywhere(ours: Path) -> None:
    with Loopback() as server:
        options = VerifyOptions(weights=f"{server.address}/w.pt#sha256={'0' * 64}")
        with pytest.raises(ResnetxError, match="404"):
            verify_isolated(ours, options)
        assert len(server.requests) == 1


@pytest.mark.parametrize("source", ["/dev/zero", "/dev/stdin", "pipe"])
def test_a_card_names_no_device(ours: Path, tmp_path: Path, source: str) -> None:
    if source == "pipe":
        source = str(tmp_path / "pipe")
        os.mkfifo(source)
    card = read_card(read_onnx(ours))
    assert card is not None
    with pytest.raises(UsageError, match=r"no regular file: nothing is read"):
        rebuild(replace(card, weights=replace(card.weights, source=source)))


@pytest.mark.parametrize("source", ["w.pt", "./w.pt", "/tmp/w.pt", "C:/w.pt", r"C:\w.pt", "a folder/w.pt", ""])
def test_paths_are_no_addresses(source: str) -> None:
    assert not is_remote(source)
