"""cuDNN's engine with the processor in the GPU's place: the operators, what is fused, and what is refused."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import resnetx
from resnetx.errors import GraphError, RuntimeUnavailableError, UsageError
from resnetx.graph.layers import expose
from resnetx.runtime.catalog import BY_NAME, engine_of, open_runner
from resnetx.runtime.cudnn import convolutions, session
from resnetx.runtime.cudnn.session import CudnnSession
from resnetx.runtime.runner import Opening
from tests.conftest import TINY_SIZE, tiny_config
from tests.support.onnx_models import serialize, small_classifier

OPEN: list[CudnnSession] = []


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The processor as the GPU: the fused kernel is computed plainly, with the addend that it was given."""
    made: list[str] = []

    def fused(x: Any, w: Any, z: Any, scale: float, bias: Any, *rest: Any) -> Any:
        assert scale in (0.0, 1.0) and torch.isfinite(z).all()
        made.append("Add + ReLU" if scale else "ReLU")
        y = torch.nn.functional.conv2d(x, w, bias, *rest)
        assert z.shape == y.shape and z.is_contiguous(memory_format=torch.channels_last)
        return (y + scale * z).relu()

    monkeypatch.setattr(session, "cuda_problem", lambda: None)
    monkeypatch.setattr(session, "DEVICES", {"cuda": torch.device("cpu")})
    monkeypatch.setattr(convolutions, "can_fuse", lambda x: True)
    monkeypatch.setattr(torch, "cudnn_convolution_add_relu", fused)
    yield made
    while OPEN:
        OPEN.pop().close()


def opened(model: bytes | Path, **rest: Any) -> CudnnSession:
    found = engine_of(BY_NAME["cudnn"]).open(model, Opening(**rest))
    assert isinstance(found, CudnnSession)
    OPEN.append(found)
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"preprocess": "uint8"},
        {"output": "top3"},
        {"output": "probabilities", "exporter": "torchscript", "opset": 17, "simplify": False},
        {"preprocess": "uint8", "output": "top2", "exporter": "torchscript", "opset": 13, "simplify": False},
    ],
)
def test_our_own_files_answer_as_on_the_cpu(options: dict[str, Any], calls: list[str], tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    assert resnetx.export(tiny_config(), path, image_size=TINY_SIZE, **options).passed
    reference, runner = open_runner(path), opened(path)
    (info,) = runner.inputs
    assert (info, runner.outputs) == (reference.inputs[0], reference.outputs)
    for batch in (1, 3):
        shape = (batch, *info.shape[1:])
        random = np.random.default_rng(batch)
        pixels = info.dtype == np.uint8
        array = random.integers(0, 256, shape, np.uint8) if pixels else random.standard_normal(shape).astype(np.float32)
        expected = reference.run({info.name: array})
        for name, found in runner.run({info.name: array}).items():
            np.testing.assert_allclose(found, expected[name], rtol=1e-4, atol=1e-5)
    assert calls.count("Add + ReLU") == 6 and calls.count("ReLU") == 14  # three blocks and two runs
    assert dict(runner.facts.kernels) == {
        "convolution + Add + ReLU": 3,
        "convolution + ReLU": 7,
        "convolution": 2,
    }


def test_what_is_read_elsewhere_is_not_fused_away(calls: list[str]) -> None:
    model = onnx.load_from_string(small_classifier())
    x = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)
    inner = expose(model, "c1").SerializeToString()
    runner = opened(inner)
    expected = open_runner(inner, optimize=False).run({"x": x})
    assert calls == []
    for name, found in runner.run({"x": x}).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-4, atol=1e-4)
    assert calls == []  # its only ReLU follows the convolution that is an output now


def test_an_addend_of_another_shape_is_added_plainly(calls: list[str]) -> None:
    weight = np.random.default_rng(0).standard_normal((4, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Conv", ["mean", "w"], ["small"]),
        helper.make_node("Conv", ["x", "w"], ["large"]),
        helper.make_node("Add", ["large", "small"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["y"]),
    ]
    model = serialize(
        nodes,
        inputs={"x": (TensorProto.FLOAT, [2, 3, 8, 8])},
        outputs={"y": (TensorProto.FLOAT, [2, 4, 8, 8])},
        weights=[numpy_helper.from_array(weight, "w")],
    )
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)
    expected = open_runner(model).run({"x": x})["y"]
    np.testing.assert_allclose(opened(model).run({"x": x})["y"], expected, rtol=1e-4, atol=1e-5)
    assert calls == []


def test_foreign_networks_with_normalization_and_transposes(calls: list[str]) -> None:
    random = np.random.default_rng(0)
    weights = {"w": random.standard_normal((4, 3, 3, 3)), "fc": random.standard_normal((4, 5))}
    weights |= {name: 1 + random.random(4) for name in ("scale", "bias", "mean", "variance")}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "variance"], ["n"], epsilon=1e-3),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("AveragePool", ["r"], ["a"], kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Transpose", ["a"], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["t", "fc"], ["m"]),
        helper.make_node("Sigmoid", ["m"], ["s"]),
        helper.make_node("Flatten", ["s"], ["y"], axis=2),
    ]
    model = serialize(
        nodes,
        inputs={"x": (TensorProto.FLOAT, [2, 3, 8, 8])},
        outputs={"y": (TensorProto.FLOAT, [10, 25])},
        weights=[numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    x = random.standard_normal((2, 3, 8, 8)).astype(np.float32)
    expected = open_runner(model).run({"x": x})["y"]
    np.testing.assert_allclose(opened(model).run({"x": x})["y"], expected, rtol=1e-4, atol=1e-5)
    assert calls == []


def test_zeros_stay_where_they_are() -> None:
    zeros = convolutions.Zeros()
    x = torch.empty(1)
    small, large, again = (zeros.like(x, shape) for shape in ((1, 2, 3, 3), (2, 4, 5, 5), (1, 4, 5, 5)))
    assert small.shape == (1, 2, 3, 3) and large.is_contiguous(memory_format=torch.channels_last)
    assert again.data_ptr() == large.data_ptr() != small.data_ptr()
    assert zeros.like(x, (1, 2, 3, 3)).data_ptr() == small.data_ptr()


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("Erf", ["x"], ["y"], name="erf"), "does not know the operator Erf of the node 'erf'"),
        (helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER"), "auto_pad"),
        (helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], pads=[0, 0, 1, 1]), "equal ones on both sides"),
        (
            helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 2]),
            "an AveragePool with dilations",
        ),
        (helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16), "Cast to ONNX's type 16"),
        (helper.make_node("Reshape", ["x", "x"], ["y"], name="r"), "the node 'r' computes a shape while it runs"),
        (helper.make_node("MaxPool", ["x"], ["y"], name="p"), "lacks the attribute 'kernel_shape'"),
        (helper.make_node("Relu", ["x"], ["y"], domain="com.microsoft"), "does not know the operator Relu"),
    ],
)
@pytest.mark.usefixtures("calls")
def test_what_it_cannot_run_is_told(node: onnx.NodeProto, words: str) -> None:
    weight = numpy_helper.from_array(np.ones((3, 3, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    with pytest.raises(GraphError, match=words):
        opened(helper.make_model(graph).SerializeToString())


@pytest.mark.usefixtures("calls")
def test_options_and_inputs_that_it_does_not_take() -> None:
    model = small_classifier()
    for options, words in (({"x": "1"}, "no option 'x'"), ({"tf32": "yes"}, "tf32 is 0 or 1")):
        with pytest.raises(UsageError, match=words):
            opened(model, options=options)
    with pytest.raises(UsageError, match="one caller at a time"):
        opened(model, options={"cuda_graph": "1"}, callers=2)
    with pytest.raises(UsageError, match="cannot compute in bf16"):
        opened(model, precision="bf16")
    with pytest.raises(GraphError, match="takes an array of float32, and found float64"):
        opened(model).run({"x": np.zeros((1, 3, 16, 16))})
    with pytest.raises(GraphError, match="cuDNN could not run the model"):
        opened(model).run({"x": np.zeros((1, 5, 16, 16), np.float32)})


@pytest.mark.usefixtures("calls")
def test_settings_of_the_process_come_back() -> None:
    before = (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision())
    runner = opened(small_classifier(), precision="default", batch=2)
    assert runner.inputs[0].shape == (2, 3, 16, 16) and torch.backends.cudnn.benchmark
    OPEN.pop().close()
    after = (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark, torch.get_float32_matmul_precision())
    assert after == before


def test_without_a_gpu_the_error_says_what_to_install() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeUnavailableError, match=r"to fix it: pip install|nothing to install"):
        open_runner(small_classifier(), provider="cudnn")


def test_auto_does_not_load_torch_where_there_is_no_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    code = (
        "import sys; from resnetx.runtime import catalog; from resnetx.machine import gpus; "
        "import resnetx.runtime.cudnn.engine as engine; engine.has_nvidia_hardware = lambda: False; "
        "print(catalog.engine_of(catalog.BY_NAME['cudnn']).why_not(), 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "this machine has no NVIDIA GPU False", answer.stderr
