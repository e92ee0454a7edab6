"""The scripts for a machine with a GPU, with the processor in its place."""

import json
import subprocess
import sys
from pathlib import Path

import gpu_check
import gpu_parity
import gpu_variants
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import resnetx
from resnetx.runtime.catalog import open_runner
from tests.conftest import TINY_SIZE, tiny_config

ROOT = Path(gpu_check.__file__).parent.parent


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
    assert len(json.loads((tmp_path / "out" / "parity-fp16.json").read_text())) == 4
