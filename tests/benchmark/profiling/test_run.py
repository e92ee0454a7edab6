"""`resnetx profile` on real engines: every node in one layer, its work, and what the layers do not explain."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import resnetx
from resnetx.benchmark import run as benchmarking
from resnetx.benchmark.profiling import worker
from resnetx.benchmark.profiling.options import ProfileOptions
from resnetx.benchmark.profiling.result import Profile, ProfiledLayer
from resnetx.benchmark.profiling.run import profile_file
from resnetx.errors import GraphError, ResnetxError, UsageError
from resnetx.graph.inspection.inspect import inspect_model
from resnetx.graph.reading.onnx_file import read_onnx
from resnetx.runtime.catalog import CATALOG, engine_of, find_provider
from resnetx.runtime.numbered_nodes import numbered
from resnetx.runtime.openvino.profile import ProfiledSession
from resnetx.runtime.runner import LayerTimes, Opening
from tests.cli.test_main import run
from tests.conftest import TINY_SIZE, tiny_config
from tests.support.onnx_models import convolution_beside, quantized_convolution, serialize, small_classifier
from tests.support.sample_profile import LIMITS

QUICK = ProfileOptions(provider="cpu", threads=1, duration_s=0.05)
OF_FILES = ("cpu", "openvino")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that all tests only read."""
    folder = tmp_path_factory.mktemp("profile")
    assert resnetx.export(tiny_config(), folder / "ours.onnx", image_size=TINY_SIZE).passed
    (folder / "foreign.onnx").write_bytes(small_classifier())
    (folder / "fixed.onnx").write_bytes(small_classifier(batch=4))
    (folder / "two.onnx").write_bytes(convolution_beside("Det"))
    (folder / "int8.onnx").write_bytes(integers_throughout())
    (folder / "odd.onnx").write_bytes(oddly_named())
    (folder / "broken.onnx").write_bytes(b"broken")
    return folder


@pytest.fixture(autouse=True)
def known_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's limits have tests of their own, and take seconds."""
    monkeypatch.setattr(benchmarking, "measured_limits", lambda threads, gpu: LIMITS)


def integers_throughout() -> bytes:
    """A convolution whose output is quantized too, so that its kernel computes in integers from end to end."""
    model = onnx.ModelProto.FromString(quantized_convolution())
    model.graph.node[-1].output[0] = "c"
    model.graph.node.extend(
        [
            helper.make_node("QuantizeLinear", ["c", "scale", "zero"], ["cq"]),
            helper.make_node("DequantizeLinear", ["cq", "scale", "zero"], ["y"]),
        ]
    )
    return model.SerializeToString()


def oddly_named() -> bytes:
    """Names that are no text for a terminal, a page or JSON; two nodes with one name, and one without."""
    weight = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), 'w"\\')
    nodes = [
        helper.make_node("Conv", ["x", 'w"\\'], ['c"\n'], name='\x1b[2J"\\@1@'),
        helper.make_node("Relu", ['c"\n'], ["r\u202e"], name="<script>alert(1)</script>"),
        helper.make_node("Conv", ["r\u202e", 'w"\\'], ["c2"], name="<script>alert(1)</script>"),
        helper.make_node("Neg", ["c2"], ["y"]),
    ]
    sizes = (TensorProto.FLOAT, [1, 3, 8, 8])
    return serialize(nodes, inputs={"x": sizes}, outputs={"y": sizes}, weights=[weight])


def layer_of(profile: Profile, node: str) -> ProfiledLayer:
    """The one layer that computes a node of the file."""
    (found,) = [layer for layer in profile.layers if node in layer.nodes]
    return found


@pytest.mark.parametrize("provider", OF_FILES)
def test_every_node_that_multiplies_is_in_one_layer_with_its_work(folder: Path, provider: str) -> None:
    profile = profile_file(folder / "ours.onnx", replace(QUICK, provider=provider, batch=2))
    model = read_onnx(folder / "ours.onnx")
    assert (profile.provider, profile.batch, profile.threads) == (provider, 2, 1)
    named = [name for layer in profile.layers for name in layer.nodes]
    assert len(named) == len(set(named))
    assert {node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "Add", "Relu")} <= set(named)
    assert sum(layer.macs or 0 for layer in profile.layers) == 2 * (inspect_model(model).macs or 0)
    conv1, conv3 = layer_of(profile, "conv1"), layer_of(profile, "layer1.0.conv3")
    assert "relu" in conv1.nodes and {"layer1.0.add", "layer1.0.relu_2"} <= set(conv3.nodes)
    assert (conv3.name, conv3.original_name, conv3.precision) == ("layer1.0.conv3", "res2a_branch2c", "fp32")
    # Inputs, weights, biases and outputs; the third convolution also reads what it adds. With AVX-512, ONNX Runtime
    # computes blocks of 16 channels, where the network has 8.
    assert conv1.moved_bytes in [
        4 * (2 * 3 * 32 * 32 + width * 3 * 49 + width + 2 * width * 16 * 16) for width in (8, 16)
    ]
    assert conv3.moved_bytes == 4 * (2 * 8 * 64 + 32 * 8 + 32 + 2 * (2 * 32 * 64))
    assert layer_of(profile, "fc").moved_bytes == 4 * (2 * 64 + 64 * 10 + 10 + 2 * 10)


@pytest.mark.parametrize("provider", (*OF_FILES, "torch"))
def test_the_layers_and_what_lies_outside_are_a_run_without_profiling(
    folder: Path, provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    profile = profile_file(folder / "ours.onnx", replace(QUICK, provider=provider))
    assert list(tmp_path.iterdir()) == []
    assert profile.layers_ms == pytest.approx(sum(layer.time_ms for layer in profile.layers))
    shares = sum(each.share for each in profile.figures) + profile.outside_ms / profile.run_ms
    assert shares == pytest.approx(1.0)
    # Without profiling before each round with it, and at the end.
    assert len(profile.plain_ms) == worker.ROUNDS + 1 and len(profile.profiled_ms) == worker.ROUNDS
    samples = sum(map(len, profile.profiled_ms))
    assert {len(layer.times_ms) for layer in profile.layers} == {worker.ROUNDS if provider == "openvino" else samples}
    assert sum(layer.time_ms for layer in profile.layers if layer.operator.lower().startswith("conv")) > 0
    assert profile.limits == LIMITS and profile.limits_problem is None
    data = json.loads(json.dumps(profile.to_json()))
    assert json.loads(json.dumps(Profile.from_json(data).to_json())) == data


def test_modules_are_named_by_their_paths_and_their_work_is_that_of_the_file(folder: Path) -> None:
    """PyTorch counts from its own tensors, `inspect` from the shapes of the file."""
    profile = profile_file(folder / "ours.onnx", replace(QUICK, provider="torch", batch=3))
    assert sum(layer.macs or 0 for layer in profile.layers) == 3 * (
        inspect_model(read_onnx(folder / "ours.onnx")).macs or 0
    )
    layers = {layer.name: layer for layer in profile.layers}
    assert len(layers) == len(profile.layers)
    conv, norm, add = layers["layer1.0.conv2"], layers["layer1.0.bn2"], layers["layer1.0.add"]
    assert (conv.original_name, conv.operator, norm.original_name) == ("res2a_branch2b", "conv2d", "bn2a_branch2b")
    assert conv.moved_bytes == 4 * (2 * (3 * 8 * 64) + 8 * 8 * 9)
    assert (add.macs, add.moved_bytes, add.precision) == (0, 4 * 3 * (3 * 32 * 64), "fp32")
    assert {"layer1.0.relu", "layer1.0.relu_1", "layer1.0.relu_2"} <= set(layers)


@pytest.mark.parametrize("provider", OF_FILES)
def test_an_int8_layer_is_counted_in_the_precision_of_its_kernel(folder: Path, provider: str) -> None:
    profile = profile_file(folder / "int8.onnx", replace(QUICK, provider=provider))
    (conv,) = [layer for layer in profile.layers if layer.macs]
    assert (conv.macs, conv.precision, profile.effective_precision) == (4 * 36 * 27, "int8", "int8")
    # A byte for each number of the input, the weights and the output, and a few for scales.
    assert conv.moved_bytes is not None and 0 <= conv.moved_bytes - (192 + 108 + 144) < 64


@pytest.mark.parametrize("provider", OF_FILES)
def test_odd_names_are_kept_apart_and_shown_safely(folder: Path, provider: str, tmp_path: Path) -> None:
    profile = profile_file(folder / "odd.onnx", replace(QUICK, provider=provider))
    macs = 3 * 3 * 64
    assert sorted(layer.macs or 0 for layer in profile.layers if layer.macs) in ([macs, macs], [2 * macs])
    assert {'\x1b[2J"\\@1@', "<script>alert(1)</script>", "y"} >= {
        name for layer in profile.layers for name in layer.nodes
    }
    assert json.loads(json.dumps(profile.to_json()))["layers"]


def test_several_inputs_and_a_fixed_batch(folder: Path) -> None:
    profile = profile_file(folder / "two.onnx", QUICK)
    assert [layer.macs for layer in profile.layers if layer.macs] == [4 * 3 * 9 * 36]
    assert profile_file(folder / "fixed.onnx", QUICK).batch == 4
    with pytest.raises(UsageError, match="takes batches of 4 only, but --batch 2"):
        profile_file(folder / "fixed.onnx", replace(QUICK, batch=2))


def test_auto_is_a_provider_that_tells_the_time_of_its_layers(folder: Path) -> None:
    profile = profile_file(folder / "foreign.onnx", replace(QUICK, provider="auto", batch=3))
    assert profile.provider in OF_FILES and profile.batch == 3
    assert sum(layer.macs or 0 for layer in profile.layers) == 3 * (8 * 27 * 256 + 8 * 72 * 49 + 48)


@pytest.mark.parametrize("row", [row for row in CATALOG if not row.times_layers], ids=lambda row: row.name)
def test_a_provider_that_does_not_tell_is_refused_before_anything_runs(
    folder: Path, row: resnetx.runtime.runner.Provider
) -> None:
    with pytest.raises(
        UsageError, match=f"{row.name} does not tell the time of its layers; choose one of cpu, openvino, torch"
    ):
        profile_file(folder / "broken.onnx", replace(QUICK, provider=row.name))


def test_a_runner_without_a_profile_has_no_layer_times() -> None:
    runner = engine_of(find_provider("cpu")).open(small_classifier(), Opening(threads=1))
    for ask in (runner.start_profile, runner.layer_times):
        with pytest.raises(UsageError, match="cpu does not tell"):
            ask()
    for name, source in (("openvino-ep", small_classifier()), ("torch-compile", torch_module)):
        with pytest.raises(UsageError, match=f"{name} does not tell"):
            engine_of(find_provider(name)).open(source, Opening(profile=True))


def torch_module() -> object:
    import torch

    return torch.nn.Identity()


def test_layers_that_differ_between_rounds_are_an_error() -> None:
    def layer(kernel: str, *times_ms: float) -> LayerTimes:
        return LayerTimes(name=f"x{times_ms}", operator="Conv", kernel=kernel, precision="fp32", times_ms=times_ms)

    (together,) = worker.joined([[layer("a", 1.0, 2.0)], [layer("a", 3.0)]])
    assert together.times_ms == (1.0, 2.0, 3.0)
    for other in ([layer("b", 3.0)], []):
        with pytest.raises(GraphError, match="did not run the same kernels"):
            worker.joined([[layer("a", 1.0)], other])
    with pytest.raises(GraphError, match="runs no kernel"):
        worker.joined([[], []])


def test_openvinos_running_means_become_the_mean_of_the_runs_that_count(monkeypatch: pytest.MonkeyPatch) -> None:
    data = numbered(onnx.ModelProto.FromString(small_classifier()))
    session = engine_of(find_provider("openvino")).open(data, Opening(profile=True, batch=1, threads=1))
    assert isinstance(session, ProfiledSession)
    feeds = {session.inputs[0].name: np.zeros((1, 3, 16, 16), np.float32)}
    call = session.bind(feeds)
    for _ in range(3):
        call()
    # 9 ms in the first run and nothing in the next two; then 1 ms in each of six.
    means = iter([{"@0@": 3.0}, {"@0@": 15 / 9}])
    monkeypatch.setattr(session, "_means_ms", lambda: next(means))
    session.start_profile()
    for _ in range(6):
        session.run(feeds)
    times = {layer.nodes[0]: layer.times_ms for layer in session.layer_times() if layer.nodes}
    assert times[0] == (pytest.approx(1.0),) and times[5] == (0.0,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["foreign.onnx", "--provider", "torch-compile"],
            "torch-compile does not tell the time of its layers; choose one",
        ),
        (["foreign.onnx", "--provider", "torch"], "has none that resnetx can rebuild"),
        (["foreign.onnx", "--provider", "nothing"], "There is no provider 'nothing'"),
        (["foreign.onnx", "--precision", "int8"], "--precision is fp32 or default or bf16"),
        (["foreign.onnx", "--precision", "bf16", "--provider", "cpu"], "cannot compute in bf16"),
        (["foreign.onnx", "--provider", "cpu", "--provider-option", "x=1"], "has no option 'x'"),
        (["foreign.onnx", "--batch", "0"], "--batch takes 1 to"),
        (["foreign.onnx", "--duration", "nan"], "--duration takes 0 to"),
        (["foreign.onnx", "--provider", "cpu", "--memory-mb", "20"], "exceeded the memory limit of 20 MB"),
        (["foreign.onnx", "--provider", "cpu", "--timeout", "0.01"], "it took longer than 0.01 s"),
        (["foreign.onnx", "--json", "no/such/r.json"], "no/such"),
        (["foreign.onnx", "--html", "foreign.onnx"], "would overwrite what MODEL.onnx reads"),
        (["absent.onnx"], "There is no file absent.onnx"),
        (["broken.onnx"], "is not an ONNX file"),
    ],
)
def test_what_cannot_be_profiled_exits_with_2_and_writes_nothing(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    before = sorted(folder.iterdir())
    monkeypatch.chdir(folder)
    assert run(monkeypatch, "profile", *arguments) == 2
    shown = capsys.readouterr()
    error = " ".join(shown.err.split())
    assert words in error and "Traceback" not in error and shown.out == ""
    assert sorted(folder.iterdir()) == before


def test_the_command_shows_and_writes_the_profile(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = ("--json", tmp_path / "r.json", "--html", tmp_path / "r.html")
    options = ("--provider", "cpu", "--threads", "1", "--duration", "0.05", "--top", "3")
    assert run(monkeypatch, "profile", folder / "ours.onnx", *options, *targets) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    profile = Profile.from_json(json.loads((tmp_path / "r.json").read_text()))
    longest = sorted(profile.layers, key=lambda layer: -layer.time_ms)[:3]
    assert [line.split()[0] for line in shown.split("layer ")[1].splitlines()[1:4]] == [layer.name for layer in longest]
    assert f"{len(profile.layers) - 3} other layers" in shown and "outside the layers" in shown
    page = (tmp_path / "r.html").read_text()
    assert all(layer.name in page for layer in profile.layers)


def test_the_function_profiles_in_a_process_of_its_own(folder: Path) -> None:
    profile = resnetx.profile(folder / "foreign.onnx", provider="cpu", threads=1, duration_s=0.02)
    assert isinstance(profile, Profile) and {layer.name for layer in profile.layers} >= {"stem", "body", "fc"}
    with pytest.raises(ResnetxError, match="There is no file"):
        resnetx.profile(folder / "absent.onnx")
