"""cuDNN's fused kernels on a real GPU: right numbers, whatever was in the memory before."""

from pathlib import Path

import numpy as np
import pytest
import torch

from resnetx.runtime.catalog import BY_NAME, engine_of, open_runner
from resnetx.runtime.runner import Opening, Runner
from resnetx.verification.isolated import verify_isolated
from resnetx.verification.verify import VerifyOptions
from tests.conftest import TINY_SIZE
from tests.gpu.conftest import KINDS, require


@pytest.fixture(autouse=True)
def _cudnn() -> None:
    require("cudnn")


def opened(path: Path, **options: str) -> Runner:
    opening = Opening(precision="default", options=options, batch=2, on_device=True)
    return engine_of(BY_NAME["cudnn"]).open(path, opening)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_file_is_verified_with_its_layers(kind: str, files: dict[str, Path]) -> None:
    result = verify_isolated(files[kind], VerifyOptions(providers=("cudnn",), batches=(1, 3)))
    assert result.passed, result


@pytest.mark.parametrize("search", ["0", "1"])
@pytest.mark.parametrize("graph", ["0", "1"])
def test_what_was_in_the_memory_before_does_not_matter(graph: str, search: str, files: dict[str, Path]) -> None:
    reference = open_runner(files["fp16"])
    (info,) = reference.inputs
    poison = [torch.full((2**18,), float("nan"), device="cuda") for _ in range(64)]
    del poison  # the allocator keeps it, and gives it to the outputs of layers
    runner = opened(files["fp16"], cuda_graph=graph, search=search)
    for seed in (0, 1, 2, 0):
        array = np.random.default_rng(seed).standard_normal((2, 3, TINY_SIZE, TINY_SIZE)).astype(np.float32)
        expected = reference.run({info.name: array})["logits"]
        found = runner.run({info.name: array})["logits"]
        np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-2 * float(np.abs(expected).max()))
    runner.close()


def test_float32_is_exact_where_it_is_pinned(files: dict[str, Path]) -> None:
    runner = open_runner(files["fp32"], provider="cudnn")
    assert runner.effective_precision == "fp32"
    (info,) = runner.inputs
    array = np.random.default_rng(0).standard_normal((2, 3, TINY_SIZE, TINY_SIZE)).astype(np.float32)
    expected = open_runner(files["fp32"]).run({info.name: array})["logits"]
    np.testing.assert_allclose(runner.run({info.name: array})["logits"], expected, rtol=1e-4, atol=1e-5)
    runner.close()
