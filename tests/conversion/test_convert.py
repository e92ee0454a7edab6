"""`resnetx convert`: a float16 file that holds its numbers, or none."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import resnetx
from resnetx.cli.main import main
from resnetx.conversion import convert
from resnetx.conversion.convert import ConvertOptions, convert_file
from resnetx.conversion.tensor_ranges import tensor_ranges
from resnetx.errors import GraphError, UsageError
from resnetx.graph.card import read_card
from resnetx.graph.float16 import convert_precision, overflowing_nodes
from resnetx.runtime.catalog import open_runner
from resnetx.verification.verify import VerifyOptions, verify_file
from tests.conftest import TINY_SIZE, tiny_config
from tests.support.onnx_models import quantized_convolution, serialize, small_classifier


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "m.onnx"
    assert resnetx.export(tiny_config(), path, image_size=TINY_SIZE).passed
    return path


def overflowing(path: Path, *, scale: float = 1e5) -> Path:
    """A classifier between whose convolutions the numbers are large."""
    model = onnx.load_from_string(small_classifier())
    model.graph.initializer.append(numpy_helper.from_array(np.float32(scale), "up"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(1 / scale), "down"))
    nodes = list(model.graph.node)
    for node in nodes:
        if node.name == "body":
            node.input[0] = "small"
    large = helper.make_node("Mul", ["r1", "up"], ["large"], name="enlarge")
    small = helper.make_node("Mul", ["large", "down"], ["small"], name="shrink")
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:2], large, small, *nodes[2:]])
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_own_file_becomes_the_file_that_an_export_in_fp16_gives(ours: Path, tmp_path: Path) -> None:
    result = convert_file(ours, tmp_path / "half.onnx", ConvertOptions())
    assert result.written and result.kept == {} and result.undefined == () and result.samples > 4
    assert result.after.bytes < 0.6 * result.before.bytes
    model = onnx.load(tmp_path / "half.onnx")
    card = read_card(model)
    assert card is not None and card.precision == "fp16"
    assert {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)} == {1}
    assert resnetx.export(tiny_config(), tmp_path / "own.onnx", image_size=TINY_SIZE, precision="fp16").passed
    feeds = {"input": np.random.default_rng(0).standard_normal((3, 3, TINY_SIZE, TINY_SIZE), np.float32)}
    answers = [open_runner(tmp_path / name).run(feeds)["logits"] for name in ("half.onnx", "own.onnx")]
    assert np.array_equal(*answers)
    # The network that the card describes is still compared, layer by layer.
    verified = verify_file(tmp_path / "half.onnx", VerifyOptions())
    assert verified.passed and verified.file is not None and verified.file.layers


def test_layers_that_overflow_stay_in_float32(tmp_path: Path) -> None:
    source = overflowing(tmp_path / "m.onnx")
    result = convert_file(source, tmp_path / "half.onnx", ConvertOptions())
    assert result.written and list(result.kept) == ["enlarge", "shrink"]
    assert result.kept["enlarge"].startswith("its output large reaches")
    names = {node.name: node for node in onnx.load(tmp_path / "half.onnx").graph.node}
    assert names["shrink"].input[0] == names["enlarge"].output[0]


def test_ranges_are_those_of_the_graph(tmp_path: Path) -> None:
    source = overflowing(tmp_path / "m.onnx")
    found = tensor_ranges(source, None)
    assert found.largest["large"] == pytest.approx(1e5 * found.largest["r1"], rel=1e-5)
    assert found.largest["small"] == pytest.approx(found.largest["r1"], rel=1e-5) and found.undefined == []
    model = serialize(
        [helper.make_node("Log", ["x"], ["l"], name="log"), helper.make_node("Relu", ["l"], ["y"], name="relu")],
        inputs={"x": (TensorProto.FLOAT, ["batch", 3, 8, 8])},
        outputs={"y": (TensorProto.FLOAT, ["batch", 3, 8, 8])},
        weights=[],
    )
    (tmp_path / "log.onnx").write_bytes(model)
    undefined = tensor_ranges(tmp_path / "log.onnx", None)
    assert sorted(undefined.undefined) == ["l", "y"] and undefined.magnitudes["l"] == float("inf")


def test_an_input_beyond_float16_is_read_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    loud = [[np.full((1, 3, 16, 16), 1e6, np.float32)]]
    monkeypatch.setattr("resnetx.conversion.tensor_ranges.foreign_feeds", lambda *_: loud)
    ranges = tensor_ranges(tmp_path / "m.onnx", None)
    assert ranges.largest["x"] == 1e6
    model = onnx.load(tmp_path / "m.onnx")
    half = convert_precision(model, "fp16", keep=overflowing_nodes(model, {"x": 1e6}))
    (stem,) = [node for node in half.graph.node if node.name == "stem"]
    assert stem.input[0] == "x"


def test_layers_can_be_excluded_and_the_boundary_converted(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(small_classifier())
    options = ConvertOptions(exclude=("fc",), half_boundary=True)
    result = convert_file(tmp_path / "m.onnx", tmp_path / "half.onnx", options)
    assert result.written and result.kept == {"fc": "it was excluded"}
    runner = open_runner(tmp_path / "half.onnx")
    assert runner.inputs[0].dtype == runner.outputs[0].dtype == np.float16
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(tmp_path / "half.onnx").graph.initializer}
    assert kinds["w3"] == TensorProto.FLOAT and kinds["w1"] == TensorProto.FLOAT16


def test_a_file_that_disagrees_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.onnx").write_bytes(small_classifier())

    def broken(model: onnx.ModelProto, precision: str, **options: object) -> onnx.ModelProto:
        converted = convert_precision(model, "fp16", **options)  # type: ignore[arg-type]
        (weight,) = [tensor for tensor in converted.graph.initializer if tensor.name == "w3"]
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float16(1.5), "w3"))
        return converted

    monkeypatch.setattr(convert, "convert_precision", broken)
    result = convert_file(tmp_path / "m.onnx", tmp_path / "half.onnx", ConvertOptions())
    assert not result.written and sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx"]


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (quantized_convolution(), {}, "is in int8 already"),
        (small_classifier(dtype=np.float16), {}, "is in fp16 already"),
        (small_classifier(), {"exclude": ("fc", "nose")}, "has no layer 'nose' to exclude. Its layers are stem, relu"),
        (small_classifier(), {"precision": "int4"}, "makes fp16 files; found --precision int4"),
        (small_classifier(), {"images": Path("absent")}, "--images needs a model card"),
    ],
)
def test_what_cannot_be_converted_is_refused(
    tmp_path: Path, model: bytes, options: dict[str, object], words: str
) -> None:
    (tmp_path / "m.onnx").write_bytes(model)
    with pytest.raises(UsageError, match=words):
        convert_file(tmp_path / "m.onnx", tmp_path / "half.onnx", replace(ConvertOptions(), **options))  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_hostile_file_exceeds_the_limits_of_its_process(tmp_path: Path) -> None:
    from tests.support.graph_bombs import concat_bomb

    (tmp_path / "m.onnx").write_bytes(concat_bomb())
    with pytest.raises(GraphError, match="was not converted"):
        convert_file(tmp_path / "m.onnx", tmp_path / "half.onnx", ConvertOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    source, report = overflowing(tmp_path / "m.onnx"), tmp_path / "r.json"
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["resnetx", "convert", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0)

    assert run(source, "-o", tmp_path / "half.onnx", "--json", report) == 0
    shown = capsys.readouterr().out
    assert "2 layers stay in float32" in shown and "enlarge: its output large" in shown and "PASSED" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    data = json.loads(report.read_text())
    assert data["schema"] == "resnetx.convert/1" and data["written"]
    assert list(data["kept_in_float32"]) == ["enlarge", "shrink"]
    before = source.read_bytes()
    assert run(source, "-o", source) == 2 and source.read_bytes() == before
    assert run(source, "-o", tmp_path / "other.onnx", "--exclude", "absent") == 2
    assert "no layer 'absent'" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "other.onnx").exists()
