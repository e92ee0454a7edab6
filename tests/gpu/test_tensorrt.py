"""TensorRT on a real GPU: right numbers in every precision, and engines that are built once."""

from pathlib import Path

import numpy as np
import pytest

from resnetx.graph.reading.onnx_file import read_onnx_file
from resnetx.runtime.catalog import BY_NAME, engine_of, open_runner
from resnetx.runtime.runner import Opening, Runner
from resnetx.verification.isolated import verify_isolated
from resnetx.verification.verify import VerifyOptions
from tests.gpu.conftest import KINDS, require
from tests.support.onnx_models import quantized_convolution, small_classifier


@pytest.fixture(autouse=True)
def _tensorrt() -> None:
    require("tensorrt")


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_file_is_verified(kind: str, files: dict[str, Path]) -> None:
    result = verify_isolated(files[kind], VerifyOptions(providers=("tensorrt",), batches=(1, 3)))
    assert result.passed, result


@pytest.mark.parametrize(("option", "tolerance"), [({}, 1e-3), ({"trt_fp16_enable": "1"}, 5e-2)])
def test_the_answers_are_those_of_the_cpu(option: dict[str, str], tolerance: float) -> None:
    session = open_runner(small_classifier(), provider="tensorrt", options=option)
    for seed in range(3):
        feeds = {"x": np.random.default_rng(seed).standard_normal((2, 3, 16, 16)).astype(np.float32)}
        expected = open_runner(small_classifier()).run(feeds)["y"]
        np.testing.assert_allclose(session.run(feeds)["y"], expected, rtol=tolerance, atol=tolerance)


def test_int8_runs_in_integers_of_the_file() -> None:
    session = open_runner(quantized_convolution(), provider="tensorrt")
    reference = open_runner(quantized_convolution())
    (info,) = reference.inputs
    shape = [size if isinstance(size, int) else 2 for size in info.shape]
    feeds = {info.name: np.random.default_rng(0).standard_normal(shape).astype(info.dtype)}
    for name, expected in reference.run(feeds).items():
        np.testing.assert_allclose(session.run(feeds)[name], expected, atol=0.11)  # two steps


def test_an_engine_is_built_once_and_answers_the_same(files: dict[str, Path]) -> None:
    file = read_onnx_file(files["fp32"])

    def opened() -> Runner:
        opening = Opening(batch=2, digest=file.digest, inputs=open_runner(files["fp32"]).inputs)
        return engine_of(BY_NAME["tensorrt"]).open(files["fp32"], opening)

    cold, warm = opened(), opened()
    assert (cold.facts.engine, warm.facts.engine) == ("built", "from cache")
    (info,) = cold.inputs
    feeds = {info.name: np.random.default_rng(0).standard_normal((2, *info.shape[1:])).astype(np.float32)}
    np.testing.assert_array_equal(cold.run(feeds)["logits"], warm.run(feeds)["logits"])
