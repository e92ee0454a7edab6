"""Reading untrusted ONNX files: valid ones are read completely, all others give one clear error."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from resnetx.errors import FileError, GraphError
from resnetx.graph.inspection.inspect import inspect_model
from resnetx.graph.reading import wire_check
from resnetx.graph.reading.onnx_file import read_onnx, read_onnx_file
from resnetx.graph.reading.tensor_data import data_problem, stored_bytes

FLOAT = TensorProto.FLOAT


def small(*nodes: NodeProto, weights: tuple[TensorProto, ...] | None = None) -> ModelProto:
    """A convolution and a Relu, or other nodes."""
    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "w")
    graph = helper.make_graph(
        nodes or [helper.make_node("Conv", ["x", "w"], ["c"], name="conv"), helper.make_node("Relu", ["c"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [weight] if weights is None else weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def refusal(model: ModelProto | bytes, folder: Path) -> str:
    path = folder / "m.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    with pytest.raises((GraphError, FileError)) as error:
        read_onnx(path)
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    return message


def test_an_honest_file_comes_through_unchanged(tmp_path: Path) -> None:
    model = small()
    file = read_onnx_file(save(model, tmp_path / "m.onnx"))
    assert file.model == model
    assert (file.file_bytes, file.external_bytes) == (model.ByteSize(), 0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(60), "PyTorch checkpoint"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5"),
        (b"\x1f\x8b\x08" + bytes(9), "gzip"),
        (b'{"irVersion": "8"}', "JSON"),
        (b"<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"ir_version: 8\ngraph {}\n", "not in the ONNX format"),
        (b"\x08\x08", "no graph"),
        (small().SerializeToString()[:-40], "is truncated"),
        (b"\x12\x02\xff\xfe" + small().SerializeToString(), "not text"),
    ],
)
def test_what_is_not_onnx_is_told_by_its_content(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(content, tmp_path)


def test_what_is_not_a_file_is_refused_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    huge = tmp_path / "huge.onnx"
    with huge.open("wb") as stream:
        stream.truncate(2**31)
    for path, words in (
        (tmp_path / "absent.onnx", "no file"),
        (tmp_path, "folder"),
        (tmp_path / "pipe", "a pipe"),
        (Path("/dev/zero"), "a device"),
        (huge, "2 GiB"),
        (tmp_path / "a\0b", "cannot be read"),
    ):
        with pytest.raises(FileError, match=words):
            read_onnx(path)


def subgraph(depth: int) -> NodeProto:
    inner = helper.make_graph([], "inner", [], [helper.make_tensor_value_info("c", FLOAT, None)])
    for _ in range(depth):
        node = helper.make_node("If", ["b"], ["y"], then_branch=inner)
        inner = helper.make_graph([node], "inner", [], [])
    return inner.node[0]


def lying_graph() -> NodeProto:
    """A graph in an attribute that claims to be an integer."""
    node = helper.make_node("Relu", ["x"], ["y"], alpha=1)
    node.attribute[0].g.node.add(op_type="EPContext", domain="com.microsoft", output=["z"])
    return node


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("Evil", ["x"], ["y"], domain="my.library"), "domain 'my.library'"),
        (helper.make_node("Conv", ["x", "w"], ["y"], domain="com.microsoft.nchwc"), "bound to one machine"),
        (helper.make_node("EPContext", [], ["y"], domain="com.microsoft"), "compiled code"),
        (helper.make_node("PythonOp", [], ["y"], domain="com.microsoft"), "compiled code"),
        (subgraph(20), "nested more than 16 deep"),
        (lying_graph(), "'EPContext'"),
        (NodeProto(name="blank", output=["y"]), "no operator"),
    ],
)
def test_foreign_code_and_deep_nesting_are_refused(tmp_path: Path, node: NodeProto, words: str) -> None:
    assert words in refusal(small(node), tmp_path)


@pytest.mark.parametrize("domain", ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"])
def test_domains_that_the_runtime_has_are_read(tmp_path: Path, domain: str) -> None:
    model = small(helper.make_node("Anything", ["x"], ["y"], domain=domain))
    assert read_onnx(save(model, tmp_path / "m.onnx")) == model


def test_nested_graphs_up_to_the_limit_are_read(tmp_path: Path) -> None:
    assert read_onnx(save(small(subgraph(14)), tmp_path / "m.onnx")).graph.node[0].op_type == "If"


def functions(model: ModelProto) -> None:
    model.functions.add(name="f", domain="f", node=[helper.make_node("Relu", ["x"], ["y"])])


def no_opset(model: ModelProto) -> None:
    del model.opset_import[:]


def twice(model: ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (functions, "1 functions of its own"),
        (no_opset, "names no opset"),
        (twice, "bear the name 'w'"),
        (lambda m: setattr(m, "ir_version", 0), "IR version is 0"),
        (lambda m: setattr(m.opset_import[0], "version", -3), "cannot exist"),
        (lambda m: m.training_info.add(), "training graph"),
        (lambda m: setattr(m.graph.initializer[0], "name", ""), "no name"),
        (lambda m: setattr(m.graph.initializer[0], "raw_data", b"1234"), "takes 432 bytes, but the file has 4"),
        (lambda m: m.graph.initializer[0].ClearField("raw_data"), "takes 108 numbers, but the file has 0"),
        (lambda m: m.graph.initializer[0].float_data.append(1), "stored twice"),
        (lambda m: m.graph.initializer[0].dims.append(-1), "invalid shape"),
        (lambda m: m.graph.initializer[0].dims.extend([2**62] * 3), "invalid shape"),
        (lambda m: m.graph.initializer[0].dims.extend([1] * 100), "104 dimensions"),
        (lambda m: setattr(m.graph.initializer[0], "data_type", 99), "type 99"),
        (lambda m: setattr(m.graph.initializer[0], "data_type", TensorProto.STRING), "text as raw bytes"),
        (lambda m: m.graph.initializer[0].segment.SetInParent(), "segments"),
    ],
)
def test_models_that_nobody_should_open_are_refused(
    tmp_path: Path, change: Callable[[ModelProto], object], words: str
) -> None:
    model = small()
    change(model)
    assert words in refusal(model, tmp_path)


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    length, size = b"", len(content)
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def test_a_crowd_of_empty_messages_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    assert "more than 200,000 nodes" in refusal(field(7, b"\x0a\x00" * 300_000), tmp_path)
    assert "more than 2,000,000 entries" in refusal(field(7, b"\x12\x00" * 2_100_000), tmp_path)


def test_numbers_stored_one_by_one_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_check, "MAX_PACKED_BYTES", 1000)
    tensor = helper.make_tensor("w", TensorProto.INT64, [600], [1] * 600)
    wire_check.check_wire(small(weights=(tensor,)).SerializeToString())
    tensor = helper.make_tensor("w", TensorProto.INT64, [1001], [1] * 1001)
    with pytest.raises(wire_check.WireError, match="in packed form"):
        wire_check.check_wire(small(weights=(tensor,)).SerializeToString())


def test_every_type_that_the_library_makes_has_the_size_that_is_expected() -> None:
    for name, data_type in TensorProto.DataType.items():
        if name in ("UNDEFINED", "STRING"):
            continue
        values = [1, 0, 1, 0, 1, 0, 1]
        for raw in (True, False):
            dtype = helper.tensor_dtype_to_np_dtype(data_type)
            array = np.array(values).astype(dtype)
            tensor = (
                numpy_helper.from_array(array, "t") if raw else helper.make_tensor("t", data_type, [len(values)], array)
            )
            assert data_problem(tensor) is None, (name, raw)
            if raw:
                assert stored_bytes(tensor) == len(tensor.raw_data)


def external(folder: Path, **changes: str) -> Path:
    """`m.onnx` with its weight in `w.bin`, the first 16 bytes of which are another's."""
    model = small()
    tensor = model.graph.initializer[0]
    (folder / "w.bin").write_bytes(bytes(16) + tensor.raw_data)
    entries = {"location": "w.bin", "offset": "16", "length": str(len(tensor.raw_data))} | changes
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return save(model, folder / "m.onnx")


def test_weights_beside_the_model_are_brought_in(tmp_path: Path) -> None:
    file = read_onnx_file(external(tmp_path))
    assert file.model == small() and file.external_bytes == 448
    inside = tmp_path / "deep" / "er"
    inside.mkdir(parents=True)
    (tmp_path / "w.bin").rename(inside / "w.bin")
    assert read_onnx(external(tmp_path, location="deep/er/w.bin")) == small()


def test_onnx_own_external_files_are_read(tmp_path: Path) -> None:
    onnx.save(small(), tmp_path / "m.onnx", save_as_external_data=True, location="w", size_threshold=0)
    assert read_onnx(tmp_path / "m.onnx") == small()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"location": "/etc/passwd"}, "outside of the model's folder"),
        ({"location": "../w.bin"}, "outside of the model's folder"),
        ({"location": "a/../../w.bin"}, "outside of the model's folder"),
        ({"location": "C:\\w.bin"}, "outside of the model's folder"),
        ({"location": "C:w.bin"}, "outside of the model's folder"),
        ({"location": ""}, "outside of the model's folder"),
        ({"location": "."}, "outside of the model's folder"),
        ({"location": "w\0.bin"}, "outside of the model's folder"),
        ({"location": "*/_ORT_MEM_ADDR_/*"}, "cannot be read"),
        ({"location": "absent.bin"}, "No such file"),
        ({"location": "x" * 5000}, "cannot be read"),
        ({"location": "folder"}, "it is a folder"),
        ({"location": "pipe"}, "it is a pipe"),
        ({"location": "link.bin"}, "symbolic link"),
        ({"location": "linked/w.bin"}, "symbolic link"),
        ({"location": "hard.bin"}, "hard link"),
        ({"offset": "17"}, "has 448"),
        ({"offset": str(2**60)}, "has 448"),
        ({"offset": "9" * 5000}, "not a valid number"),
        ({"offset": "-1"}, "not a valid number"),
        ({"offset": "٣"}, "not a valid number"),
        ({"length": "100"}, "takes 432 bytes"),
        ({"length": str(2**50)}, "takes 432 bytes"),
    ],
)
def test_external_data_may_not_leave_the_folder_or_the_file(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    path = external(tmp_path, **changes)
    content = (tmp_path / "w.bin").read_bytes()
    (tmp_path / "link.bin").symlink_to(tmp_path / "w.bin")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "w.bin").write_bytes(content)
    (tmp_path / "linked").symlink_to(tmp_path / "folder")
    (tmp_path / "first.bin").write_bytes(content)
    (tmp_path / "hard.bin").hardlink_to(tmp_path / "first.bin")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((GraphError, FileError)) as error:
        read_onnx(path)
    assert words in str(error.value) and len(str(error.value)) < 600


def test_a_small_file_that_a_thousand_weights_share_is_refused(tmp_path: Path) -> None:
    model = onnx.load(external(tmp_path), load_external_data=False)
    for index in range(1000):
        copy = model.graph.initializer.add()
        copy.CopyFrom(model.graph.initializer[0])
        copy.name = f"w{index}"
    save(model, tmp_path / "m.onnx")
    with pytest.raises(GraphError, match="overlap"):
        read_onnx(tmp_path / "m.onnx")


def survives(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    try:
        model = read_onnx(path)
    except (GraphError, FileError) as error:
        assert str(path) in str(error)
    else:
        assert model.graph.output and model.SerializeToString()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused_and_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    good = bytearray(small().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(good) - 1))
        patch = data.draw(st.binary(max_size=6) | st.sampled_from([b"\xff" * 9, struct.pack("<q", -1), b"\x0b", b"\0"]))
        good[place : place + data.draw(st.integers(0, 6))] = patch
    survives(bytes(good), tmp_path / "m.onnx")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    survives(data, tmp_path / "m.onnx")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 200), patch=st.binary(min_size=1, max_size=4))
def test_what_is_read_can_be_inspected(tmp_path: Path, place: int, patch: bytes) -> None:
    good = bytearray(small().SerializeToString())
    good[place : place + len(patch)] = patch
    path = tmp_path / "m.onnx"
    path.write_bytes(good)
    try:
        model = read_onnx(path)
    except (GraphError, FileError):
        return
    assert inspect_model(model).to_json()["schema"] == "resnetx.inspect/1"
