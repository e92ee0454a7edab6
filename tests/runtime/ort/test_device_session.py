"""Bound sessions and PyTorch on a GPU, as far as a machine without one can tell: which buffers, waits and refusals."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from resnetx.benchmark.options import BenchOptions
from resnetx.benchmark.worker import CaseOrder, open_case
from resnetx.errors import GraphError, RuntimeUnavailableError, UsageError
from resnetx.runtime.catalog import BY_NAME, engine_of, open_runner, runs_on_gpu
from resnetx.runtime.ort import device_session
from resnetx.runtime.ort.device_session import DeviceSession
from resnetx.runtime.ort.engine import graph_options
from resnetx.runtime.ort.providers import ExecutionProvider
from resnetx.runtime.ort.session import Session, open_session
from resnetx.runtime.pytorch import runner
from resnetx.runtime.pytorch.runner import TorchOptions, TorchRunner
from resnetx.runtime.runner import Opening, TensorInfo
from tests.support.onnx_models import small_classifier

WORKING = [name for name in ("cpu", "openvino-ep") if engine_of(BY_NAME[name]).why_not() is None]
INFO = (TensorInfo("x", np.dtype(np.float32), (2, 3, 16, 16)),)


def images(batch: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((batch, 3, 16, 16)).astype(np.float32)


@pytest.fixture(params=WORKING)
def session(request: pytest.FixtureRequest) -> Session:
    return open_runner(small_classifier(), provider=request.param, threads=1)


@pytest.mark.parametrize("graph", [False, True])
def test_buffers_are_used_again_and_answers_are_those_of_their_inputs(session: Session, graph: bool) -> None:
    bound = DeviceSession(session)
    bound.graph = graph
    feeds = [images(2, seed) for seed in range(3)]
    kept = [feed.copy() for feed in feeds]
    calls = [bound.bind({"x": feed}) for feed in feeds]
    for call in (*calls, *calls):
        call()
    answers = [bound.run({"x": feed})["y"] for feed in (*feeds, feeds[0])]
    for feed, answer in zip((*feeds, feeds[0]), answers, strict=True):
        assert np.array_equal(answer, session.run({"x": feed})["y"])
    assert all(np.array_equal(feed, copy) for feed, copy in zip(feeds, kept, strict=True))  # nobody wrote into them


def test_a_graph_is_timed_on_the_buffers_that_are_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[device_session.Buffers] = []
    make = device_session.Buffers.__init__

    def noted(self: device_session.Buffers, *arguments: Any) -> None:
        made.append(self)
        make(self, *arguments)

    monkeypatch.setattr(device_session.Buffers, "__init__", noted)
    bound = DeviceSession(open_runner(small_classifier(), threads=1))
    bound.graph = True
    calls = [bound.bind({"x": images(2, seed)}) for seed in range(4)]
    bound.run({"x": images(2, 9)})
    calls[0]()
    (buffers,) = made
    # What was carried last is what plays: a record has one input.
    assert np.array_equal(buffers.answers()[0], bound.session.run({"x": images(2, 9)})["y"])
    with pytest.raises(GraphError, match="recorded a CUDA graph for inputs of 2x3x16x16, but the inputs are 3x3x16x16"):
        bound.run({"x": images(3, 0)})


def test_the_first_run_is_not_recorded_and_the_later_ones_write_to_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = DeviceSession(open_runner(small_classifier(), threads=1))
    asked: list[str | None] = []
    run = bound.session.native.run_with_iobinding

    def noted(bindings: Any, options: Any = None) -> None:
        asked.append(options and options.get_run_config_entry("gpu_graph_id"))
        run(bindings, options)

    monkeypatch.setattr(bound.session.native, "run_with_iobinding", noted)
    bound.run({"x": images(2, 0)})
    buffers = bound._own.buffers
    (place,) = [value.data_ptr() for value in buffers._outputs]
    for seed in range(3):
        bound.run({"x": images(2, seed)})
        assert [value.data_ptr() for value in buffers._binding.get_outputs()] == [place]
    assert asked == ["-1", None, None, None]


def test_each_thread_has_outputs_of_its_own(session: Session) -> None:
    bound = DeviceSession(session)
    feeds = [images(2, seed) for seed in range(6)]
    expected = [session.run({"x": feed})["y"] for feed in feeds]
    call, wrong = bound.bind({"x": feeds[0]}), []

    def work(number: int) -> None:
        for _ in range(20):
            call()
            if not np.array_equal(bound.run({"x": feeds[number]})["y"], expected[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def row(name: str) -> ExecutionProvider:
    found = BY_NAME[name]
    assert isinstance(found, ExecutionProvider)
    return found


def test_a_graph_is_for_one_batch_size_and_one_caller() -> None:
    def opening(batch: int | None, one_caller: bool) -> Opening:
        return Opening(batch=batch, callers=1 if one_caller else 2)

    assert graph_options(row("cuda"), {}, opening(2, True)) == {"enable_cuda_graph": "1"}
    for provider, batch, one in (("cuda", None, True), ("cuda", 2, False), ("tensorrt", 2, True)):
        assert graph_options(row(provider), {}, opening(batch, one)) == {}
    asked = {"enable_cuda_graph": "1"}
    for batch, one in ((None, True), (2, False)):
        with pytest.raises(UsageError, match="for one batch size and one caller"):
            graph_options(row("cuda"), asked, opening(batch, one))
        assert graph_options(row("cuda"), {"enable_cuda_graph": "0"}, opening(batch, one)) == {}


def test_arrays_in_host_memory_go_through_the_buffers_of_a_graph() -> None:
    session = open_runner(small_classifier(), threads=1)
    bound = DeviceSession(session, on_device=False)
    bound.graph = True
    calls = {seed: bound.bind({"x": images(2, seed)}) for seed in range(3)}
    for seed in (2, 0, 1, 0):
        answer = calls[seed]()
        assert isinstance(answer, dict)
        assert np.array_equal(answer["y"], session.run({"x": images(2, seed)})["y"])


def order(options: dict[str, str] | None = None, **settings: Any) -> CaseOrder:
    return CaseOrder(
        model="m.onnx",
        provider="cuda",
        batch=2,
        options=options or {},
        settings=BenchOptions(**{"threads": 1, "boundary": "device", "warmup": 1, **settings}),
        inputs=[("x", "float32", ["N", 3, 16, 16])],
        outputs=[("y", "float32", ["N", 10])],
    )


@pytest.mark.parametrize(
    ("changes", "refuses", "expected"),
    [
        ({}, False, [{"enable_cuda_graph": "1"}]),
        ({}, True, [{"enable_cuda_graph": "1"}, {}]),
        ({"options": {"enable_cuda_graph": "0"}}, False, [{"enable_cuda_graph": "0"}]),
        ({"boundary": "host"}, False, [{"enable_cuda_graph": "1"}]),
        ({"concurrency": 2}, False, [{}]),
        ({"scenario": "server"}, False, [{}]),
    ],
)
def test_bench_asks_for_a_graph_where_one_can_be(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], refuses: bool, expected: list[dict[str, str]]
) -> None:
    asked: list[dict[str, str]] = []

    def opened(provider: object, model: object, opening: Opening, **_: object) -> object:
        asked.append(dict(opening.options))
        if refuses and opening.options:
            raise GraphError("not all nodes are on CUDA")
        return open_session(row("cpu"), small_classifier(), Opening(threads=1))

    monkeypatch.setattr("resnetx.runtime.ort.engine.open_session", opened)
    open_case(order(**changes), None)
    assert asked == expected


def test_a_graph_that_was_asked_for_by_name_is_not_left_out_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise GraphError("not all nodes are on CUDA")

    monkeypatch.setattr("resnetx.runtime.ort.engine.open_session", refuse)
    with pytest.raises(GraphError):
        open_case(order({"enable_cuda_graph": "1"}), None)


# --- PyTorch


def opened_torch(module: torch.nn.Module, options: dict[str, str], *, on_device: bool = False) -> TorchRunner:
    opening = Opening(options=options, threads=1, inputs=INFO, outputs=INFO, on_device=on_device)
    runner = engine_of(BY_NAME["torch"]).open(lambda: module, opening)
    assert isinstance(runner, TorchRunner)
    return runner


def test_cuda_that_is_not_there_is_an_error_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeUnavailableError, match=r"torch was asked for, and .*(to fix it|nothing to install)"):
        opened_torch(torch.nn.ReLU(), {"device": "cuda"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "gpu"}, "device is one of cpu, cuda"),
        ({"tf32": "1"}, "tf32 is for GPUs"),
        ({"device": "cpu", "tf32": "0"}, "tf32 is for GPUs"),
        ({"device": "cuda", "tf32": "yes"}, "tf32 is one of 0, 1"),
    ],
)
def test_what_torch_does_not_take(options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TorchOptions.parse(options, provider=BY_NAME["torch"])


@pytest.mark.parametrize(
    ("options", "precision"),
    [
        ({}, "fp32"),
        ({"device": "cuda"}, "tf32"),
        ({"device": "cuda", "tf32": "1"}, "tf32"),
        ({"device": "cuda", "tf32": "0"}, "fp32"),
        ({"device": "cuda", "precision": "fp16"}, "fp16"),
        ({"device": "cuda", "precision": "bf16", "tf32": "0"}, "bf16"),
    ],
)
def test_the_precision_that_torch_computes_in(options: dict[str, str], precision: str) -> None:
    assert TorchOptions.parse(options, provider=BY_NAME["torch"]).effective_precision == precision


@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_modes_are_for_compiling(mode: str) -> None:
    assert TorchOptions.parse({"mode": mode}, provider=BY_NAME["torch-compile"]).mode == mode
    with pytest.raises(UsageError, match="no option 'mode'"):
        TorchOptions.parse({"mode": mode}, provider=BY_NAME["torch"])


@pytest.fixture
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A GPU that is the processor: what was done on it, and when it was waited for."""
    done: list[str] = []
    monkeypatch.setattr(runner, "cuda_problem", lambda: None)
    monkeypatch.setitem(runner.DEVICES, "cuda", torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: done.append("waited"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "pretended")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    before = torch.get_float32_matmul_precision()
    request_back: Callable[[], None] = lambda: torch.set_float32_matmul_precision(before)  # noqa: E731
    monkeypatch.setattr(runner, "allow_tf32", _noted(runner.allow_tf32, done, request_back))
    return done


def _noted(function: Callable[[bool], None], done: list[str], undo: Callable[[], None]) -> Callable[[bool], None]:
    def noted(allowed: bool) -> None:
        function(allowed)
        done.append(f"{torch.get_float32_matmul_precision()} {torch.backends.cudnn.allow_tf32}")
        undo()

    return noted


def test_a_run_on_a_gpu_is_over_when_it_was_waited_for(pretended_gpu: list[str]) -> None:
    network = torch.nn.Conv2d(3, 4, 3)
    network.register_forward_hook(lambda *_: pretended_gpu.append("ran"))
    x = images(2, 0)
    with torch.no_grad():
        expected = torch.nn.functional.conv2d(torch.from_numpy(x), network.weight, network.bias).numpy()
    runner = opened_torch(network, {"device": "cuda"}, on_device=True)
    assert runner.effective_precision == "tf32" and (runner.options["tf32"], runner.options["gpu"]) == (
        "1",
        "pretended",
    )
    assert runs_on_gpu(runner.provider, runner.options)
    runner.bind({"x": x})()
    assert pretended_gpu == ["high True", "ran", "waited"]
    np.testing.assert_allclose(runner.run({"x": x})["x"], expected, rtol=1e-4, atol=1e-5)
    exact = opened_torch(network, {"device": "cuda", "tf32": "0"})
    assert exact.effective_precision == "fp32" and pretended_gpu[-1] == "highest False"


def test_nobody_waits_for_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: pytest.fail("waited for a GPU"))
    runner = opened_torch(torch.nn.ReLU(), {}, on_device=True)
    runner.bind({"x": images(2, 0)})()
    assert not runs_on_gpu(runner.provider, runner.options) and runner.options["device"] == "cpu"
