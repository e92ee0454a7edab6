"""The examples in the docstrings of the public functions, run as they stand."""

import doctest
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import resnetx
from resnetx.benchmark import run as benchmarking
from tests.conftest import TINY_SIZE, tiny_config

FUNCTIONS = [name for name, module in resnetx._LAZY.items() if module.startswith("resnetx.api")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the examples run, with the file that they share."""
    folder = tmp_path_factory.mktemp("examples")
    assert resnetx.export(tiny_config(), folder / "small.onnx", image_size=TINY_SIZE).passed
    yield folder


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_in_the_docstring_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    # The machine's peaks have tests of their own, and take seconds.
    monkeypatch.setattr(benchmarking, "measured_limits", lambda threads, gpu: None)
    names = {"resnetx": resnetx, "torch": torch, "np": np}
    text = getattr(resnetx, name).__doc__
    example = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    assert example.examples, f"{name} has no example"
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert result.failed == 0, "".join(said)


def test_every_public_name_is_there_and_listed() -> None:
    assert set(resnetx.__all__) == {*resnetx._LAZY, "__version__"} == set(dir(resnetx))
    for name in resnetx.__all__:
        assert getattr(resnetx, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'exporter'"):
        _ = resnetx.exporter
