"""Fixtures that many tests share: networks small enough to export in a second."""

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

# Tests import ONNX Runtime themselves, and nothing may leave this machine.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import torch
from torch import nn

from resnetx.model.config import ResNetConfig, resnet_config
from resnetx.model.initialization import initialize
from resnetx.model.network import build_network

pytest_plugins = ["pytester"]

TINY_SIZE = 32


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-case", action="store_true", help="run every case of the tests that are marked `sampled`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a test that is marked `sampled(n)`, every n-th case runs, unless all or single ones are asked for."""
    if config.getoption("--every-case") or config.option.keyword or any("::" in name for name in config.args):
        return
    seen: Counter[str] = Counter()
    kept, left_out = [], []
    for item in items:
        mark, test = item.get_closest_marker("sampled"), item.nodeid.partition("[")[0]
        (left_out if mark is not None and seen[test] % mark.args[0] else kept).append(item)
        seen[test] += 1
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(autouse=True, scope="session")
def a_cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave nothing in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNETX_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def the_process_stays_as_it_was() -> Iterator[None]:
    """What resnetx sets for a whole process would reach the user's other tests. (pytest names the running test.)"""

    def settings() -> dict[str, object]:
        # torchvision, which is a peer in tests only, sets a variable of torch's compiler when it is imported.
        others = {"PYTEST_CURRENT_TEST"} | ({"TORCHINDUCTOR_CACHE_DIR"} if "torchvision" in sys.modules else set())
        # scikit-learn, which only the studies import, sets these when it is imported.
        others |= {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"}
        variables = {name: value for name, value in os.environ.items() if name not in others}
        return variables | {
            "threads": torch.get_num_threads(),
            "matmul precision": torch.get_float32_matmul_precision(),
            "TF32 in cuDNN": torch.backends.cudnn.allow_tf32,
            "level of the fp16 converter": logging.getLogger("onnxruntime.transformers.float16").level,
        }

    before = settings()
    yield
    assert settings() == before


def tiny_config(**changes: object) -> ResNetConfig:
    return resnet_config(**{"stages": (1, 2), "width": 8, "classes": 10, **changes})  # type: ignore[arg-type]


def random_network(config: ResNetConfig, seed: int = 0) -> nn.Module:
    network = build_network(config)
    initialize(network, seed)
    return network


@pytest.fixture
def tiny() -> ResNetConfig:
    return tiny_config()
