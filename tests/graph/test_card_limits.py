"""A card of unknown origin: typed, bounded, consistent, and never dearer than the file that carries it."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetx.cli.main import main
from resnetx.conversion.subject import resnet_subject
from resnetx.errors import GraphError, UsageError
from resnetx.graph.card import CARD_KEY, ModelCard, embed_card, read_card
from resnetx.model.config import resnet_config
from resnetx.model.network import build_network
from resnetx.model.size import weight_count
from tests.support.onnx_models import small_classifier

CONFIG = resnet_config(stages=(1, 1), width=4, classes=6, block="basic")


def honest() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(resnet_subject(CONFIG, image_size=32, labels=None).card.to_json())
    return data


def changed(path: tuple[str, ...], value: object) -> str:
    data = honest()
    inner = data
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return json.dumps(data)


def test_an_honest_card_is_read_back() -> None:
    card = resnet_subject(CONFIG, image_size=32).card
    assert ModelCard.from_json(card.to_json()) == card


HOSTILE: list[tuple[tuple[str, ...], object]] = [
    (("architecture",), "x" * 10_000_000),
    (("architecture",), None),
    (("architecture",), 5),
    (("weights",), None),
    (("weights", "sha256"), "short"),
    (("weights", "sha256"), "G" * 64),
    (("weights", "seed"), -1),
    (("weights", "seed"), 10**30),
    (("weights", "seed"), 0.5),
    (("weights", "source"), "s" * 5000),
    (("weights", "assumed"), "text"),
    (("config",), [1]),
    (("config", "width"), 4.0),
    (("config", "width"), 4.5),
    (("config", "width"), "4"),
    (("config", "width"), True),
    (("config", "width"), 10**30),
    (("config", "width"), -4),
    (("config", "stages"), []),
    (("config", "stages"), [1.5]),
    (("config", "stages"), [10**9]),
    (("config", "classes"), 7),
    (("config", "bn_eps"), 0),
    (("config", "bn_eps"), None),
    (("config", "last_identity_multiple"), 10**9),
    (("config", "last_identity_multiple"), -1),
    (("config", "avg_pool"), -1),
    (("config", "avg_pool"), 10**9),
    (("image_size",), -5),
    (("image_size",), 0),
    (("image_size",), 10**6),
    (("image_size",), 32.0),
    (("image_size",), None),
    (("classes",), 7),
    (("classes",), 0),
    (("classes",), None),
    (("labels",), ["a"]),
    (("labels",), [1] * 6),
    (("labels",), ["x" * 2000] * 6),
    (("labels",), {"0": "a"}),
    (("preprocessing",), None),
    (("preprocessing", "std"), [0, 0, 0]),
    (("preprocessing", "std"), [1, 1]),
    (("preprocessing", "std"), [1e-300, 1, 1]),
    (("preprocessing", "std"), [-1, 1, 1]),
    (("preprocessing", "mean"), [1e300, 0, 0]),
    (("preprocessing", "scale"), 0),
    (("preprocessing", "scale"), None),
    (("preprocessing", "order"), "GBR"),
    (("input",), "jpeg"),
    (("output",), "top7"),
    (("output",), "top" + "9" * 4000),
    (("output",), ""),
    (("precision",), "fp8"),
    (("opset",), -1),
    (("simplified",), "yes"),
    (("tools",), {"torch": 2}),
    (("tools",), None),
    (("schema",), "resnetx.card/2"),
]


@pytest.mark.parametrize(("path", "value"), HOSTILE, ids=lambda value: str(value)[:40])
def test_a_value_of_the_wrong_kind_or_size_is_one_sentence(path: tuple[str, ...], value: object) -> None:
    with pytest.raises(GraphError, match="model card") as refusal:
        ModelCard.from_json(changed(path, value))
    assert len(str(refusal.value)) < 500 and str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[1]",
        "{",
        "[" * 100_000,
        '{"a":' * 5000 + "1" + "}" * 5000,
        json.dumps(honest()).replace('"opset":', '"opset": NaN, "x":'),
        json.dumps(honest()).replace("0.485", "1e999"),
        json.dumps(honest()).replace("0.485", "NaN"),
        json.dumps(honest()).replace("0.485", "-Infinity"),
        json.dumps(honest()).replace('"opset": 0', '"opset": ' + "9" * 5000),
        '"\\ud800"',
        "{" + " " * (33 * 2**20) + "}",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_not_such_json_is_one_sentence(text: str) -> None:
    with pytest.raises(GraphError, match="model card") as refusal:
        ModelCard.from_json(text)
    assert len(str(refusal.value)) < 500


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PATHS = [(name,) for name in honest()] + [
    (name, inner) for name in ("config", "weights", "preprocessing") for inner in honest()[name]
]


@given(path=st.sampled_from(PATHS), value=json_values)
@settings(max_examples=200, deadline=None)
def test_any_value_anywhere_gives_a_card_or_one_error(path: tuple[str, ...], value: object) -> None:
    try:
        card = ModelCard.from_json(changed(path, value))
    except GraphError:
        return
    assert ModelCard.from_json(card.to_json()) == card


def model_with(text: str) -> onnx.ModelProto:
    model = onnx.ModelProto.FromString(small_classifier())
    model.metadata_props.add(key=CARD_KEY, value=text)
    return model


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("config", "width"), 1024, "weights, but the file holds"),
        (("config", "stages"), [1] * 8, "weights, but the file holds"),
        (("config", "stages"), [200] * 8, "weights, but the file holds"),
    ],
)
def test_a_network_that_the_file_cannot_hold_is_refused(path: tuple[str, ...], value: object, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        read_card(model_with(changed(path, value)))


def test_images_of_another_size_than_the_input_are_refused() -> None:
    data = honest()
    data["config"] |= {"stages": [1], "width": 2}
    data["image_size"] = 8192
    with pytest.raises(GraphError, match="8192 pixels a side, but the file takes 16"):
        read_card(model_with(json.dumps(data)))
    data["image_size"] = 16
    assert read_card(model_with(json.dumps(data))) is not None


def test_more_blocks_than_nodes_are_refused() -> None:
    data = honest()
    data["config"] |= {"stages": [200], "width": 1, "block": "bottleneck"}
    model = onnx.ModelProto.FromString(small_classifier())
    model.graph.initializer.append(onnx.helper.make_tensor("more", 1, [20_000], b"\0" * 80_000, raw=True))
    model.metadata_props.add(key=CARD_KEY, value=json.dumps(data))
    with pytest.raises(GraphError, match="602 layers, but the file has 6 nodes"):
        read_card(model)


@pytest.mark.parametrize("command", ["verify", "bench", "inspect", "simplify"])
@pytest.mark.parametrize(("path", "value"), [HOSTILE[0], HOSTILE[12], HOSTILE[17], (("image_size",), -5)])
def test_no_command_falls_over_a_card(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    path: tuple[str, ...],
    value: object,
) -> None:
    (tmp_path / "m.onnx").write_bytes(model_with(changed(path, value)).SerializeToString())
    out = ["-o", str(tmp_path / "out.onnx")] if command == "simplify" else []
    monkeypatch.setattr(sys, "argv", ["resnetx", command, str(tmp_path / "m.onnx"), *out])
    with pytest.raises(SystemExit) as end:
        main()
    shown = capsys.readouterr()
    assert end.value.code in ((0, 1) if command in ("inspect", "simplify") else (2,)), shown.err
    assert "Traceback" not in shown.err and len(shown.err) < 4000


@pytest.mark.parametrize("variant", ["v1.5", "v1", "textbook"])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("stages", [(1,), (1, 2), (2, 1, 3)])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_the_weights_are_counted_without_building_the_network(
    variant: Any, plain: bool, stages: tuple[int, ...], block: Any
) -> None:
    try:
        config = resnet_config(stages=stages, width=2, classes=3, variant=variant, plain=plain, block=block)
        network = build_network(config, image_size=64)
    except UsageError:
        assert variant == "textbook"
        return
    convolutions = sum(value.numel() for value in network.parameters() if value.dim() == 4)
    channels = config.width * 2 ** (len(stages) - 1) * config.expansion
    assert weight_count(config) == convolutions + channels * config.classes


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_the_standard_networks_hold_what_is_counted(depth: int) -> None:
    parameters = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}[depth]
    assert 0.99 * parameters < weight_count(resnet_config(depth)) < parameters


def test_a_name_that_is_no_text_does_not_prevent_an_export() -> None:
    card = resnet_subject(CONFIG, image_size=32).card
    strange = replace(card, weights=replace(card.weights, source="w\udcff.pt"))
    model = onnx.ModelProto.FromString(small_classifier())
    embed_card(model, strange)
    assert "w?.pt" in model.metadata_props[0].value
