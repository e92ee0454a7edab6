"""OpenVINO's own runtime: what was asked for is what runs, on any processor, and what runs is said."""

import gc
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import resnetx
from resnetx.base.precisions import PRECISIONS
from resnetx.errors import FileError, GraphError
from resnetx.runtime.catalog import BY_NAME, engine_of, open_runner
from resnetx.runtime.openvino import properties
from resnetx.runtime.runner import Opening, Runner
from tests.conftest import TINY_SIZE, tiny_config
from tests.support.onnx_models import (
    FEATURES,
    convolution_beside,
    serialize,
    single,
    small_classifier,
)

ENGINE = engine_of(BY_NAME["openvino"])


def images(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((batch, 3, 16, 16)).astype(np.float32)


def opened(model: bytes | Path, **options: object) -> Runner:
    return open_runner(model, provider="openvino", **options)  # type: ignore[arg-type]


def test_it_works_on_every_machine() -> None:
    assert ENGINE.why_not() is None
    assert ENGINE.default_precision() in PRECISIONS


@pytest.mark.parametrize("form", [bytes, Path])
def test_a_model_runs(tmp_path: Path, form: type) -> None:
    data = small_classifier()
    (tmp_path / "m.onnx").write_bytes(data)
    runner = opened(data if form is bytes else tmp_path / "m.onnx")
    assert runner.provider == "openvino" and runner.fallback is None
    ((name, count),) = runner.placement
    assert name == "openvino" and count >= 4
    assert runner.effective_precision == "fp32" and runner.options["INFERENCE_PRECISION_HINT"] == "f32"
    assert sum(number for _, number in runner.facts.kernels) == 3  # two convolutions and the classifier
    assert [(info.name, info.dtype, info.shape) for info in (*runner.inputs, *runner.outputs)] == [
        ("x", np.dtype(np.float32), ("batch", 3, 16, 16)),
        ("y", np.dtype(np.float32), ("batch", FEATURES)),
    ]
    reference = open_runner(data)
    for batch in (1, 2, 3, 1):
        feeds = {"x": images(batch, seed=batch)}
        np.testing.assert_allclose(runner.run(feeds)["y"], reference.run(feeds)["y"], rtol=1e-5, atol=1e-5)


def test_a_fixed_batch_of_the_file_and_one_that_is_fixed_on_opening() -> None:
    for runner in (opened(small_classifier(batch=2)), opened(small_classifier(), batch=2)):
        assert [info.shape[0] for info in (*runner.inputs, *runner.outputs)] == [2, 2]
        first, second = (runner.run({"x": images(2, seed)})["y"] for seed in (1, 2))
        free = opened(small_classifier())
        np.testing.assert_allclose(first, free.run({"x": images(2, 1)})["y"], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(second, free.run({"x": images(2, 2)})["y"], rtol=1e-5, atol=1e-5)
        with pytest.raises(GraphError, match="could not run the model"):
            runner.run({"x": images(3)})
        assert np.array_equal(runner.run({"x": images(2, 1)})["y"], first)


def test_a_batch_is_fixed_in_every_input_that_shares_it_and_nowhere_else() -> None:
    shape = ["n", 4]
    model = serialize(
        [helper.make_node("Add", ["a", "b"], ["s"]), helper.make_node("Transpose", ["c"], ["t"])],
        inputs={name: (TensorProto.FLOAT, shape) for name in "ab"} | {"c": (TensorProto.FLOAT, ["m", "k"])},
        outputs={"s": (TensorProto.FLOAT, shape), "t": (TensorProto.FLOAT, ["k", "m"])},
        weights=[],
    )
    runner = opened(model, batch=3)
    assert [info.shape for info in runner.inputs] == [(3, 4), (3, 4), ("m", "k")]
    assert [info.shape for info in runner.outputs] == [(3, 4), ("k", "m")]


@pytest.mark.parametrize("on_device", [False, True])
def test_bound_inputs_are_read_where_they_are(on_device: bool) -> None:
    runner = ENGINE.open(small_classifier(), Opening(batch=2, on_device=on_device))
    feeds = [images(2, seed) for seed in range(3)]
    kept = [feed.copy() for feed in feeds]
    expected = [runner.run({"x": feed})["y"] for feed in feeds]
    calls = [runner.bind({"x": feed}) for feed in feeds]
    for place in (2, 0, 1, 0):
        answer = calls[place]()
        assert np.array_equal(next(iter(answer.values())), expected[place])  # type: ignore[attr-defined]
    feeds[0][:] = feeds[1]  # shared, not copied
    assert np.array_equal(next(iter(calls[0]().values())), expected[1])  # type: ignore[attr-defined]
    assert all(np.array_equal(feed, copy) for feed, copy in zip(feeds[1:], kept[1:], strict=True))


def test_results_are_arrays_of_their_own_and_inputs_may_be_strided_or_read_only() -> None:
    runner = opened(small_classifier())
    array = images(2, 1)
    first = runner.run({"x": array})["y"]
    kept = first.copy()
    runner.run({"x": images(2, 2)})
    assert np.array_equal(first, kept)
    strided = np.repeat(array, 2, axis=-1)[..., ::2]
    assert np.array_equal(runner.run({"x": strided})["y"], kept)
    array.flags.writeable = False
    assert np.array_equal(runner.run({"x": array})["y"], kept)


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ({}, "its input 'x' takes an array of float32, and found none"),
        ({"x": images(2).astype(np.float64)}, "float32, and found float64"),
        ({"x": [[1.0]]}, "found list"),
        ({"x": images(2), "z": images(2)}, "it has no input 'z'"),
        ({"x": images(2)[:, :2]}, "could not run the model"),
    ],
)
def test_inputs_that_openvino_would_convert_or_ignore_are_refused(feeds: dict[str, np.ndarray], words: str) -> None:
    runner = opened(small_classifier())
    runner.run({"x": images(2)})  # a request keeps its last inputs
    with pytest.raises(GraphError, match=words):
        runner.run(feeds)


def test_several_callers_have_a_request_each() -> None:
    runner = ENGINE.open(small_classifier(), Opening(callers=4, threads=2))
    assert runner.options["PERFORMANCE_HINT"] == "THROUGHPUT"
    assert opened(small_classifier()).options["PERFORMANCE_HINT"] == "LATENCY"
    feeds = [{"x": images(3, seed)} for seed in range(4)]
    expected = [runner.run(feed)["y"] for feed in feeds]
    wrong: list[int] = []

    def call(place: int) -> None:
        for _ in range(50):
            if not np.array_equal(runner.run(feeds[place])["y"], expected[place]):
                wrong.append(place)

    threads = [threading.Thread(target=call, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_sessions_come_and_go_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    for seed in range(3):
        runner = opened(small_classifier(seed=seed))
        runner.run({"x": images(1)})
        runner.close()
        gc.collect()
    with pytest.raises(GraphError):
        opened(small_classifier()).run({"x": images(1)[:, :1]})
    with pytest.raises(GraphError):
        opened(single("Det", [2, 2], []))
    assert capfd.readouterr() == ("", "")


# --- names, types and shapes of a file


def test_the_boundary_is_that_of_the_file() -> None:
    """Weights among the inputs, an unused input, a tensor that is two outputs, and an output that is an input."""
    weight = numpy_helper.from_array(np.full((4,), 2, np.float32), "w")
    shape = ["batch", 4]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"]), helper.make_node("Identity", ["y"], ["z"])],
        "test",
        [
            helper.make_tensor_value_info("unused", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, [4]),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "zxy"],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    runner = opened(model.SerializeToString())
    assert [(info.name, info.dtype.name) for info in runner.inputs] == [("unused", "int64"), ("x", "float32")]
    assert [info.name for info in runner.outputs] == ["z", "x", "y"]
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    found = runner.run({"x": x, "unused": np.zeros(2, np.int64)})
    assert np.array_equal(found["x"], x) and np.array_equal(found["y"], 2 * x) and np.array_equal(found["z"], 2 * x)


def test_outputs_may_be_constants_and_names_may_be_odd() -> None:
    weight = numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    model = serialize(
        [helper.make_node("Relu", ["in put/ä:0"], ["o,ut"]), helper.make_node("Constant", [], ["c"], value=weight)],
        inputs={"in put/ä:0": (TensorProto.FLOAT, [2, 3])},
        outputs={name: (TensorProto.FLOAT, [2, 3]) for name in ("c", "w", "o,ut")},
        weights=[weight],
    )
    found = opened(model).run({"in put/ä:0": np.full((2, 3), -1, np.float32)})
    assert list(found) == ["c", "w", "o,ut"]
    assert np.array_equal(found["c"], found["w"]) and found["w"].all() and not found["o,ut"].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, np.float16, np.float64, np.bool_])
def test_types_of_inputs(dtype: type) -> None:
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    model = serialize(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        inputs={"x": (number, [1, 3])},
        outputs={"y": (TensorProto.FLOAT, [1, 3])},
        weights=[],
    )
    runner = opened(model)
    assert runner.inputs[0].dtype == dtype
    x = np.array([[0, 1, 1]], dtype)
    assert np.array_equal(runner.run({"x": x})["y"], x.astype(np.float32))


# --- what cannot be opened


def test_a_model_that_openvino_does_not_support_is_refused_or_falls_back() -> None:
    model = convolution_beside("Det")
    with pytest.raises(GraphError, match=r"could not load the model: .*Det"):
        opened(model)
    allowed = opened(model, allow_fallback=True, batch=1)
    assert allowed.provider == "openvino" and allowed.placement == (("cpu", 2),)
    assert allowed.fallback is not None and "Det" in allowed.fallback
    x, m = np.ones((1, 3, 8, 8), np.float32), np.eye(2, dtype=np.float32)
    assert allowed.run({"x": x, "m": m})["d"] == 1


@pytest.mark.parametrize("activation", ["Relu", "Sigmoid", "Tanh"])
def test_an_activation_that_openvino_replaces_is_refused(activation: str) -> None:
    node = helper.make_node("FusedGemm", ["x", "w"], ["y"], name="fc", domain="com.microsoft", activation=activation)
    vector = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "test",
        [vector("x", TensorProto.FLOAT, [1, 3])],
        [vector("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    feeds = {"x": np.array([[-1, 0.5, 2]], np.float32)}
    if activation == "Relu":
        assert np.array_equal(opened(model).run(feeds)["y"], open_runner(model).run(feeds)["y"])
    else:
        with pytest.raises(GraphError, match=f"computes the FusedGemm 'fc' with Relu instead of {activation}"):
            opened(model)


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08", b"\xff" * 64, small_classifier()[:200]])
def test_broken_models(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    for model in (data, tmp_path / "m.onnx"):
        with pytest.raises(GraphError):
            opened(model)
    with pytest.raises(FileError, match="There is no file"):
        opened(tmp_path / "absent.onnx")


# --- a network


def test_a_small_resnet_agrees(tmp_path: Path) -> None:
    resnetx.export(tiny_config(), tmp_path / "m.onnx", image_size=TINY_SIZE)
    cpu, other = open_runner(tmp_path / "m.onnx"), opened(tmp_path / "m.onnx")
    for batch in (1, 2, 3):
        feeds = {"input": np.random.default_rng(batch).standard_normal((batch, 3, TINY_SIZE, TINY_SIZE), np.float32)}
        expected = cpu.run(feeds)["logits"]
        assert np.abs(other.run(feeds)["logits"] - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_library_that_is_not_installed_is_said_and_auto_goes_on() -> None:
    code = (
        "import sys; sys.modules['openvino'] = None\n"
        "from resnetx.runtime.catalog import BY_NAME, best_provider, engine_of\n"
        "assert best_provider().name != 'openvino'\n"
        "try: engine_of(BY_NAME['openvino'])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("RuntimeUnavailableError The provider openvino was asked for")
    assert "its library cannot be imported" in done.stdout and "to fix it: pip install " in done.stdout


def test_openvino_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(BY_NAME["openvino"], device="NPU9")  # type: ignore[call-arg]
    problem = engine_of(row).why_not()
    assert problem is not None and "NPU9" in problem
    monkeypatch.setattr(properties, "MAX_THREADS", 0)
    assert "threads" in (ENGINE.why_not() or "")
