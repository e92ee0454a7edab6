"""Simplification: what onnxsim may get wrong is caught, and what it gets right stays the same graph."""

import json
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import EncodeError
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from resnetx.base.isolation import PYTHON, Limits, run_isolated
from resnetx.cli.main import app
from resnetx.conversion import checked_simplify
from resnetx.conversion.checked_simplify import compare_files, simplify_checked
from resnetx.errors import GraphError, ResnetxError
from resnetx.graph.card import ModelCard, Weights, embed_card, read_card
from resnetx.graph.counts import boundary_change, changed_types, count_graph
from resnetx.graph.simplification import simplify
from resnetx.graph.simplification.simplify import simplify_model
from resnetx.runtime.catalog import open_runner

FLOAT = TensorProto.FLOAT
TOOL = f"onnxsim {version('onnxsim')}"
# What every fake child begins with; it is called like the real one, with BEFORE AFTER MEMORY_MB LIFETIME_S.
PROLOGUE = "import onnx, os, sys, time; model = onnx.load(sys.argv[1]); graph = model.graph\n"
EPILOGUE = "\nonnx.save(model, sys.argv[2])"


def foldable(*, opset: int = 17, ir_version: int = 8, weights_are_inputs: bool = False) -> onnx.ModelProto:
    """conv -> bn -> identity -> relu, and a second output: three nodes of the five can go."""
    rng = np.random.default_rng(0)
    arrays = {"w": rng.normal(size=(4, 3, 3, 3)), "v": rng.uniform(0.5, 1.5, 4)}
    arrays |= {name: rng.normal(size=4) for name in ("s", "b", "m")}
    weights = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="layer1.0.conv1", doc_string="the first"),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], name="layer1.0.bn1"),
        helper.make_node("Identity", ["n"], ["i"], name="identity"),
        helper.make_node("Relu", ["i"], ["y"], name="layer1.0.relu"),
        helper.make_node("Shape", ["y"], ["size"], name="shape"),
    ]
    nodes[0].metadata_props.add(key="resnetx.module", value="layer1.0.conv1")
    inputs = [helper.make_tensor_value_info("x", FLOAT, ["batch", 3, 8, 8])]
    if weights_are_inputs:
        inputs += [helper.make_tensor_value_info(tensor.name, FLOAT, tensor.dims) for tensor in weights]
    outputs = [
        helper.make_tensor_value_info("y", FLOAT, ["batch", 4, 6, 6]),
        helper.make_tensor_value_info("size", TensorProto.INT64, [4]),
    ]
    outputs[0].doc_string = "features"
    graph = helper.make_graph(nodes, "main", inputs, outputs, weights, doc_string="the graph")
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version, producer_name="a tool"
    )
    model.doc_string = "the model"
    model.metadata_props.add(key="author", value="somebody")
    return model


def branching() -> onnx.ModelProto:
    """Two inputs beside the condition, two outputs, and an Identity inside and outside of If."""
    then = helper.make_graph(
        [helper.make_node("Identity", ["a"], ["t0"], name="inner"), helper.make_node("Relu", ["t0"], ["t"], name="r")],
        "then",
        [],
        [helper.make_tensor_value_info("t", FLOAT, ["n", 4])],
    )
    other = helper.make_graph(
        [helper.make_node("Neg", ["a"], ["e"], name="neg")],
        "else",
        [],
        [helper.make_tensor_value_info("e", FLOAT, None)],
    )
    nodes = [
        helper.make_node("Add", ["x", "z"], ["a"], name="add"),
        helper.make_node("Identity", ["a"], ["a2"], name="outer"),
        helper.make_node("If", ["c"], ["o"], name="if", then_branch=then, else_branch=other),
        helper.make_node("Mul", ["a2", "a2"], ["p"], name="mul"),
    ]
    tensors = {name: helper.make_tensor_value_info(name, FLOAT, ["n", 4]) for name in "xzop"}
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    graph = helper.make_graph(nodes, "g", [tensors["x"], tensors["z"], condition], [tensors["o"], tensors["p"]])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def no_leftovers(tmp_path, monkeypatch):
    """Temporary files go to a folder that must be empty again at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def child(monkeypatch, no_leftovers):
    """Put Python code in the place of onnxsim."""

    def replace(code: str) -> None:
        monkeypatch.setattr(simplify, "CHILD", (sys.executable, "-P", "-W", "ignore", "-c", code))

    return replace


def kept(model: onnx.ModelProto, **options: object) -> str:
    """Simplify, require that the graph was kept as it was, and return the reason."""
    untouched = model.SerializeToString(deterministic=True)
    result = simplify_model(model, **options)
    assert not result.applied and result.reason
    assert result.model.SerializeToString(deterministic=True) == untouched
    assert result.after == result.before
    return result.reason


class TestChild:
    def test_crash(self, child):
        child("import os; os.kill(os.getpid(), 11)")
        assert kept(foldable()) == "onnxsim crashed (SIGSEGV)"

    def test_exit_status_and_last_words(self, child):
        child(r"import sys; print('noise', file=sys.stderr); print('no \x1b[31mluck', file=sys.stderr); sys.exit(3)")
        assert kept(foldable()) == "onnxsim failed with exit status 3: no ?[31mluck"

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
    def test_hang_ends_with_all_its_children(self, child, tmp_path):
        pid = tmp_path / "pid"
        child(
            "import pathlib, subprocess, sys, time\n"
            "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            f"pathlib.Path({str(pid)!r}).write_text(str(inner.pid)); time.sleep(60)"
        )
        assert kept(foldable(), timeout_s=2) == "onnxsim took longer than 2 s"
        assert _ends(int(pid.read_text()))

    def test_endless_noise_and_garbage(self, child):
        child(
            "import sys; print('x' * 2**22); print('y' * 2**22, file=sys.stderr)\n"
            "open(sys.argv[2], 'wb').write(b'?' * 99)"
        )
        assert kept(foldable()) == "onnxsim wrote a result that is not an ONNX file"

    def test_no_result(self, child):
        child("pass")
        assert kept(foldable()) == "onnxsim wrote no result"

    def test_empty_result(self, child):
        child("import sys; open(sys.argv[2], 'w')")
        assert kept(foldable()) == "onnxsim wrote a result of 0 bytes"

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
    def test_truncated_result(self, child, share):
        child(
            "import sys; data = open(sys.argv[1], 'rb').read(); "
            f"open(sys.argv[2], 'wb').write(data[:int(len(data) * {share})])"
        )
        assert kept(foldable()).startswith("onnxsim ")

    def test_memory(self, child):
        child("import time\nkept = []\nwhile True: kept.append(b'x' * 2**20); time.sleep(0.001)")
        assert kept(foldable(), memory_mb=64) == "onnxsim exceeded its memory limit of 64 MB"

    def test_interrupt_kills_the_child(self, child, monkeypatch):
        child("import time; time.sleep(60)")
        started = []

        def interrupted(process, timeout=None):
            started.append(process)
            monkeypatch.undo()
            raise KeyboardInterrupt

        monkeypatch.setattr("subprocess.Popen.wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simplify_model(foldable())
        assert started[0].poll() == -9

    def test_no_room_for_temporary_files(self, monkeypatch, tmp_path):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
        assert kept(foldable()).startswith("the temporary files could not be written: ")

    def test_files_in_the_users_folder_are_not_imported(self, tmp_path, monkeypatch):
        (tmp_path / "onnxsim.py").write_text("raise SystemExit(9)")
        (tmp_path / "onnx.py").write_text("raise SystemExit(9)")
        monkeypatch.chdir(tmp_path)
        assert simplify_checked(foldable()).applied

    def test_it_does_not_import_torch(self, tmp_path):
        source, target = tmp_path / "a.onnx", tmp_path / "b.onnx"
        onnx.save(foldable(), source)
        code = (
            "import runpy, sys\n"
            f"sys.argv = ['child', {str(source)!r}, {str(target)!r}]\n"
            "runpy.run_module('resnetx.graph.simplification.onnxsim_worker', run_name='__main__')\n"
            "assert sys.modules['torch'] is None, 'torch was imported'"
        )
        command = (sys.executable, "-W", "ignore", "-c", code)
        assert run_isolated(command, folder=tmp_path, limits=Limits(seconds=60, memory_mb=2048)) is None
        assert target.stat().st_size


def _ends(pid: int) -> bool:
    """Whether a process is gone, or dead and not yet collected, within some seconds."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


LIES = {
    "graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1": (
        "onnxsim changed input 'x' from (batch, 3, 8, 8) to (1, 3, 8, 8)"
    ),
    "graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1": (
        "onnxsim changed output 'y' from (batch, 4, 6, 6) to (1, 4, 6, 6)"
    ),
    "graph.output[0].type.tensor_type.shape.dim[0].Clear()": (
        "onnxsim changed output 'y' from (batch, 4, 6, 6) to (?, 4, 6, 6)"
    ),
    "graph.output[0].type.tensor_type.ClearField('shape')": (
        "onnxsim changed output 'y' from (batch, 4, 6, 6) to no shape"
    ),
    "del graph.output[0].type.tensor_type.shape.dim[3]": (
        "onnxsim changed output 'y' from (batch, 4, 6, 6) to (batch, 4, 6)"
    ),
    "graph.output[0].type.tensor_type.elem_type = 10": "onnxsim changed the type of output 'y' from float to float16",
    "graph.node[3].output[0] = graph.output[0].name = 'z'": (
        "onnxsim changed the outputs from 'y', 'size' to 'z', 'size'"
    ),
    "del graph.output[1]": "onnxsim changed the outputs from 'y', 'size' to 'y'",
    "graph.output.reverse()": "onnxsim changed the outputs from 'y', 'size' to 'size', 'y'",
    "del graph.input[0]": "onnxsim changed the inputs from 'x' to none",
    "model.opset_import[0].version = 18": "onnxsim changed the opset from ai.onnx 17 to ai.onnx 18",
    "model.opset_import.add(domain='com.acme', version=1)": (
        "onnxsim changed the opset from ai.onnx 17 to ai.onnx 17, com.acme 1"
    ),
    "model.ir_version = 10": "onnxsim changed the IR version from 8 to 10",
}


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
def test_changed_boundary_is_caught(child, lie):
    child(PROLOGUE + lie + EPILOGUE)
    assert kept(foldable()) == LIES[lie]


@pytest.mark.parametrize(
    "damage", ["del graph.node[0]", "graph.node[3].op_type = 'Relux'", "graph.node[3].input[0] = ''"]
)
def test_invalid_graph_is_caught(child, damage):
    child(PROLOGUE + damage + EPILOGUE)
    assert "not valid" in kept(foldable())


CHANGE_WEIGHT = (
    "import numpy as np\nw = onnx.numpy_helper.to_array(graph.initializer[0]).copy(); w.flat[5] {}\n"
    "graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(w, 'w'))"
)


@pytest.mark.parametrize("change", ["+= 0.01", "*= -1", "= np.nan", "= np.inf"])
def test_changed_numbers_are_caught(child, change):
    child(PROLOGUE + CHANGE_WEIGHT.format(change) + EPILOGUE)
    model = foldable()
    untouched = model.SerializeToString()
    result = simplify_checked(model)
    assert not result.applied and result.reason.startswith("onnxsim changed the numbers: output 'y' ")
    assert result.reason.endswith("(batch 1)")
    assert result.model.SerializeToString() == untouched


def test_a_batch_that_is_fixed_inside_is_caught(child):
    """The boundary still says that the batch is free; only running a batch of three shows that it is not."""
    reshape = (
        "graph.initializer.append(onnx.numpy_helper.from_array(__import__('numpy').array([1, 4, 6, 6]), 'fixed'))\n"
        "graph.node[2].op_type = 'Reshape'; graph.node[2].input.append('fixed')"
    )
    child(PROLOGUE + reshape + EPILOGUE)
    reason = simplify_checked(foldable()).reason
    assert reason is not None and reason.startswith("the simplified graph does not run: ")


def test_a_comparison_that_crashes_is_a_no(monkeypatch, no_leftovers):
    monkeypatch.setattr(checked_simplify, "CHILD", (sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"))
    assert simplify_checked(foldable()).reason == "comparing the numbers before and after crashed (SIGSEGV)"
    monkeypatch.setattr(checked_simplify, "CHILD", (sys.executable, "-c", "pass"))
    assert simplify_checked(foldable()).reason == "comparing the numbers before and after gave no result"


def test_random_numbers_are_no_proof(no_leftovers):
    model = foldable()
    model.graph.node[3].CopyFrom(helper.make_node("Add", ["i", "noise"], ["y"], name="sum"))
    model.graph.node.insert(3, helper.make_node("RandomUniformLike", ["i"], ["noise"], name="noise"))
    assert simplify_checked(model).reason == (
        "the graph gives different numbers in every run, so a simplified one cannot be compared with it"
    )


def headless() -> onnx.ModelProto:
    """Its output is the same whatever the input is, as that of a head that starts at zero."""
    model = foldable()
    model.graph.node[3].output[0] = "features"
    model.graph.node[4].CopyFrom(helper.make_node("Mul", ["features", "zero"], ["y"], name="head"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 4, 1, 1), np.float32), "zero"))
    del model.graph.output[1]
    return model


@pytest.mark.parametrize("change", ["+= 0.01", "*= -1"])
def test_equal_constants_prove_nothing(child, change):
    child(PROLOGUE + CHANGE_WEIGHT.format(change) + EPILOGUE)
    result = simplify_checked(headless())
    assert not result.applied and result.reason.startswith("nothing could be proven: every output is the same")


def test_equal_constants_of_equal_graphs_are_proved(no_leftovers):
    result = simplify_checked(headless())
    assert result.applied, result.reason
    assert "Identity" not in result.after.nodes


def test_outputs_without_inputs_are_constants_that_agree(no_leftovers):
    node = helper.make_node("Add", ["one", "one"], ["y"])
    one = numpy_helper.from_array(np.ones(3, np.float32), "one")
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", FLOAT, [3])], [one])
    result = simplify_checked(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert result.applied, result.reason


def test_a_graph_that_never_ran_cannot_be_compared(tmp_path):
    model = foldable()
    model.graph.node[3].CopyFrom(helper.make_node("Gather", ["i", "far"], ["y"], name="gather", axis=1))
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 1, 2, 99]), "far"))
    path = tmp_path / "broken.onnx"
    onnx.save(model, path)
    assert "because the original graph does not run" in str(compare_files(path, path))


@pytest.mark.parametrize("name", [b"Identity", b"layer1.0.relu", b"a tool"])
def test_names_that_are_not_text(name):
    data = foldable().SerializeToString().replace(name, b"\xff" + name[1:])
    assert kept(onnx.ModelProto.FromString(data))


def test_too_large_to_serialize(monkeypatch):
    """Two GiB cannot be had in a test: the serializer says what it would say."""

    def refuse(*_: object, **__: object) -> bytes:
        raise EncodeError("Failed to serialize proto")

    model = foldable()
    monkeypatch.setattr(onnx.ModelProto, "SerializeToString", refuse, raising=False)
    result = simplify_model(model)
    assert not result.applied and "2 GiB at most" in str(result.reason)
    assert result.model is model and result.before.bytes == 4 * (108 + 16)
    with pytest.raises(GraphError, match="one self-contained"):
        simplify.serialize(model)


class TestReal:
    @pytest.mark.parametrize(
        ("opset", "ir_version", "weights_are_inputs"), [(9, 3, True), (9, 4, True), (11, 6, False), (17, 8, False)]
    )
    def test_folds_and_keeps_everything_else(self, opset, ir_version, weights_are_inputs, no_leftovers):
        model = foldable(opset=opset, ir_version=ir_version, weights_are_inputs=weights_are_inputs)
        untouched = model.SerializeToString()
        result = simplify_checked(model)
        assert (result.applied, result.reason) == (True, None)
        assert model.SerializeToString() == untouched, "the graph that was given is not touched"
        assert changed_types(result.before, result.after) == (("BatchNormalization", 1, 0), ("Identity", 1, 0))
        assert (result.before.total_nodes, result.after.total_nodes) == (5, 3)
        assert (result.before.parameters, result.after.parameters) == (108 + 16, 108 + 4)
        assert result.after.bytes == len(result.model.SerializeToString())

        after = result.model
        assert after.opset_import == model.opset_import
        assert after.ir_version == max(4, ir_version)
        assert (after.producer_name, after.doc_string) == ("a tool", "the model")
        assert (after.graph.name, after.graph.doc_string) == ("main", "the graph")
        assert [(entry.key, entry.value) for entry in after.metadata_props] == [("author", "somebody")]
        assert list(after.graph.input) == [model.graph.input[0]]
        assert list(after.graph.output) == list(model.graph.output)
        assert {node.name for node in after.graph.node} == {"layer1.0.conv1", "layer1.0.relu", "shape"}
        convolution = after.graph.node[0]
        assert (convolution.op_type, convolution.doc_string) == ("Conv", "the first")
        assert [entry.value for entry in convolution.metadata_props] == ["layer1.0.conv1"]
        assert result.notes == (
            ("5 weights were listed among the inputs; they are no longer inputs",) if weights_are_inputs else ()
        )
        feeds = {"x": np.random.default_rng(7).normal(size=(5, 3, 8, 8)).astype(np.float32)}
        first, second = (open_runner(each.SerializeToString()).run(feeds) for each in (model, after))
        np.testing.assert_allclose(first["y"], second["y"], rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(second["size"], [5, 4, 6, 6])

    def test_the_same_graph_gives_the_same_bytes(self):
        first, second = (simplify_checked(foldable()).model.SerializeToString(deterministic=True) for _ in range(2))
        assert first == second

    def test_subgraphs_and_several_inputs(self, no_leftovers):
        model = branching()
        result = simplify_checked(model)
        assert result.applied, result.reason
        assert ("Identity", 2, 0) in changed_types(result.before, result.after)
        assert list(result.model.graph.input) == list(model.graph.input)
        assert list(result.model.graph.output) == list(model.graph.output)
        assert boundary_change(model, result.model) is None

    def test_lost_names_come_back(self, child):
        child(PROLOGUE + "for node in graph.node: node.name = ''; node.ClearField('metadata_props')" + EPILOGUE)
        result = simplify_model(foldable())
        assert [node.name for node in result.model.graph.node] == [node.name for node in foldable().graph.node]
        assert result.model.graph.node[0].metadata_props == foldable().graph.node[0].metadata_props

    def test_too_little_memory(self, no_leftovers):
        model = foldable()
        model.graph.initializer.append(numpy_helper.from_array(np.ones((8, 2**20), np.float32), "unused"))
        assert kept(model, memory_mb=1).startswith("onnxsim ")

    def test_constants_are_not_folded_without_bounds(self):
        """A few bytes of ConstantOfShape that would become 144 MB of zeros in the file."""
        shape = numpy_helper.from_array(np.array([6_000, 6_000]), "shape")
        nodes = [
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"], name="zeros"),
            helper.make_node("ReduceMax", ["zeros"], ["largest"], name="max", keepdims=0),
            helper.make_node("Add", ["x", "largest"], ["y"], name="add"),
        ]
        values = [helper.make_tensor_value_info(name, FLOAT, ["n"]) for name in "xy"]
        graph = helper.make_graph(nodes, "g", values[:1], values[1:], [shape])
        result = simplify_checked(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
        assert result.after.bytes < 10_000

    def test_exported_network(self, exported, no_leftovers):
        result = simplify_checked(exported)
        assert result.applied, result.reason
        assert [node.name for node in result.model.graph.node] == [node.name for node in exported.graph.node]
        assert result.model.graph.node[0].metadata_props == exported.graph.node[0].metadata_props
        assert result.model.graph.input == exported.graph.input
        assert result.model.opset_import == exported.opset_import
        assert result.after.nodes["Conv"] == 9

    def test_the_card_says_so(self):
        model = foldable()
        embed_card(model, ModelCard(architecture="tiny", weights=Weights(sha256="0" * 64)))
        result = simplify_checked(model)
        card = read_card(result.model)
        assert card is not None and card.simplified and card.architecture == "tiny"
        assert result.after.bytes == result.model.ByteSize()
        assert read_card(model) != card, "the graph that was given keeps its own"


@pytest.fixture(scope="module")
def exported() -> onnx.ModelProto:
    torch = pytest.importorskip("torch")
    from resnetx.model.config import resnet_config
    from resnetx.model.initialization import initialize
    from resnetx.model.network import build_network

    network = build_network(resnet_config(stages=(1, 1), width=8)).eval()
    initialize(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns about its own deprecated calls
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 3, 32, 32),),
            dynamo=True,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    return program.model_proto


class TestCounts:
    def test_constants_count_as_weights_and_domains_show(self):
        value = numpy_helper.from_array(np.ones((2, 3), np.float32), "value")
        nodes = [
            helper.make_node("Constant", [], ["k"], value=value),
            helper.make_node("Gelu", ["k"], ["y"], domain="com.microsoft"),
        ]
        graph = helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("y", FLOAT, [2, 3])], [value])
        counts = count_graph(helper.make_model(graph))
        assert counts.nodes == {"Constant": 1, "com.microsoft.Gelu": 1}
        assert counts.parameters == 12

    def test_sizes_that_no_input_leaves_free_may_become_known(self):
        def model(*dims: int | str | None) -> onnx.ModelProto:
            values = [
                helper.make_tensor_value_info("x", FLOAT, ["n", 4]),
                helper.make_tensor_value_info("y", FLOAT, dims),
            ]
            return helper.make_model(helper.make_graph([], "g", values[:1], values[1:]))

        assert boundary_change(model("n", "made_up"), model("n", 4)) is None
        assert boundary_change(model(None, None), model("n", 4)) is None
        assert boundary_change(model("n", 4), model("m", 4)) is not None
        assert boundary_change(model("n", 4), model(1, 4)) is not None
        assert boundary_change(model("n", 4), model("n", 5)) is not None


class TestCommand:
    @pytest.fixture
    def run(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "80")
        return lambda *arguments: CliRunner().invoke(app, ["simplify", *map(str, arguments)])

    def test_simplified(self, run):
        onnx.save(foldable(), "in.onnx")
        result = run("in.onnx", "-o", "out.onnx", "--json", "out.json")
        assert result.exit_code == 0
        assert result.stdout.splitlines()[0].rstrip() == (
            f"out.onnx  simplified by {TOOL}, same inputs, outputs and numbers"
        )
        assert "BatchNormalization       1      0      -1" in result.output
        assert "all nodes                5      3      -2" in result.output
        assert max(map(len, result.stdout.splitlines())) <= 80
        data = json.loads(Path("out.json").read_text())
        assert data["schema"] == "resnetx.simplify/1"
        assert data["applied"] is True and data["reason"] is None
        assert data["before"]["nodes"] == {"BatchNormalization": 1, "Conv": 1, "Identity": 1, "Relu": 1, "Shape": 1}
        assert data["after"]["nodes"] == {"Conv": 1, "Relu": 1, "Shape": 1}
        assert data["after"]["bytes"] == Path("out.onnx").stat().st_size

    def test_kept(self, run, child):
        child("import os; os.kill(os.getpid(), 11)")
        onnx.save(foldable(), "in.onnx")
        result = run("in.onnx", "-o", "out.onnx", "--json", "out.json")
        assert result.exit_code == 1
        assert result.stdout.splitlines() == [
            "NOT SIMPLIFIED: onnxsim crashed (SIGSEGV)",
            "out.onnx contains the graph of in.onnx unchanged.",
        ]
        assert onnx.load("out.onnx").graph == foldable().graph
        assert json.loads(Path("out.json").read_text())["reason"] == "onnxsim crashed (SIGSEGV)"

    def test_nothing_to_do(self, run):
        onnx.save(foldable(), "a.onnx")
        assert run("a.onnx", "-o", "b.onnx").exit_code == 0
        result = run("b.onnx", "-o", "c.onnx")
        assert result.exit_code == 0
        assert "already simple" in result.output
        assert Path("b.onnx").read_bytes() == Path("c.onnx").read_bytes()

    def test_unusable_input(self, run):
        Path("noise.onnx").write_bytes(b"\x89PNG not a graph" * 20)
        for name in ("absent.onnx", "noise.onnx"):
            result = run(name, "-o", "out.onnx")
            assert isinstance(result.exception, ResnetxError), result.exception
            assert name in str(result.exception)
            assert not Path("out.onnx").exists()

    def test_in_place(self, run):
        onnx.save(foldable(), "same.onnx")
        assert run("same.onnx", "-o", "same.onnx").exit_code == 0
        assert len(onnx.load("same.onnx").graph.node) == 3
        assert [path.name for path in Path().iterdir()] == ["same.onnx"]

    def test_external_data_ends_up_inside(self, run):
        onnx.save(foldable(), "in.onnx", save_as_external_data=True, location="in.data", size_threshold=16)
        assert run("in.onnx", "-o", "out.onnx").exit_code == 0
        Path("in.data").unlink()
        after = onnx.load("out.onnx")
        assert all(tensor.data_location == TensorProto.DEFAULT for tensor in after.graph.initializer)
        assert open_runner(Path("out.onnx")).run({"x": np.zeros((2, 3, 8, 8), np.float32)})["y"].shape == (2, 4, 6, 6)

    def test_external_data_is_kept_inside_when_nothing_is_simplified(self, run, child):
        child("pass")
        onnx.save(foldable(), "in.onnx", save_as_external_data=True, location="in.data", size_threshold=16)
        assert run("in.onnx", "-o", "out.onnx").exit_code == 1
        Path("in.data").unlink()
        assert open_runner(Path("out.onnx")).run({"x": np.zeros((1, 3, 8, 8), np.float32)})["y"].shape == (1, 4, 6, 6)


def test_python_is_called_safely():
    assert "-P" in PYTHON
