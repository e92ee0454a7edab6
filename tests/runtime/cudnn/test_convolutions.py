"""The choice between the ways to compute a convolution, with the processor and a fake of cuDNN's package."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.nn import functional

import resnetx
from resnetx.runtime.catalog import BY_NAME, engine_of, open_runner
from resnetx.runtime.cudnn import convolutions, plans, session
from resnetx.runtime.cudnn.convolutions import Ways, fastest
from resnetx.runtime.cudnn.session import CudnnSession
from resnetx.runtime.cudnn.windows import Geometry, Pooling
from resnetx.runtime.runner import Opening
from tests.conftest import TINY_SIZE, tiny_config

ONE = torch.ones(1)


class RefusedError(Exception):
    """Raised by the package for what cuDNN has no kernel for; no RuntimeError."""


class FakeTensor:
    """A tensor of a graph: what computes it from the tensors that are handed over."""

    def __init__(self, compute: Callable[[dict[int, torch.Tensor]], torch.Tensor], shape: list[int]) -> None:
        self.compute = compute
        self.shape = shape
        self.described: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Callable[[Any], "FakeTensor"]:
        assert name in ("set_output", "set_data_type", "set_uid", "set_dim", "set_stride")

        def describe(value: Any) -> "FakeTensor":
            self.described[name] = value
            return self

        return describe


class FakeGraph:
    """The part of `cudnn.pygraph` that is used, computed by PyTorch; the plan 1 cannot be built."""

    ran: ClassVar[list[int]] = []

    def __init__(
        self, *, handle: object, io_data_type: str, intermediate_data_type: str, compute_data_type: str
    ) -> None:
        assert (handle, io_data_type, intermediate_data_type, compute_data_type) == ("handle", "half", "float", "float")

    def tensor(self, *, uid: int, dim: list[int], stride: list[int], data_type: str) -> FakeTensor:
        assert data_type == "half" and stride[1] == 1

        def handed_over(tensors: dict[int, torch.Tensor]) -> torch.Tensor:
            tensor = tensors[uid]
            if len(dim) == tensor.dim():
                assert list(tensor.shape) == dim and tensor.is_contiguous(memory_format=torch.channels_last)
            return tensor.float()

        return FakeTensor(handed_over, dim)

    def conv_fprop(
        self, *, image: FakeTensor, weight: FakeTensor, padding: list[int], stride: list[int], dilation: list[int]
    ) -> FakeTensor:
        if image.shape[1] == 3:
            raise RefusedError("no kernel for three channels")
        return FakeTensor(
            lambda tensors: functional.conv2d(
                image.compute(tensors), weight.compute(tensors), None, stride, padding, dilation
            ),
            [],
        )

    def add(self, *, a: FakeTensor, b: FakeTensor) -> FakeTensor:
        return FakeTensor(lambda tensors: a.compute(tensors) + b.compute(tensors), [])

    def bias(self, *, input: FakeTensor, bias: FakeTensor) -> FakeTensor:
        assert bias.shape[0] == 1 and bias.shape[2:] == [1, 1]
        self.result = FakeTensor(
            lambda tensors: input.compute(tensors) + bias.compute(tensors).reshape(1, -1, 1, 1), []
        )
        return self.result

    def relu(self, *, input: FakeTensor) -> FakeTensor:
        self.result = FakeTensor(lambda tensors: input.compute(tensors).relu(), [])
        return self.result

    def validate(self) -> None:
        described = self.result.described
        assert described["set_output"] is True and described["set_data_type"] == "half"
        assert described["set_stride"][1] == 1 and len(described["set_dim"]) == 4

    def build_operation_graph(self) -> None: ...
    def create_execution_plans(self, modes: list[str]) -> None:
        assert modes == ["A", "FALLBACK"]

    def check_support(self) -> None: ...

    def get_execution_plan_count(self) -> int:
        return 3

    def build_plan_at_index(self, index: int) -> None:
        if index == 1:
            raise RuntimeError("not supported")

    def get_workspace_size_plan_at_index(self, index: int) -> int:
        return 16 * index

    def execute_plan_at_index(
        self, tensors: dict[int, torch.Tensor], workspace: torch.Tensor, index: int, *, handle: str
    ) -> None:
        assert len(workspace) >= max(1, 16 * index) and handle == "handle"
        self.ran.append(index)
        tensors[self.result.described["set_uid"]].copy_(self.result.compute(tensors))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The numbers of the plans that ran; the last way that is offered counts as the fastest."""
    fake = SimpleNamespace(
        __version__="1.0",
        pygraph=FakeGraph,
        create_handle=lambda: "handle",
        set_stream=lambda handle, stream: None,
        data_type=SimpleNamespace(HALF="half", FLOAT="float"),
        heur_mode=SimpleNamespace(A="A", FALLBACK="FALLBACK"),
        cudnnGraphNotSupportedError=RefusedError,
    )
    later = iter(range(10_000, 0, -1))
    FakeGraph.ran = []
    plans._handle.cache_clear()
    monkeypatch.setattr(plans, "library", lambda: fake)
    monkeypatch.setattr(convolutions, "can_fuse", lambda x: True)
    monkeypatch.setattr(convolutions, "seconds", lambda call: next(later))
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", _fused)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: SimpleNamespace(cuda_stream=0))
    monkeypatch.setattr(session, "cuda_problem", lambda: None)
    monkeypatch.setattr(session, "DEVICES", {"cuda": torch.device("cpu")})
    yield FakeGraph.ran
    plans._handle.cache_clear()


def _fused(x: Any, w: Any, z: Any, scale: float, bias: Any, *rest: Any) -> Any:
    return (functional.conv2d(x, w, bias, *rest) + scale * z).relu()


def test_the_fastest_way_that_answers_alike_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> torch.Tensor:
        raise ValueError("no kernel")

    ways: dict[str, Callable[..., torch.Tensor]] = {
        "first": lambda: ONE,
        "wrong": lambda: 1.1 * ONE,
        "NaN": lambda: ONE * float("nan"),
        "broken": broken,
        "rounded": lambda: 1.001 * ONE,
        "slow": lambda: ONE.clone(),
    }
    times = {1.0: 3.0, 1.1: 1.0, 1.001: 2.0}
    monkeypatch.setattr(convolutions, "seconds", lambda call: times[round(float(call()), 3)])
    assert fastest(ways, ())[0] == "rounded"
    times[1.001] = 4.0
    assert fastest(ways, ())[0] == "first"
    assert fastest({"only": broken}, ())[0] == "only"  # whose own error is told when it is called
    with pytest.raises(ValueError, match="no kernel"):
        fastest({"broken": broken, "first": lambda: ONE}, ())


@pytest.mark.parametrize("search", ["0", "1"])
def test_plans_of_cudnn_answer_as_on_the_cpu(search: str, ran: list[int], tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    assert resnetx.export(tiny_config(), path, image_size=TINY_SIZE, precision="fp16").passed
    reference = open_runner(path)
    runner = engine_of(BY_NAME["cudnn"]).open(path, Opening(precision="default", options={"search": search}))
    assert isinstance(runner, CudnnSession) and runner.options["nvidia-cudnn-frontend"] == "1.0"
    (info,) = runner.inputs
    for batch in (1, 3):
        array = np.random.default_rng(batch).standard_normal((batch, *info.shape[1:])).astype(info.dtype)
        expected = reference.run({info.name: array})["logits"]
        for _ in range(2):
            found = runner.run({info.name: array})["logits"]
            np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02 * float(np.abs(expected).max()))
    chosen = runner.ways.chosen()
    runner.close()
    if search == "0":
        assert not ran and set(chosen) == {"PyTorch", "PyTorch, fused"}
    else:
        # The first convolution has three channels, which the fake refuses; MaxPool has one way on the processor.
        assert 1 not in ran and 2 in ran
        assert chosen["cuDNN, plan 2"] == sum(chosen.values()) - 4


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
def test_a_convolution_of_single_pixels_is_a_product(relu: bool, channels_last: bool) -> None:
    geometry = Geometry(strides=(1, 1), pads=(0, 0), dilations=(1, 1), groups=1, relu=relu)
    x, weight, bias = torch.randn(2, 5, 4, 3), torch.randn(7, 5, 1, 1), torch.randn(7)
    assert geometry.is_product(weight) and not geometry.is_product(torch.randn(7, 5, 3, 3))
    if channels_last:
        x, weight = (each.contiguous(memory_format=torch.channels_last) for each in (x, weight))
    expected = functional.conv2d(x, weight, bias)
    found = convolutions._product(geometry, x, weight, bias, None)
    torch.testing.assert_close(found, expected.relu() if relu else expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_each_shape_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []

    def first(ways: dict[str, Any], tensors: tuple[Any, ...]) -> Any:
        searched.append(len(tensors[0]))
        return next(iter(ways.items()))

    monkeypatch.setattr(convolutions, "fastest", first)
    ways, weight = Ways(search=True), torch.randn(4, 3, 3, 3)
    geometry = Geometry(strides=(1, 1), pads=(1, 1), dilations=(1, 1), groups=1, relu=True)
    pooling = Pooling(window=(2, 2), strides=(2, 2), pads=(0, 0), dilations=(1, 1), ceil=False)
    for batch in (1, 2, 1, 2):
        x = torch.randn(batch, 3, 6, 6)
        torch.testing.assert_close(ways(geometry, x, weight), functional.conv2d(x, weight, padding=1).relu())
        torch.testing.assert_close(ways.max_pool(pooling, x), functional.max_pool2d(x, 2))
    assert searched == [1, 1, 2, 2] and ways.chosen() == {"PyTorch": 4}


def test_without_the_package_there_are_no_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise OSError("libcudnn.so.9 was not found")

    plans.library.cache_clear()
    monkeypatch.setattr(plans, "import_module", missing)
    geometry = Geometry(strides=(1, 1), pads=(0, 0), dilations=(1, 1), groups=1, relu=True)
    assert plans.plans(geometry, ONE, ONE, None, None) == {} and plans.version() == "not installed"
    plans.library.cache_clear()
