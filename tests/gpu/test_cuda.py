"""ONNX Runtime and PyTorch on a real GPU: right numbers in every precision, with CUDA graphs, and from threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from resnetx.benchmark import run as run_module
from resnetx.benchmark.limits import with_gpu_limits
from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.result import Limits
from resnetx.benchmark.run import run_benchmark
from resnetx.doctor.checkup import examine
from resnetx.errors import GraphError, UsageError
from resnetx.machine.gpu_meter import open_meter
from resnetx.machine.gpus import find_gpus
from resnetx.runtime.catalog import BY_NAME, engine_of, open_runner
from resnetx.runtime.runner import Opening, Runner
from resnetx.verification.isolated import verify_isolated
from resnetx.verification.verify import VerifyOptions
from tests.conftest import TINY_SIZE
from tests.gpu.conftest import KINDS, require
from tests.support.onnx_models import small_classifier


@pytest.fixture(autouse=True)
def _cuda() -> None:
    require("cuda")


def images(batch: int, seed: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((batch, 3, size, size)).astype(np.float32)


def opened(model: bytes | Path, *, batch: int, precision: str = "fp32", **options: str) -> Runner:
    """A session with its inputs and outputs on the device."""
    opening = Opening(precision=precision, options=options, batch=batch, on_device=True)  # type: ignore[arg-type]
    return engine_of(BY_NAME["cuda"]).open(model, opening)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_float32_is_exact_and_the_answers_are_those_of_the_cpu(batch: int) -> None:
    session = open_runner(small_classifier(), provider="cuda")
    assert session.effective_precision == "fp32" and session.placement[0][0] == "cuda"
    feeds = {"x": images(batch, batch)}
    expected = open_runner(small_classifier()).run(feeds)["y"]
    np.testing.assert_allclose(session.run(feeds)["y"], expected, rtol=1e-4, atol=1e-4)


def test_the_default_is_tf32_and_says_so() -> None:
    assert open_runner(small_classifier(), provider="cuda", precision="default").effective_precision == "tf32"
    pinned = open_runner(small_classifier(), provider="cuda", precision="default", options={"use_tf32": "0"})
    assert pinned.effective_precision == "fp32"


def test_an_option_that_cuda_does_not_know_is_refused() -> None:
    with pytest.raises(UsageError, match="refuses the option"):
        open_runner(small_classifier(), provider="cuda", options={"no_such_option": "1"})


def test_one_recorded_graph_answers_for_every_input() -> None:
    """A graph that was recorded with one input has answered every other one with the first result."""
    runner = opened(small_classifier(), batch=2)
    assert runner.options["enable_cuda_graph"] == "1"
    reference = open_runner(small_classifier())
    calls = [runner.bind({"x": images(2, seed)}) for seed in range(3)]
    for call in (*calls, *calls):
        call()
    for seed in (0, 1, 2, 0, 7):
        feeds = {"x": images(2, seed)}
        np.testing.assert_allclose(runner.run(feeds)["y"], reference.run(feeds)["y"], rtol=1e-4, atol=1e-4)
    with pytest.raises(GraphError, match="recorded a CUDA graph for inputs of 2x3x16x16"):
        runner.run({"x": images(3, 0)})


def test_without_a_graph_threads_get_their_own_answers() -> None:
    runner = opened(small_classifier(), batch=2, enable_cuda_graph="0")
    reference = open_runner(small_classifier())
    feeds = [{"x": images(2, seed)} for seed in range(16)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(runner.run, feeds))
    for feed, answer in zip(feeds, answers, strict=True):
        np.testing.assert_allclose(answer["y"], reference.run(feed)["y"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_file_is_verified_with_its_layers(kind: str, files: dict[str, Path]) -> None:
    result = verify_isolated(files[kind], VerifyOptions(providers=("cuda",), batches=(1, 3)))
    assert result.passed, result
    (verdict,) = result.verdicts
    assert verdict.precision == ("fp32" if kind == "fp32" else "fp16")


@pytest.mark.parametrize(("kind", "boundary"), [("fp32", "device"), ("fp16", "device"), ("pixels", "host")])
def test_a_benchmark_beside_torch(
    kind: str, boundary: str, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "measured_limits", lambda *_, **__: None)  # they have a test of their own
    options = BenchOptions(
        providers=("cuda", "torch"),
        batches=(2,),
        boundary=boundary,  # type: ignore[arg-type]
        duration_s=0.2,
        rounds=2,
        processes=1,
        provider_options={"torch:device": "cuda"} | ({} if kind == "fp32" else {"torch:precision": "fp16"}),
    )
    run = run_benchmark([files[kind]], options)
    for case in run.cases:
        assert case.status == "ok", case.error
        assert case.parity is not None and case.parity.passed, case
        assert case.effective_precision == ("tf32" if kind == "fp32" else "fp16")
        assert case.gpu_memory_mb
    assert run.cases[0].options["enable_cuda_graph"] == "1"


def test_the_peaks_of_the_gpu_are_plausible() -> None:
    limits = with_gpu_limits(Limits(threads=1), budget_s=0.2)
    assert limits.gpu_fp32_gflops and limits.gpu_tf32_gflops and limits.gpu_fp16_gflops and limits.gpu_bandwidth_gb_s
    assert limits.gpu_fp16_gflops > limits.gpu_tf32_gflops > limits.gpu_fp32_gflops > 1000


def test_the_card_and_its_driver_are_seen() -> None:
    (gpu, *_) = find_gpus()
    assert gpu.name and gpu.compute_capability and gpu.memory_mb
    meter = open_meter()
    assert meter is not None and meter.used_mb()
    (diagnosis,) = examine(("cuda",)).providers
    assert diagnosis.works, diagnosis


def test_pixels_are_the_input_on_the_device_too(files: dict[str, Path]) -> None:
    runner = opened(files["pixels"], batch=2, precision="default")
    host = open_runner(files["pixels"], provider="cuda", precision="default", batch=2)
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 256, (2, TINY_SIZE, TINY_SIZE, 3), np.uint8)
        feeds = {runner.inputs[0].name: pixels}
        np.testing.assert_allclose(runner.run(feeds)["logits"], host.run(feeds)["logits"], rtol=1e-2, atol=1e-2)
