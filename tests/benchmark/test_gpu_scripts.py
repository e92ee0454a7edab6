"""The scripts for a machine with a GPU, with the processor in its place."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import gpu_check
import gpu_parity
import gpu_variants
import logged_steps
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import resnetx
from resnetx.benchmark.result import BenchCase, ColdStart
from resnetx.runtime.catalog import open_runner
from tests.conftest import TINY_SIZE, tiny_config

ROOT = Path(gpu_check.__file__).parent.parent
SHORT_PARITY = ["--provider", "cpu", "--batch", "1", "--path", "host", "--busy"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    kinds = {"fp32": {}, "fp16": {"precision": "fp16"}, "pixels": {"precision": "fp16", "preprocess": "uint8"}}
    for name, options in kinds.items():
        done = resnetx.export(tiny_config(), folder / f"{name}.onnx", image_size=TINY_SIZE, **options)  # type: ignore[arg-type]
        assert done.passed
    return folder


def test_parity_knows_right_from_wrong(models: Path, tmp_path: Path) -> None:
    paths = ("host", "graph", "device")
    right = list(gpu_parity.rows(models / "fp32.onnx", ["cpu"], [1, 3], paths))
    assert len(right) == 4 and all(row.as_expected and row.multiple is not None for row in right)
    assert {(row.boundary, row.batch) for row in right} == {(b, n) for b in ("host", "device") for n in (1, 3)}
    model = onnx.load(models / "fp32.onnx")
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(model, tmp_path / "wrong.onnx")
    wrong = list(gpu_parity.rows(tmp_path / "wrong.onnx", ["cpu"], [1], paths))
    assert [row.as_expected for row in wrong] == [False, False]
    assert "times the reference's own fp32 error, and 8 are allowed" in wrong[0].line()


def test_images_get_more_channels_and_the_answer_stays(models: Path) -> None:
    model = onnx.load(models / "fp32.onnx")
    plain, padded = open_runner(model.SerializeToString()), open_runner(gpu_variants.padded(model))
    (info,) = plain.inputs
    array = np.random.default_rng(0).standard_normal((2, *info.shape[1:])).astype(np.float32)
    expected, found = (runner.run({info.name: array})["logits"] for runner in (plain, padded))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_variants_are_timed_and_compared(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--provider", "cpu", "--batch", "2", "--only", "^torch|as resnetx|NCHW", "--rounds", "2"]
    command = ["gpu_variants.py", str(models / "fp16.onnx"), *options, "--seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", [*command, "--kernels", "--json", str(tmp_path / "v.json")])
    gpu_variants.main()
    rows = json.loads((tmp_path / "v.json").read_text())
    assert [row["name"] for row in rows] == ["torch", "cpu, as resnetx sets it", "cpu, NCHW"]
    assert all(row["ms"] > 0 and row["ratio"] > 0 for row in rows) and rows[0]["ratio"] == 1
    assert "opened torch, batch 2" in capsys.readouterr().out


def test_a_step_that_fails_is_told_and_the_others_go_on(models: Path, tmp_path: Path) -> None:
    command = ["benchmarks/gpu_check.py", "--provider", "cpu", "--models", str(models), "--steps", "parity"]
    (models / "pixels.onnx").rename(tmp_path / "kept.onnx")
    (models / "pixels.onnx").write_bytes(b"nothing")
    try:
        done = subprocess.run(
            [sys.executable, *command, "--batch", "1,2", "--out", str(tmp_path / "out")],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    finally:
        (tmp_path / "kept.onnx").replace(models / "pixels.onnx")
    assert done.returncode == 1
    assert "parity fp32: exit 0" in done.stdout and "parity pixels: exit 1" in done.stdout
    assert "TensorRT does not work here and was not tested" in done.stdout
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["failed"] == ["parity pixels"]
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").glob("parity-*.json")}
    assert set(found) == {"parity-fp32", "parity-fp16", "parity-int8", "parity-busy"}
    assert len(found["parity-fp16"]) == 4 and len(found["parity-busy"]) == int(gpu_check.BUSY_SESSIONS)
    assert {row["precision"] for row in found["parity-int8"]} == {"int8"}


def test_parity_is_compared_again_and_again_while_another_process_uses_the_device(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["gpu_parity.py", str(models / "fp16.onnx"), *SHORT_PARITY, "--sessions", "3"]
    monkeypatch.setattr(sys, "argv", [*command, "--option", "cpu:enable_mem_pattern=0", "--json", str(tmp_path / "p")])
    with pytest.raises(SystemExit) as ended:
        gpu_parity.main()
    assert ended.value.code == 0 and len(json.loads((tmp_path / "p").read_text())) == 3
    for work, words in (("1 / 0", "was to use cpu failed"), ("print('busy', flush=True)", "nothing was proven")):
        monkeypatch.setattr(gpu_parity, "WORK", work)
        with pytest.raises(SystemExit, match=words):
            gpu_parity.main()


class Told(logged_steps.Steps):
    """Steps that are told, and not taken; all of them succeed."""

    def __init__(self) -> None:
        self.commands: dict[str, tuple[str, ...]] = {}
        self.failed = []

    def run(self, name: str, *arguments: str, must: bool = True, shown: int = 0) -> bool:
        self.commands[name] = arguments
        return True


def test_with_tensorrt_everything_runs_on_it_too(tmp_path: Path) -> None:
    settings = {"steps": gpu_check.STEPS, "batches": "1,64", "length": (), "rounds": "1", "round_s": "1"}
    told, modes = Told(), ("max-autotune",)
    plan = gpu_check.Plan(provider="cuda", out=tmp_path, models=tmp_path, compile_modes=modes, **settings)  # type: ignore[arg-type]
    assert gpu_check.check(plan, told) == []
    commands = {name: " ".join(arguments) for name, arguments in told.commands.items()}
    assert "--target tensorrt" in commands["quantize"]
    for kind in ("fp32", "fp16", "pixels", "int8"):
        assert f"verify {kind}, tensorrt" in commands
        providers = "tensorrt" if kind == "int8" else "cuda,cudnn,tensorrt"
        assert f"{kind}.onnx --provider {providers} " in commands[f"parity {kind}"]
    assert "verify int8, cuda" not in commands and "cudnn_conv_algo_search" not in commands["parity fp16, busy"]
    assert "cuda:cudnn_conv_algo_search=EXHAUSTIVE" in commands["parity fp16, busy, exhaustive search"]
    # The engines of the first benchmark are in the cache for the last one.
    runs = [name for name in commands if name.startswith("bench")]
    assert runs[0] == "bench, device, fp16" and runs[-2:] == ["bench, device, INT8", "bench, device, engines of before"]
    assert "fp16.onnx" in commands[runs[-2]] and "int8.onnx --provider tensorrt" in commands[runs[-2]]
    assert all("tensorrt:trt_fp16_enable=1" in commands[runs[each]] for each in (0, -2, -1))


def test_a_table_tells_where_engines_came_from() -> None:
    case = BenchCase(
        model="m/fp16.onnx",
        provider="tensorrt",
        batch=64,
        threads=1,
        samples_ms=[[1.0]],
        status="ok",
        cold=ColdStart(session_s=41.2, first_run_ms=1.0, engine="built"),
        restarts=[ColdStart(session_s=0.9, first_run_ms=1.0, engine="from cache")],
    )
    run = SimpleNamespace(cases=[case, replace(case, cold=None, restarts=[])])
    words = "fp16, tensorrt, batch 64: built in 41.2 s, from cache in 0.9 s"
    assert gpu_check.engines(run) == [words]  # type: ignore[arg-type]
