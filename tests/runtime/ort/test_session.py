"""Sessions: what was asked for is what runs, what runs is said, and what silently fell back is refused."""

import gc
import os
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest

import resnetx
from resnetx.errors import FileError, GraphError, RuntimeUnavailableError, UsageError
from resnetx.runtime.catalog import BY_NAME, best_provider, engine_of, open_runner
from resnetx.runtime.ort import provider_probe
from resnetx.runtime.ort.native_session import LOAD_CONFIG, first_line
from resnetx.runtime.ort.node_placement import PlacedNode, count_placement, fallback_reason
from resnetx.runtime.ort.nvidia_providers import TF32_OVERRIDE
from resnetx.runtime.ort.session import Session
from resnetx.runtime.runner import Runner
from tests.conftest import TINY_SIZE, tiny_config
from tests.support.onnx_models import (
    FEATURES,
    convolution_beside,
    quantized_convolution,
    serialize,
    single,
    small_classifier,
)


def why_not(name: str) -> str | None:
    return engine_of(BY_NAME[name]).why_not()


needs_plugin = pytest.mark.skipif(why_not("openvino-ep") is not None, reason=f"openvino-ep: {why_not('openvino-ep')}")
WORKING = [name for name in ("cpu", "openvino-ep") if why_not(name) is None]
GPUS = ["cuda", "tensorrt"]


def images(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((batch, 3, 16, 16)).astype(np.float32)


def pretend(monkeypatch: pytest.MonkeyPatch, name: str, **changes: object) -> None:
    """Change a row of the table, for the length of a test."""
    monkeypatch.setitem(BY_NAME, name, replace(BY_NAME[name], **changes))  # type: ignore[arg-type]


def no_problem() -> None:
    return None


# --- what every working provider does


@pytest.mark.parametrize("provider", WORKING)
@pytest.mark.parametrize("form", [bytes, Path])
def test_a_model_runs_on_what_was_asked_for(tmp_path: Path, provider: str, form: type) -> None:
    data = small_classifier()
    (tmp_path / "m.onnx").write_bytes(data)
    opened = open_runner(data if form is bytes else tmp_path / "m.onnx", provider=provider)
    assert opened.provider == provider and opened.fallback is None
    assert opened.placement == ((provider, 6),)
    assert opened.effective_precision == "fp32"
    assert isinstance(opened, Session)
    assert opened.native.get_providers()[0] == BY_NAME[provider].native
    reference = open_runner(data)
    for batch in (1, 2, 3, 1):
        feeds = {"x": images(batch, seed=batch)}
        found = opened.run(feeds)["y"]
        assert found.shape == (batch, FEATURES)
        np.testing.assert_allclose(found, reference.run(feeds)["y"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("provider", WORKING)
def test_a_fixed_batch(provider: str) -> None:
    opened = open_runner(small_classifier(batch=2), provider=provider)
    assert opened.inputs[0].shape == (2, 3, 16, 16)
    assert opened.run({"x": images(2)})["y"].shape == (2, FEATURES)
    with pytest.raises(GraphError, match="could not run the model"):
        opened.run({"x": images(3)})


@pytest.mark.parametrize("provider", WORKING)
def test_sessions_come_and_go_and_live_side_by_side(provider: str) -> None:
    models = [small_classifier(seed=seed) for seed in range(3)]
    expected = [open_runner(model).run({"x": images(2)})["y"] for model in models]
    for _ in range(3):
        opened = [open_runner(model, provider=provider) for model in models]
        for one, answer in zip(opened, expected, strict=True):
            np.testing.assert_allclose(one.run({"x": images(2)})["y"], answer, rtol=1e-5, atol=1e-5)
        del one, opened
        gc.collect()


@pytest.mark.parametrize("provider", WORKING)
def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], tmp_path: Path, provider: str) -> None:
    opened = open_runner(small_classifier(batch=2), provider=provider)
    opened.run({"x": images(2)})
    with pytest.raises(GraphError):
        opened.run({"x": images(1)})
    with pytest.raises(GraphError):
        open_runner(serialize([], inputs={}, outputs={"y": (1, [1])}, weights=[]), provider=provider)
    with pytest.raises(UsageError):
        open_runner(small_classifier(), provider=provider, options={"session.nonsense": "1"})
    with pytest.raises(UsageError):
        open_runner(small_classifier(), provider=provider, options={"NO_SUCH_PROPERTY": "1"})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("provider", WORKING)
def test_options_in_force_are_told(provider: str) -> None:
    opened = open_runner(
        small_classifier(),
        provider=provider,
        threads=1,
        options={"session.intra_op.allow_spinning": "0", "graph_optimization_level": "basic"},
    )
    assert opened.options["intra_op_num_threads"] == "1"
    assert opened.options["session.intra_op.allow_spinning"] == "0"
    assert opened.options["graph_optimization_level"] == "basic"
    assert opened.native.get_session_options().intra_op_num_threads == 1
    level = opened.native.get_session_options().graph_optimization_level
    assert level == ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert all(isinstance(value, str) for value in opened.options.values())


def test_the_graph_as_it_stands() -> None:
    opened = open_runner(small_classifier(), optimize=False)
    assert opened.options["graph_optimization_level"] == "disable"
    feeds = {"x": images(2)}
    np.testing.assert_allclose(opened.run(feeds)["y"], open_runner(small_classifier()).run(feeds)["y"], rtol=1e-5)


def test_auto_runs() -> None:
    opened = open_runner(small_classifier(), provider="auto")
    assert opened.provider == best_provider().name
    assert opened.placement[0][0] == opened.provider


def test_auto_passes_over_a_provider_that_cannot_run_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    if best_provider("int8").name != "openvino":
        pytest.skip("a GPU, which is faster, works here")
    monkeypatch.setattr("resnetx.runtime.openvino.engine.OpenVINO.preferred", lambda self, precision: True)
    opened = open_runner(convolution_beside("Det"), provider="auto")
    assert (
        opened.provider != "openvino"
        and opened.run({"x": images(1)[:, :, :8, :8], "m": np.eye(2, dtype=np.float32)})["d"] == 1
    )
    (note,) = opened.facts.notes
    assert note.startswith("auto passed over openvino: OpenVINO could not load the model") and "Det" in note
    with pytest.raises(GraphError, match="OpenVINO could not load"):
        open_runner(serialize([], inputs={}, outputs={"y": (1, [1])}, weights=[]), provider="auto")
    with pytest.raises(UsageError, match="no option 'NONSENSE'"):
        open_runner(small_classifier(), provider="auto", options={"NONSENSE": "1"})


# --- effective precision


def test_precision_of_the_file_counts() -> None:
    assert open_runner(small_classifier(dtype=np.float16)).effective_precision == "fp16"
    assert open_runner(quantized_convolution()).effective_precision == "int8"


@needs_plugin
def test_openvino_is_pinned_to_float32_unless_told_otherwise() -> None:
    data, feeds = small_classifier(), {"x": images(4)}
    reference = open_runner(data).run(feeds)["y"]
    scale = float(np.abs(reference).max())

    def error(one: Runner) -> float:
        return float(np.abs(one.run(feeds)["y"] - reference).max()) / scale

    pinned = open_runner(data, provider="openvino-ep")
    free = open_runner(data, provider="openvino-ep", precision="default")
    assert pinned.effective_precision == "fp32" and error(pinned) < 1e-5
    assert pinned.options["INFERENCE_PRECISION_HINT"] == "f32"
    assert "INFERENCE_PRECISION_HINT" not in free.options
    # What is reported is what the numbers show, whichever instructions this machine has.
    assert (free.effective_precision == "fp32") == (error(free) < 1e-5)
    accurate = open_runner(
        data, provider="openvino-ep", precision="default", options={"EXECUTION_MODE_HINT": "ACCURACY"}
    )
    assert accurate.effective_precision == "fp32" and error(accurate) < 1e-5


@needs_plugin
def test_openvino_in_bf16_says_so() -> None:
    opened = open_runner(small_classifier(), provider="openvino-ep", options={"INFERENCE_PRECISION_HINT": "bf16"})
    reference = open_runner(small_classifier()).run({"x": images(4)})["y"]
    error = np.abs(opened.run({"x": images(4)})["y"] - reference).max() / np.abs(reference).max()
    # On a machine without bf16 instructions, OpenVINO computes in float32 whatever it is told.
    assert opened.effective_precision == ("bf16" if error > 1e-4 else "fp32")


@needs_plugin
@pytest.mark.parametrize("options", [{"NO_SUCH_PROPERTY": "1"}, {"INFERENCE_PRECISION_HINT": "f99"}])
def test_openvino_refuses_properties_that_it_does_not_know(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=f"refuses the option '{next(iter(options))}'"):
        open_runner(small_classifier(), provider="openvino-ep", options=options)


@needs_plugin
def test_a_small_resnet_agrees_on_openvino(tmp_path: Path) -> None:
    resnetx.export(tiny_config(), tmp_path / "m.onnx", image_size=TINY_SIZE)
    cpu, other = (open_runner(tmp_path / "m.onnx", provider=name) for name in ("cpu", "openvino-ep"))
    for batch in (1, 2, 3):
        array = np.random.default_rng(batch).standard_normal((batch, 3, TINY_SIZE, TINY_SIZE)).astype(np.float32)
        expected = cpu.run({cpu.inputs[0].name: array})["logits"]
        found = other.run({other.inputs[0].name: array})["logits"]
        assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


# --- falling back


@pytest.mark.parametrize("provider", GPUS)
def test_a_gpu_whose_libraries_are_missing_is_an_error_that_says_what_to_install(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resnetx.runtime.fixes.has_nvidia_hardware", lambda: True)
    if why_not(provider) is None:
        pytest.skip(f"{provider} works here")
    with pytest.raises(RuntimeUnavailableError) as caught:
        open_runner(small_classifier(), provider=provider)
    message = str(caught.value)
    assert f"The provider {provider} was requested" in message
    assert f"pip install 'resnetx[cuda{',tensorrt' * (provider == 'tensorrt')}]'" in message
    if "CUDAExecutionProvider" in ort.get_available_providers():
        assert "libcublas.so.13" in message


def test_a_session_that_silently_fell_back_is_refused(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if why_not("cuda") is None or "CUDAExecutionProvider" not in ort.get_available_providers():
        pytest.skip("needs the GPU build of ONNX Runtime on a machine without a GPU")
    pretend(monkeypatch, "cuda", problem=no_problem)  # so that nothing stops it before ONNX Runtime is asked
    provider_probe.why_not.cache_clear()
    try:
        with pytest.raises(RuntimeUnavailableError, match="opened the session on cpu alone"):
            open_runner(small_classifier(), provider="cuda")
        allowed = open_runner(small_classifier(), provider="cuda", allow_fallback=True)
    finally:
        provider_probe.why_not.cache_clear()
    assert allowed.provider == "cuda" and allowed.placement == (("cpu", 6),)
    assert allowed.fallback is not None and "cpu alone" in allowed.fallback
    assert capfd.readouterr() == ("", "")


def test_a_provider_that_is_not_there_leaves_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TF32_OVERRIDE, raising=False)
    pretend(monkeypatch, "tensorrt", problem=lambda: "broken on purpose")
    open_runner(small_classifier(), provider="tensorrt", allow_fallback=True)
    assert TF32_OVERRIDE not in os.environ


def test_openvino_asked_for_the_old_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the plugin's device, ONNX Runtime takes the name, warns at most, and runs on the CPU.
    pretend(monkeypatch, "openvino-ep", problem=no_problem, attach=None)
    provider_probe.why_not.cache_clear()
    try:
        with warnings.catch_warnings(action="ignore"), pytest.raises(RuntimeUnavailableError, match="on cpu alone"):
            open_runner(small_classifier(), provider="openvino-ep")
    finally:
        provider_probe.why_not.cache_clear()


@pytest.mark.parametrize("provider", ["openvino-ep", *GPUS])
def test_falling_back_is_marked_where_it_is_allowed(provider: str) -> None:
    opened = open_runner(small_classifier(), provider=provider, allow_fallback=True)
    if why_not(provider) is None:
        assert opened.fallback is None and opened.placement[0][0] == provider
    else:
        assert opened.fallback is not None and "install" in opened.fallback
        assert opened.provider == provider and opened.placement == (("cpu", 6),)
        assert opened.effective_precision == "fp32"
    expected = open_runner(small_classifier()).run({"x": images(2)})["y"]
    np.testing.assert_allclose(opened.run({"x": images(2)})["y"], expected, rtol=1e-2, atol=1e-2)


@needs_plugin
def test_a_light_node_may_stay_on_the_cpu() -> None:
    opened = open_runner(convolution_beside("Det"), provider="openvino-ep")
    assert opened.placement == (("openvino-ep", 1), ("cpu", 1)) and opened.fallback is None


@needs_plugin
def test_a_model_of_which_openvino_runs_nothing_is_refused() -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"runs none of the 1 nodes, Det 'only'"):
        open_runner(single("Det", [2, 2], []), provider="openvino-ep")
    allowed = open_runner(single("Det", [2, 2], []), provider="openvino-ep", allow_fallback=True)
    assert allowed.placement == (("cpu", 1),) and allowed.effective_precision == "fp32"


def node(name: str, operator: str, provider: str) -> PlacedNode:
    return PlacedNode(name=name, operator=operator, provider=provider)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([], None),
        ([node("a", "Conv", "cuda"), node("b", "Relu", "cuda")], None),
        ([node("a", "Conv", "cuda"), node("b", "Shape", "cpu")], None),
        ([node("a", "Conv", "cpu"), node("b", "Relu", "cuda")], "1 of the 1 nodes that multiply run on cpu, Conv 'a'"),
        ([node("a", "Relu", "cpu"), node("b", "Add", "cpu")], "it runs none of the 2 nodes, Relu 'a', Add 'b'"),
        (
            [node(f"n{i}", "Gemm", "cpu") for i in range(9)] + [node("a", "Conv", "cuda")],
            "9 of the 10 nodes that multiply run on cpu, Gemm 'n0', Gemm 'n1', Gemm 'n2' and others",
        ),
    ],
)
def test_which_placements_are_a_fallback(nodes: list[PlacedNode], expected: str | None) -> None:
    native = SimpleNamespace(get_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    assert fallback_reason(native, nodes, BY_NAME["cuda"]) == expected  # type: ignore[arg-type]


def test_placement_names_the_asked_provider_first() -> None:
    nodes = [node("a", "Conv", "cpu"), node("b", "Add", "cpu"), node("c", "Conv", "cuda"), node("d", "X", "other")]
    assert count_placement(nodes, BY_NAME["cuda"]) == (("cuda", 1), ("cpu", 2), ("other", 1))
    assert count_placement(nodes[:2], BY_NAME["cuda"]) == (("cpu", 2),)


def test_a_hostile_node_name_is_escaped_and_cut() -> None:
    native = SimpleNamespace(get_providers=lambda: ["CUDAExecutionProvider"])
    reason = fallback_reason(native, [node("\x1b[31m" * 1000, "Det", "cpu")], BY_NAME["cuda"])  # type: ignore[arg-type]
    assert reason is not None and "\x1b" not in reason and len(reason) < 400


# --- what cannot be opened


@pytest.mark.parametrize("value", ["1", "true", "yes"])
def test_models_may_not_configure_their_session(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(LOAD_CONFIG, value)
    with pytest.raises(RuntimeUnavailableError, match=f"unset {LOAD_CONFIG}"):
        open_runner(small_classifier())
    monkeypatch.setenv(LOAD_CONFIG, "0")
    assert open_runner(small_classifier()).provider == "cpu"


def test_an_unknown_provider() -> None:
    with pytest.raises(
        UsageError,
        match="choose one of cpu, openvino-ep, openvino, cuda, cudnn, tensorrt, torch, torch-compile",
    ):
        open_runner(small_classifier(), provider="<script>")


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08", b"\xff" * 64, small_classifier()[:200]])
def test_broken_models(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    for model in (data, tmp_path / "m.onnx"):
        with pytest.raises(GraphError):
            open_runner(model)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="There is no file"):
        open_runner(tmp_path / "absent.onnx")
    with pytest.raises(FileError):
        open_runner(tmp_path)


def test_an_error_of_openvino_is_told_by_its_last_line() -> None:
    text = "EP_FAIL : Exception from src/inference/src/cpp/core.cpp:117:\nException from src/x.cpp:5:\nNotFound: X\n\n"
    assert first_line(RuntimeError(text)) == "NotFound: X"
    assert first_line(RuntimeError("")) == "RuntimeError"
    assert first_line(RuntimeError("one\ntwo")) == "one"


def test_a_kernel_that_cudnn_does_not_have_is_told_without_types_of_cpp() -> None:
    text = (
        "Error in execution: Non-zero status code returned while running Conv node. Name:'layer4.0.conv2' Status "
        "Message: Failed to initialize CUDNN Frontend: /src/cudnn_fe_call.cc:117 std::conditional_t<THRW, void>"
    )
    message = first_line(RuntimeError(text))
    assert message.startswith("cuDNN has no kernel for the Conv 'layer4.0.conv2' in this precision")
    assert "std" not in message


# --- GPUs


def test_the_reason_and_the_fix_stand_in_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "cuda", problem=lambda: "broken on purpose")
    with pytest.raises(
        RuntimeUnavailableError, match=r"broken on purpose; (to fix it: pip install|nothing to install)"
    ):
        open_runner(small_classifier(), provider="cuda")


@pytest.mark.parametrize("provider", WORKING)
def test_a_batch_that_is_fixed_on_opening(provider: str) -> None:
    """The same numbers as with a free batch, each run in arrays of its own, and no other batch."""
    model = small_classifier()
    free = open_runner(model, provider=provider)
    fixed = open_runner(model, provider=provider, batch=3)
    assert fixed.options["free_dimension.batch"] == "3"
    assert [info.shape[0] for info in (*fixed.inputs, *fixed.outputs)] == [3, 3]
    name = fixed.inputs[0].name
    first, second = (fixed.run({name: images(3, seed)}) for seed in (1, 2))
    for seed, result in ((1, first), (2, second)):
        expected = free.run({name: images(3, seed)})
        for output, array in result.items():
            np.testing.assert_allclose(array, expected[output], rtol=1e-5, atol=1e-5)
    assert not np.array_equal(*(next(iter(result.values())) for result in (first, second)))
    placed = [fixed.bind({name: images(3, seed)}) for seed in (1, 2)]
    again = placed[1](), placed[0]()
    assert all(np.array_equal(array, second[output]) for output, array in again[0].items())
    assert all(np.array_equal(array, first[output]) for output, array in again[1].items())
    del placed, again  # their memory may be another array's from here on
    others = [images(3, seed) for seed in range(3, 9)]
    assert len({fixed.run({name: each})[output].tobytes() for each in others for output in first}) == len(others)
    strided = np.repeat(images(3, 1), 2, axis=-1)[..., ::2]
    assert all(np.array_equal(array, first[output]) for output, array in fixed.run({name: strided}).items())
    with pytest.raises(GraphError):
        fixed.run({name: images(2)})
    with pytest.raises(GraphError):
        fixed.run({})
