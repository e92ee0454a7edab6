"""Benchmarks of files without a known network: several inputs, golden bundles and other files as the reference."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import resnetx
from resnetx.benchmark import run as benchmarking
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.plan import plan_cases
from resnetx.benchmark.result_file import parse_benchmark
from resnetx.benchmark.run import run_benchmark
from resnetx.errors import ResnetxError
from resnetx.report.rerun_command import bench_command
from resnetx.verification.golden import Golden, GoldenAbout, read_golden, write_golden
from resnetx.verification.reference_outputs import References, Samples
from tests.benchmark.test_run import QUICK, case_of
from tests.cli.test_main import run
from tests.conversion.test_export import TwoInTwoOut, UNet
from tests.support.onnx_models import convolution_beside, small_classifier
from tests.verification.test_verify import edited


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net with its golden bundle, a copy with a wrong weight, a file with two inputs, and foreign ones."""
    folder = tmp_path_factory.mktemp("references")
    torch.manual_seed(0)
    golden, example = folder / "unet.npz", torch.zeros(1, 3, 16, 16)
    assert resnetx.export(UNet(), folder / "unet.onnx", example=example, golden=golden).passed
    edited(folder / "unet.onnx", folder / "wrong.onnx", "inner.weight", 1.01)
    example = (torch.randn(2, 3, 8, 8), torch.tensor([1, 4]))
    names: dict[str, Any] = {"input_names": ["image", "kind"], "golden": folder / "two.npz"}
    assert resnetx.export(TwoInTwoOut(), folder / "two.onnx", example=example, **names).passed
    (folder / "foreign.onnx").write_bytes(small_classifier())
    (folder / "beside.onnx").write_bytes(convolution_beside("Det"))
    return folder


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's limits have tests of their own, and take seconds."""
    monkeypatch.setattr(benchmarking, "measured_limits", lambda threads, gpu: None)


@pytest.mark.parametrize("source", [{"golden": "unet.npz"}, {"reference": "unet.onnx"}])
def test_a_row_is_verified_against_what_was_given(folder: Path, source: dict[str, str]) -> None:
    options = replace(QUICK, batches=(1, 3), **{name: str(folder / file) for name, file in source.items()})  # type: ignore[arg-type]
    result = run_benchmark([folder / "unet.onnx", folder / "wrong.onnx"], options)
    for batch in (1, 3):
        right = case_of(result, model=str(folder / "unet.onnx"), batch=batch).parity
        assert right is not None and right.passed and len(right.checks) >= 2
        assert str(right.reference).startswith("golden bundle (UNet" if "golden" in source else "unet.onnx in float64")
        assert {check.batch for check in right.checks} == {batch}
        wrong = case_of(result, model=str(folder / "wrong.onnx"), batch=batch).parity
        assert wrong is not None and wrong.checks and not wrong.passed
    assert not result.passed
    again = parse_benchmark(json.dumps(result.to_json()), source="x")
    assert again.settings == options and again.cases == result.cases
    (name,) = source
    assert f"--{name} {folder / source[name]}" in bench_command(result.cases[0], result.settings)


def test_without_a_reference_a_file_is_compared_with_itself_and_its_fault_is_not_seen(folder: Path) -> None:
    """What the reference is for."""
    (case,) = run_benchmark([folder / "wrong.onnx"], QUICK).cases
    assert case.parity is not None and case.parity.passed
    assert str(case.parity.reference).startswith("the file itself, not optimized")


@pytest.mark.parametrize("golden", [None, "two.npz"])
def test_files_of_several_inputs_are_fed_and_verified(folder: Path, golden: str | None) -> None:
    options = replace(QUICK, providers=("cpu", "openvino"), batches=(1, 3))
    options = replace(options, golden=None if golden is None else str(folder / golden))
    result = run_benchmark([folder / "two.onnx"], options)
    assert result.passed and len(result.cases) == 4
    assert all(case.samples_ms and case.parity is not None for case in result.cases)


def test_an_input_without_a_batch_dimension_is_fed_as_it_is(folder: Path) -> None:
    result = run_benchmark([folder / "beside.onnx"], QUICK)
    assert result.passed and result.cases[0].batch == 1


@pytest.mark.parametrize("scenario", ["server", "offline"])
def test_samples_of_several_inputs_come_from_loadgen(folder: Path, scenario: Any) -> None:
    pytest.importorskip("mlperf_loadgen")
    options = BenchOptions(providers=("cpu",), scenario=scenario, duration_s=0.5, batches=(2,), threads=1)
    options = replace(options, target_qps=50.0 if scenario == "server" else None)
    (case,) = run_benchmark([folder / "two.onnx"], options).cases
    assert case.error is None and case.load is not None and case.parity is not None and case.parity.passed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"golden": "absent.npz"}, "absent.npz"),
        ({"golden": "unet.onnx"}, "is not a golden file"),
        ({"reference": "unet.npz"}, "not an ONNX file"),
        ({"golden": "two.npz"}, "its inputs are image, kind, and the model's are input"),
        ({"reference": "foreign.onnx"}, "its inputs are x, and the model's are input"),
    ],
    ids=str,
)
def test_a_reference_of_something_else_is_refused_before_anything_runs(
    folder: Path, options: dict[str, str], words: str
) -> None:
    given: dict[str, Any] = {name: str(folder / file) for name, file in options.items()}
    with pytest.raises(ResnetxError, match=words):
        plan_cases([folder / "unet.onnx"], replace(QUICK, **given))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--golden", "unet.npz", "--reference", "unet.onnx"], "Give one of --golden and --reference"),
        (["--golden", "unet.npz", "--no-verify"], "--golden is for the verification"),
        (["--golden", "unet.npz", "--json", "unet.npz"], "unet.npz"),
    ],
)
def test_the_command_takes_one_reference(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(folder)
    before = (folder / "unet.npz").read_bytes()
    assert run(monkeypatch, "bench", "unet.onnx", "--provider", "cpu", *arguments) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert (folder / "unet.npz").read_bytes() == before


def test_the_command_verifies_against_a_golden_bundle(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--provider", "cpu", "--duration", "0.02", "--rounds", "2", "--processes", "1", "--threads", "1"]
    monkeypatch.chdir(folder)
    assert run(monkeypatch, "bench", "unet.onnx", *quick, "--golden", "unet.npz") == 0
    assert "FAILED" not in capsys.readouterr().out
    assert run(monkeypatch, "bench", "wrong.onnx", *quick, "--golden", "unet.npz") == 1
    assert "FAILED" in capsys.readouterr().out


def test_a_golden_bundle_of_inputs_without_batches_can_be_read(tmp_path: Path) -> None:
    """A table beside images: the bundle's batches are taken as they are."""

    images, table = np.ones((3, 3, 4, 4), np.float32), np.ones((2, 2), np.float32)
    truth = [np.full((3, 3), 4.0)]
    samples = Samples(
        groups=[[table, images]],
        outputs=References(truth=[truth], noisy={"fp32": [truth]}),
        arrangement=((0, (0, 1, 2)),),
        whole=frozenset({0}),
    )
    golden = Golden(about=GoldenAbout(), inputs=("table", "x"), outputs=("y",), samples=samples)
    write_golden(tmp_path / "g.npz", golden)
    found = read_golden(tmp_path / "g.npz").samples
    assert found.whole == frozenset({0})
    np.testing.assert_array_equal(found.feeds[0][1], images)
    np.testing.assert_array_equal(found.references.truth[0][0], truth[0])


def test_a_bundle_of_batches_that_depend_on_each_other_says_which_it_has(folder: Path) -> None:
    (case,) = run_benchmark([folder / "two.onnx"], replace(QUICK, batches=(4,), golden=str(folder / "two.npz"))).cases
    assert case.parity is not None and not case.parity.passed
    assert "has batches of 1, 2, 3, 8, 17 and none of 4" in str(case.parity.reason)
