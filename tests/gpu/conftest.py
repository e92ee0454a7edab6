"""What the tests on a GPU share: a mark for all of them, and tiny networks as files."""

from pathlib import Path
from typing import Any

import pytest

import resnetx
from resnetx.runtime.catalog import BY_NAME, engine_of
from tests.conftest import TINY_SIZE, tiny_config

KINDS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "fp16": {"precision": "fp16"},
    "pixels": {"precision": "fp16", "preprocess": "uint8"},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.gpu)


def require(provider: str) -> None:
    """Skip the test where the provider does not work, with the reason."""
    problem = engine_of(BY_NAME[provider]).why_not()
    if problem:
        pytest.skip(f"{provider}: {problem}")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny ResNet in float32, in float16, and in float16 with pixels as its input."""
    folder = tmp_path_factory.mktemp("gpu")
    for name, options in KINDS.items():
        path = folder / f"{name}.onnx"
        assert resnetx.export(tiny_config(), path, image_size=TINY_SIZE, simplify=False, **options).passed
    return {name: folder / f"{name}.onnx" for name in KINDS}
