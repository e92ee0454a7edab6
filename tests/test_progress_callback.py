"""Progress from Python: every function that takes long tells its steps, and a callback may stop it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import resnetx
from tests.conftest import TINY_SIZE, random_network, tiny_config
from tests.support.watching import Listening

QUICK: dict[str, Any] = {"exporter": "torchscript", "opset": 17}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("callback") / "m.onnx"
    assert resnetx.export(tiny_config(), path, image_size=TINY_SIZE, **QUICK).passed
    return path


def export(ours: Path, folder: Path, **options: Any) -> object:
    return resnetx.export(tiny_config(), folder / "e.onnx", image_size=TINY_SIZE, **QUICK, **options)


def export_module(ours: Path, folder: Path, **options: Any) -> object:
    example = torch.zeros(2, 3, TINY_SIZE, TINY_SIZE)
    return resnetx.export(
        random_network(tiny_config()).eval(),
        folder / "e.onnx",
        example=example,
        simplify=False,
        verify=False,
        **QUICK,
        **options,
    )


def convert(ours: Path, folder: Path, **options: Any) -> object:
    return resnetx.convert(ours, folder / "h.onnx", **options)


def quantize(ours: Path, folder: Path, **options: Any) -> object:
    return resnetx.quantize(
        ours, folder / "q.onnx", calibrate="synthetic", samples=8, target="cpu", method="minmax", **options
    )


def verify(ours: Path, folder: Path, **options: Any) -> object:
    return resnetx.verify(ours, batches=(1,), **options)


def verify_module(ours: Path, folder: Path, **options: Any) -> object:
    return resnetx.verify(ours, random_network(tiny_config()).eval(), batches=(1,), **options)


def profile(ours: Path, folder: Path, **options: Any) -> object:
    return resnetx.profile(ours, provider="cpu", threads=1, duration_s=0.1, **options)


VERBS = {
    export: 4,
    export_module: 2,
    convert: 4,
    quantize: 5,
    verify: 4,
    verify_module: 4,
    profile: 4,
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_step_is_told_in_order(ours: Path, tmp_path: Path, verb: Callable[..., object]) -> None:
    seen = Listening()
    verb(ours, tmp_path, progress=seen)
    numbers = [(event.step, event.steps) for event in seen.events]
    assert list(dict.fromkeys(numbers)) == [(number, VERBS[verb]) for number in range(1, VERBS[verb] + 1)]
    assert all(isinstance(event, resnetx.Progress) for event in seen.events)
    assert all(event.share is None or 0 <= event.share <= 1 for event in seen.events)
    times = [event.elapsed_s for event in seen.events]
    assert times == sorted(times)


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("verb", [export, convert, quantize])
def test_a_callback_that_raises_stops_the_work_and_leaves_nothing(
    ours: Path, tmp_path: Path, verb: Callable[..., object]
) -> None:
    def stop_at_the_last(event: resnetx.Progress) -> None:
        if event.step == event.steps:
            raise StoppedError

    with pytest.raises(StoppedError):
        verb(ours, tmp_path, progress=stop_at_the_last)
    assert list(tmp_path.iterdir()) == []
