"""TensorRT by itself, with ONNX Runtime on the processor in the place of its engines and of CUDA's graphs."""

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorrt_runner
import torch
from tensorrt_runner import TensorrtRunner

import resnetx
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.runner import Runner
from tests.conftest import TINY_SIZE, tiny_config

BATCH = 3


class Context:
    """Reads and writes the arrays at the addresses that it was told."""

    def __init__(self, session: Runner) -> None:
        self.session = session
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.runs = 0

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        (image,), (output,) = self.session.inputs, self.session.outputs
        feed = np.ctypeslib.as_array(
            ctypes.cast(self.addresses[image.name], ctypes.POINTER(ctypes.c_float)), self.shapes[image.name]
        )
        answer = self.session.run({image.name: feed.copy()})[output.name]
        ctypes.memmove(self.addresses[output.name], np.ascontiguousarray(answer).ctypes.data, answer.nbytes)
        self.runs += 1
        return True


class Parser:
    def __init__(self, network: SimpleNamespace, logger: object) -> None:
        self.network = network

    def parse_from_file(self, path: str) -> bool:
        self.network.path = path
        return not path.endswith("unreadable.onnx")

    def get_error(self, index: int) -> str:
        return "unknown operator Erf"


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The package, as far as it is used; it holds the profiles and contexts that were made."""
    made = SimpleNamespace(profiles=[], contexts=[], plan=b"")

    class Builder:
        def __init__(self, logger: object) -> None: ...

        def create_network(self, flags: int) -> SimpleNamespace:
            assert flags == 2  # strongly typed
            return SimpleNamespace(path="")

        def create_builder_config(self) -> SimpleNamespace:
            return SimpleNamespace(add_optimization_profile=made.profiles.append)

        def create_optimization_profile(self) -> Any:
            shapes: dict[str, Sequence[tuple[int, ...]]] = {}
            return SimpleNamespace(shapes=shapes, set_shape=lambda name, *each: shapes.update({name: each}))

        def build_serialized_network(self, network: SimpleNamespace, config: object) -> bytes | None:
            return None if network.path.endswith("hard.onnx") else network.path.encode()

    class Runtime:
        def __init__(self, logger: object) -> None: ...

        def deserialize_cuda_engine(self, plan: bytes) -> SimpleNamespace:
            def create_execution_context() -> Context:
                made.contexts.append(Context(open_runner(Path(plan.decode()))))
                return made.contexts[-1]

            return SimpleNamespace(create_execution_context=create_execution_context)

    @contextmanager
    def graph(recorded: Any) -> Iterator[None]:
        before = made.contexts[-1].runs
        yield
        assert made.contexts[-1].runs == before + 1

    package = ModuleType("tensorrt")
    vars(package).update(
        __version__="10.fake",
        Builder=Builder,
        Runtime=Runtime,
        OnnxParser=Parser,
        Logger=type("Logger", (), {"ERROR": 1, "__init__": lambda self, level: None}),
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
    )
    monkeypatch.setitem(sys.modules, "tensorrt", package)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    stream = SimpleNamespace(cuda_stream=7, synchronize=lambda: None)
    replay = SimpleNamespace(replay=lambda: made.contexts[-1].execute_async_v3(7))
    for name, value in {
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda _: nullcontext(),
        "synchronize": lambda: None,
        "CUDAGraph": lambda: replay,
        "graph": graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    yield made


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.onnx"
    assert resnetx.export(tiny_config(), path, image_size=TINY_SIZE).passed
    return path


def test_its_answers_are_those_of_the_input_that_was_bound_last(model: Path, tensorrt: SimpleNamespace) -> None:
    assert tensorrt_runner.problem() is None
    reference = open_runner(model)
    runner = TensorrtRunner(model, reference.inputs, reference.outputs, BATCH)
    (image,) = runner.inputs
    assert image.shape == (BATCH, 3, TINY_SIZE, TINY_SIZE) and runner.options == {"tensorrt": "10.fake"}
    assert [profile.shapes for profile in tensorrt.profiles] == [{image.name: (image.shape,) * 3}]
    (context,) = tensorrt.contexts
    assert context.runs == tensorrt_runner.RUNS_BEFORE_RECORDING + 1
    feeds = [
        {image.name: np.random.default_rng(seed).standard_normal(image.shape).astype(np.float32)} for seed in range(2)
    ]
    for call in [runner.bind(feed) for feed in feeds]:
        call()
    for feed in (*feeds, feeds[0]):
        np.testing.assert_allclose(runner.run(feed)["logits"], reference.run(feed)["logits"], rtol=1e-5, atol=1e-6)
    runner.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unreadable.onnx", "cannot read unreadable.onnx: unknown operator Erf"),
        ("hard.onnx", "built no engine for hard.onnx"),
    ],
)
@pytest.mark.usefixtures("tensorrt")
def test_what_it_cannot_build_is_told(name: str, words: str, model: Path) -> None:
    reference = open_runner(model)
    with pytest.raises(RuntimeError, match=words):
        TensorrtRunner(model.with_name(name), reference.inputs, reference.outputs, BATCH)


def test_without_the_package_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    problem = tensorrt_runner.problem()
    assert problem is not None and problem.startswith("ModuleNotFoundError")
