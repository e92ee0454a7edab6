"""`resnetx inspect`: exact figures for the family, honest ones for foreign files, and safe words for hostile ones."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.helper import make_node, make_tensor_value_info
from rich.console import Console

from resnetx.cli.main import main
from resnetx.errors import GraphError, UsageError
from resnetx.graph.card import CARD_KEY, PARITY_KEY, ModelCard, Weights, embed_card
from resnetx.graph.export import Signature, export_module
from resnetx.graph.inspection.inspect import Inspection, inspect_model
from resnetx.model.config import resnet_config
from resnetx.model.labels import imagenet_labels
from resnetx.report.inspection import inspection_json, render_inspection, render_layers, shown
from tests.conftest import random_network

FLOAT = TensorProto.FLOAT
# name: depth, variant, multiply-accumulates, parameters with BatchNorm as torch has them.
FAMILY = {
    "18": (18, "v1.5", 1_814_073_344, 11_689_512),
    "50": (50, "v1.5", 4_089_184_256, 25_557_032),
    "50-v1": (50, "v1", 3_857_973_248, 25_557_032),
    "34": (34, "v1.5", 3_663_761_408, 21_797_672),
    "101": (101, "v1.5", 7_801_405_440, 44_549_160),
    "152": (152, "v1.5", 11_513_626_624, 60_192_808),
}
FAST = ("18", "50", "50-v1")


def exported(name: str) -> ModelProto:
    depth, variant, _, _ = FAMILY[name]
    config = resnet_config(depth, variant=variant)  # type: ignore[arg-type]
    model = export_module(
        random_network(config),
        [torch.zeros(2, 3, 224, 224)],
        signature=Signature(inputs=("input",), outputs=("logits",), free=({0: "batch"},)),
        opset=20,
        exporter="dynamo" if name in ("18", "50") else "torchscript",  # ten times faster, and the figures are the same
    )
    weights = Weights(sha256="0" * 64, seed=0)
    labels = imagenet_labels()
    embed_card(model, ModelCard(architecture=config.name, weights=weights, config=config, classes=1000, labels=labels))
    return model


@pytest.fixture(scope="module")
def family() -> Callable[[str], ModelProto]:
    models: dict[str, ModelProto] = {}
    return lambda name: models.setdefault(name, models.get(name) or exported(name))


def weight(name: str, *dims: int, dtype: type = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.ones(dims, dtype), name)


def scale(name: str) -> list[TensorProto]:
    return [numpy_helper.from_array(np.float32(0.1), f"{name}_s"), numpy_helper.from_array(np.uint8(0), f"{name}_z")]


def graph(
    nodes: list[NodeProto],
    weights: list[TensorProto],
    *,
    shape: tuple[int | str | None, ...] = ("n", 3, 8, 8),
    opset: int = 17,
    ir_version: int = 8,
    contrib: bool = False,
) -> ModelProto:
    """From `x` to `y`; before IR version 4, weights are inputs too."""
    inputs = [make_tensor_value_info("x", FLOAT, shape)]
    if ir_version < 4:
        inputs = [make_tensor_value_info(w.name, w.data_type, w.dims) for w in weights] + inputs
    built = helper.make_graph(nodes, "g", inputs, [make_tensor_value_info("y", FLOAT, None)], weights)
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid("com.microsoft", 1)] if contrib else [])]
    return helper.make_model(built, opset_imports=opsets, ir_version=ir_version)


def conv(*, name: str = "conv", data: str = "x", weights: str = "w", output: str = "y", **attributes: object):
    return make_node("Conv", [data, weights], [output], name=name, **attributes)


CONV_MACS = 4 * 6 * 6 * 3 * 3 * 3


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(n, marks=pytest.mark.slow) for n in FAMILY if n not in FAST)])
def test_the_family_has_its_exact_figures(name: str, family: Callable[[str], ModelProto]) -> None:
    _, _, macs, parameters = FAMILY[name]
    inspection = inspect_model(family(name))
    assert inspection.macs == macs == sum(layer.macs or 0 for layer in inspection.layers)
    # Where BatchNorm was folded, a convolution has one bias in the place of a scale and a shift.
    filters = sum(layer.output_shape[1] for layer in inspection.layers if layer.op == "Conv" and layer.output_shape)
    assert inspection.parameters == parameters - filters
    assert inspection.parameter_bytes == {"fp32": 4 * inspection.parameters}
    assert inspection.quantized_share == 0 and inspection.notes == () and inspection.batch == 1


def test_layers_come_in_order_with_both_names(family: Callable[[str], ModelProto]) -> None:
    layers = inspect_model(family("50")).layers
    assert len(layers) == 54
    names = [(layer.name, layer.original_name) for layer in layers]
    assert names[0] == ("conv1", "conv1") and names[-1] == ("fc", "fc1000")
    assert names[1] == ("layer1.0.conv1", "res2a_branch2a")
    assert ("layer3.5.conv2", "res4f_branch2b") in names
    assert ("layer2.0.downsample.0", "res3a_branch1") in names
    first = layers[0]
    assert (first.output_shape, first.macs, first.parameters) == ((1, 64, 112, 112), 118_013_952, 9_472)


def test_the_boundary_keeps_its_names_and_the_card_its_fields(family: Callable[[str], ModelProto]) -> None:
    inspection = inspect_model(family("18"), file_bytes=46_800_000)
    assert [(v.name, v.type, v.shape) for v in inspection.inputs] == [("input", "float32", ("batch", 3, 224, 224))]
    assert [(v.name, v.type, v.shape) for v in inspection.outputs] == [("logits", "float32", ("batch", 1000))]
    assert inspection.opsets == {"ai.onnx": 20} and inspection.producer.startswith("pytorch")
    assert inspection.nodes["Conv"] == 20 and inspection.nodes["Gemm"] == 1
    assert inspection.card is not None and inspection.card["config"]["stages"] == [2, 2, 2, 2]


def test_json_keeps_everything(family: Callable[[str], ModelProto]) -> None:
    inspection = inspect_model(family("18"), file_bytes=1)
    data = json.loads(inspection_json(inspection))
    assert data["schema"] == "resnetx.inspect/1"
    assert Inspection.from_json(data) == inspection
    with pytest.raises(GraphError, match="inspect/2"):
        Inspection.from_json(data | {"schema": "resnetx.inspect/2"})


def test_another_size_costs_other_macs(family: Callable[[str], ModelProto]) -> None:
    def macs(shape: tuple[int, ...]) -> int | None:
        return inspect_model(
            graph([conv()], [weight("w", 4, 3, 3, 3)], shape=("n", 3, "h", None)), input_shape=shape
        ).macs

    assert inspect_model(graph([conv()], [weight("w", 4, 3, 3, 3)], shape=("n", 3, "h", None))).macs is None
    assert macs((1, 3, 8, 8)) == CONV_MACS
    assert macs((5, 3, 8, 8)) == CONV_MACS, "for one image, whatever the batch"
    assert macs((1, 3, 3, 4)) == 4 * 1 * 2 * 27
    for wrong in ((1, 4, 8, 8), (1, 3, 8), (0, 3, 8, 8), ()):
        with pytest.raises(UsageError):
            macs(wrong)
    with pytest.raises(UsageError, match="batchx3x224x224"):
        inspect_model(family("18"), input_shape=(1, 3, 64, 64))


@pytest.mark.parametrize("first", ["n", None, 0, -1, 6])
def test_macs_are_for_one_image_however_the_batch_is_written(first: int | str | None) -> None:
    inspection = inspect_model(graph([conv()], [weight("w", 4, 3, 3, 3)], shape=(first, 3, 8, 8)))
    assert inspection.macs == CONV_MACS and inspection.batch == (6 if first == 6 else 1)


@pytest.mark.parametrize("opset", [7, 9, 12])
def test_an_old_file_with_weights_among_the_inputs(opset: int) -> None:
    nodes = [
        conv(output="c"),
        make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], name="bn"),
        make_node("Relu", ["n"], ["r"]),
        make_node("GlobalAveragePool", ["r"], ["p"]),
        make_node("Shape", ["p"], ["shape"]),
        make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array(0))),
        make_node("Gather", ["shape", "zero"], ["first"]),
        make_node("Unsqueeze", ["first"], ["firsts"], axes=[0]),
        make_node("Constant", [], ["rest"], value=numpy_helper.from_array(np.array([-1]))),
        make_node("Concat", ["firsts", "rest"], ["to"], axis=0),
        make_node("Reshape", ["p", "to"], ["flat"]),
        make_node("Gemm", ["flat", "fc", "fb"], ["y"], name="fc", transB=1),
    ]
    weights = [weight("w", 4, 3, 3, 3), *(weight(name, 4) for name in "sbmv"), weight("fc", 10, 4), weight("fb", 10)]
    inspection = inspect_model(graph(nodes, weights, opset=opset, ir_version=3))
    assert [value.name for value in inspection.inputs] == ["x"]
    assert inspection.macs == CONV_MACS + 40
    # The statistics of BatchNorm are no parameters; scale and shift are.
    assert inspection.parameters == 108 + 8 + 50
    assert [(layer.name, layer.macs, layer.parameters) for layer in inspection.layers] == [
        ("conv", CONV_MACS, 108),
        ("bn", 0, 8),
        ("fc", 40, 50),
    ]


def computed(kind: str) -> tuple[list[NodeProto], list[TensorProto]]:
    """A weight of shape (4, 3, 3, 3) named `w`, that a node gives."""
    to = numpy_helper.from_array(np.array([4, 3, 3, 3]), "to")
    match kind:
        case "Constant":
            return [make_node("Constant", [], ["w"], value=weight("", 4, 3, 3, 3))], []
        case "Identity":
            return [make_node("Identity", ["v"], ["u"]), make_node("Identity", ["u"], ["w"])], [weight("v", 4, 3, 3, 3)]
        case "Transpose":
            return [make_node("Transpose", ["v"], ["w"], perm=[3, 2, 0, 1])], [weight("v", 3, 3, 3, 4)]
        case "Reshape":
            return [make_node("Reshape", ["v", "to"], ["w"])], [weight("v", 108), to]
        case _:
            zero = numpy_helper.from_array(np.int8(0), "v_z")
            return [make_node("DequantizeLinear", ["v", "v_s", "v_z"], ["w"])], [
                weight("v", 4, 3, 3, 3, dtype=np.int8),
                scale("v")[0],
                zero,
            ]


@pytest.mark.parametrize("kind", ["Constant", "Identity", "Transpose", "Reshape", "DequantizeLinear"])
@pytest.mark.parametrize("ir_version", [3, 8])
def test_a_weight_that_a_node_computes(kind: str, ir_version: int) -> None:
    nodes, weights = computed(kind)
    inspection = inspect_model(graph([*nodes, conv()], weights, opset=13, ir_version=ir_version))
    assert inspection.macs == CONV_MACS and inspection.parameters == 108
    (layer,) = inspection.layers
    assert (layer.name, layer.parameters, layer.output_shape) == ("conv", 108, (1, 4, 6, 6))
    precision = "int8" if kind == "DequantizeLinear" else "fp32"
    assert inspection.parameter_bytes == {precision: 108 if precision == "int8" else 432}
    assert inspection.quantized_share == 0, "the image is still in floats"


def test_a_weight_that_two_layers_share_is_counted_once() -> None:
    nodes = [conv(output="a", pads=[1] * 4), conv(name="again", data="a", pads=[1] * 4)]
    inspection = inspect_model(graph(nodes, [weight("w", 3, 3, 3, 3)]))
    assert inspection.parameters == 81 and [layer.parameters for layer in inspection.layers] == [81, 81]
    assert inspection.macs == 2 * 3 * 8 * 8 * 27


def qdq(name: str, data: str) -> list[NodeProto]:
    return [
        make_node("QuantizeLinear", [data, f"{name}_s", f"{name}_z"], [f"{name}_q"]),
        make_node("DequantizeLinear", [f"{name}_q", f"{name}_s", f"{name}_z"], [name]),
    ]


def test_the_quantized_share_is_that_of_the_macs() -> None:
    """One convolution between Q/DQ, and one of half its cost in floats."""
    nodes = [
        *qdq("xd", "x"),
        *qdq("wd", "w"),
        conv(name="a", data="xd", weights="wd", output="c"),
        *qdq("cd", "c"),
        conv(name="b", data="cd", weights="v"),
    ]
    weights = [weight("w", 6, 3, 1, 1), weight("v", 1, 6, 1, 1), *scale("xd"), *scale("wd"), *scale("cd")]
    inspection = inspect_model(graph(nodes, weights))
    assert [(layer.name, layer.macs, layer.quantized) for layer in inspection.layers] == [
        ("a", 18 * 64, True),
        ("b", 6 * 64, False),
    ]
    assert inspection.quantized_share == pytest.approx(0.75)
    text = shown_in_80_columns(inspection)
    assert "75.0% of them in integers" in text and "1,152*" in text and "384*" not in text
    assert inspection.parameters == 24, "scales and zero points are none"


def test_the_runtimes_own_operators_are_followed() -> None:
    """A channels-last quantized stretch, a fused convolution and a quantized classifier."""
    contrib = {"domain": "com.microsoft"}
    signed = weight("q_w", 4, 3, 3, 3, dtype=np.int8)
    nodes = [
        make_node("FusedConv", ["x", "w"], ["a"], name="fused", activation="Relu", pads=[1] * 4, **contrib),
        make_node("QuantizeLinear", ["a", "s", "z"], ["b"]),
        make_node("Transpose", ["b"], ["c"], perm=[0, 2, 3, 1]),
        make_node(
            "QLinearConv",
            ["c", "s", "z", "q_w", "s", "zw", "s", "z"],
            ["d"],
            name="last",
            channels_last=1,
            strides=[2, 2],
            **contrib,
        ),
        make_node("QLinearAdd", ["d", "s", "z", "d", "s", "z", "s", "z"], ["e"], **contrib),
        make_node("QLinearGlobalAveragePool", ["e", "s", "z", "s", "z"], ["f"], channels_last=1, **contrib),
        make_node("Flatten", ["f"], ["h"]),
        make_node("QGemm", ["h", "s", "z", "q_fc", "s", "zw"], ["y"], name="fc", transB=1, **contrib),
    ]
    zeros = [numpy_helper.from_array(np.uint8(0), "z"), numpy_helper.from_array(np.int8(0), "zw")]
    weights = [weight("w", 3, 3, 3, 3), signed, weight("q_fc", 10, 4, dtype=np.int8), *zeros]
    weights.append(numpy_helper.from_array(np.float32(1), "s"))
    inspection = inspect_model(graph(nodes, weights, contrib=True))
    assert [(layer.name, layer.op, layer.output_shape, layer.macs) for layer in inspection.layers] == [
        ("fused", "com.microsoft.FusedConv", (1, 3, 8, 8), 81 * 64),
        ("last", "com.microsoft.QLinearConv", (1, 3, 3, 4), 9 * 108),
        ("fc", "com.microsoft.QGemm", (1, 10), 40),
    ]
    assert inspection.quantized_share == pytest.approx((9 * 108 + 40) / (81 * 64 + 9 * 108 + 40))
    assert inspection.parameter_bytes == {"fp32": 324, "int8": 148} and inspection.parameters == 81 + 148


def test_what_runs_an_unknown_number_of_times_is_unknown() -> None:
    body = helper.make_graph([conv(output="z")], "body", [], [make_tensor_value_info("z", FLOAT, None)])
    nodes = [make_node("If", ["b"], ["y"], then_branch=body, else_branch=body)]
    model = graph(nodes, [weight("w", 4, 3, 3, 3), numpy_helper.from_array(np.array(True), "b")])
    inspection = inspect_model(model)
    assert inspection.macs is None and inspection.quantized_share is None
    assert inspection.nodes == {"Conv": 2, "If": 1} and inspection.parameters == 108


def test_settings_are_no_parameters() -> None:
    nodes = [
        make_node("Clip", ["x", "low", "high"], ["a"]),
        make_node("Mul", ["a", "half"], ["b"]),
        make_node("Reshape", ["b", "to"], ["c"]),
        make_node("Mul", ["c", "row"], ["y"], name="gain"),
    ]
    numbers = [numpy_helper.from_array(np.float32(1), name) for name in ("low", "high", "half")]
    weights = [*numbers, numpy_helper.from_array(np.array([0, -1]), "to"), weight("row", 192), weight("unused", 5)]
    inspection = inspect_model(graph(nodes, weights))
    assert inspection.parameters == 192 and [layer.name for layer in inspection.layers] == ["gain"]
    assert inspection.macs == 0 and inspection.quantized_share is None


def test_a_bomb_for_shape_inference_is_disarmed() -> None:
    chain = [make_node("Concat", [f"s{i}"] * 2, [f"s{i + 1}"], axis=0) for i in range(50)]
    nodes = [conv(output="c"), make_node("Shape", ["c"], ["s0"]), *chain, make_node("Reshape", ["c", "s50"], ["y"])]
    assert inspect_model(graph(nodes, [weight("w", 4, 3, 3, 3)])).macs == CONV_MACS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"schema": "resnetx.card/1", "x": ' + "[" * 400 + "]" * 400 + "}", "more than 16 deep"),
        ("[1]", "not a JSON object"),
        ('{"schema": "resnetx.card/9"}', "resnetx.card/9"),
        ('{"schema": "resnetx.card/1", "x": NaN}', "NaN"),
        ('{"schema": "resnetx.card/1", "x": 1e999}', "1e999"),
        ('{"schema": "resnetx.card/1", "x": ' + "9" * 5000 + "}", "cannot be read"),
    ],
)
def test_a_card_that_cannot_be_read_is_said_and_survived(text: str, words: str) -> None:
    model = graph([conv()], [weight("w", 4, 3, 3, 3)])
    model.metadata_props.add(key=CARD_KEY, value=text)
    inspection = inspect_model(model)
    assert inspection.card is None and inspection.macs == CONV_MACS
    (note,) = inspection.notes
    assert words in note and "resnetx.card" in note
    assert shown_in_80_columns(inspection)


STRANGE = {
    "schema": "resnetx.card/1",
    "architecture": "[red]\x1b[31mevil\u202e" + "x" * 500,
    "classes": [[]],
    "labels": ["\ud800", {"a": 1}],
    "weights": ["nothing"],
    "config": {"stages": [10**30], "block": {}, "\ud800": None},
    "preprocessing": {"mean": "no", "std": 3, "order": [1, None, {}]},
    "tools": {"\x07bell": {"deep": [1]}},
    "output": False,
}


def shown_in_80_columns(inspection: Inspection) -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None, highlight=False)
    console.print(render_inspection(inspection, file="m\x1b[0m.onnx"))
    console.print(render_layers(inspection, width=80))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(len(line) <= 80 for line in text.splitlines())
    assert text.replace("\n", "").isprintable(), "no control characters"
    text.encode()
    return text


def test_hostile_names_and_cards_reach_neither_terminal_nor_markup() -> None:
    evil = "layer1.0.\x1b[2J\u202e[bold]\r\n" + "名" * 300
    model = graph([conv(name=evil)], [weight("w", 4, 3, 3, 3)])
    model.producer_name = "[link=http://x]\x9b31m"
    model.metadata_props.add(key=CARD_KEY, value=json.dumps(STRANGE))
    model.metadata_props.add(key=PARITY_KEY, value=json.dumps({"passed": "yes"}))
    inspection = inspect_model(model)
    text = shown_in_80_columns(inspection)
    assert "[bold]" in text or "layer1.0.?[2J" in text
    assert "[link=http://x]?31m" in text and "did not agree" in text
    assert inspection_json(inspection).isascii()


@pytest.mark.parametrize("name", ["layer9.0.conv1", "layer1.9.conv1", "layer1.%s.conv1" % ("9" * 5000), "layer1.0.add"])
def test_a_layer_that_the_network_has_not_gets_no_original_name(name: str) -> None:
    model = graph([conv(name=name)], [weight("w", 4, 3, 3, 3)])
    card = {"schema": "resnetx.card/1", "config": asdict(resnet_config(50))}
    model.metadata_props.add(key=CARD_KEY, value=json.dumps(card))
    assert inspect_model(model).layers[0].original_name is None


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("short", 10, "short"),
        ("0123456789", 10, "0123456789"),
        ("0123456789abc", 8, "0123…abc"),
        ("a\x00b\u202ec", 10, "a?b?c"),
        ("名名名名名名", 7, "名…名"),
        ("e" + "\u0301" * 1000, 7, "e\u0301\u0301…\u0301\u0301\u0301"),
    ],
)
def test_names_are_shortened_in_the_middle(text: str, limit: int, expected: str) -> None:
    assert shown(text, limit) == expected


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["resnetx", "inspect", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_shows_a_summary_and_layers_in_80_columns(
    family: Callable[[str], ModelProto],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "resnet50.onnx"
    onnx.save(family("50"), path)
    assert run(monkeypatch, path, "--layers") == 0
    text = capsys.readouterr().out
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    assert "4,089,184,256 per image (4.09 G)" in text and "25,530,472 (fp32 102.1 MB)" in text
    assert "input  float32 [batch, 3, 224, 224]" in text and "NOT TRAINED" in text
    row = next(line for line in text.splitlines() if line.startswith("layer4.0.downsample.0 "))
    assert row.split() == ["layer4.0.downsample.0", "res5a_branch1", "1x2048x7x7", "102,760,448", "2,099,200"]


def test_the_command_prints_json_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.onnx"
    model = graph([conv()], [weight("w", 4, 3, 3, 3)], shape=("n", 3, "h", "w_"))
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert run(monkeypatch, path, "--json", "-", "--input-shape", "1x3x8x8") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["macs"] == CONV_MACS
    assert data["file_bytes"] == sum(item.stat().st_size for item in tmp_path.iterdir())


def test_the_command_says_how_to_get_unknown_macs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(graph([conv()], [weight("w", 4, 3, 3, 3)], shape=("n", 3, "h", "w_")), path)
    assert run(monkeypatch, path, "--layers") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "1 of 1 layers" in text and "--input-shape 1x3x224x224" in text and "1x4x?x?" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.onnx"], "no file absent.onnx"),
        (["m.onnx", "--input-shape", "1,3,8,8"], "joined by x"),
        (["m.onnx", "--input-shape", "1x3x9x9"], "does not fit the first input"),
    ],
)
def test_the_command_explains_what_it_cannot_do(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(graph([conv()], [weight("w", 4, 3, 3, 3)]), "m.onnx")
    assert run(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert words in " ".join(captured.err.split()) and not captured.out


def test_inspecting_loads_neither_torch_nor_the_runtime(tmp_path: Path) -> None:
    onnx.save(graph([conv()], [weight("w", 4, 3, 3, 3)]), tmp_path / "m.onnx")
    probe = (
        f"import sys; sys.argv = ['resnetx', 'inspect', {str(tmp_path / 'm.onnx')!r}]\n"
        "from resnetx.cli.main import main\n"
        "try: main()\n"
        "finally: print([name for name in ('torch', 'onnxruntime', 'onnxsim') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == "[]", result.stderr
    assert f"{CONV_MACS:,}" in result.stdout
