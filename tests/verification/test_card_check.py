"""What a card claims is held against what the file shows; every claim that can be wrong is made wrong once."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

import resnetx
from resnetx.errors import GraphError
from resnetx.graph.card import ModelCard, read_card
from resnetx.model.config import ResNetConfig, resnet_config
from resnetx.model.labels import imagenet_labels
from resnetx.model.network import build_network
from resnetx.model.preprocessing import CAFFE, IMAGENET, UNIT, Preprocessing
from resnetx.verification.card_check import CardCheck, Origin, check_card
from resnetx.verification.card_network import convolution_shapes
from tests.conftest import TINY_SIZE, tiny_config
from tests.verification.faults import FAULTS, Fault
from tests.verification.faults.base import healthy_model
from tests.verification.faults.graph_edits import after, ahead, changed, operator
from tests.verification.faults.healthy import BASES, Base

FORMS: dict[str, dict[str, Any]] = {
    "floats": {},
    "pixels": {"preprocess": "uint8"},
    "probabilities": {"output": "probabilities"},
    "top3": {"output": "top3", "preprocess": "uint8"},
    "fixed": {"batch": 2},
    "fp16": {"precision": "fp16", "preprocess": "uint8", "output": "probabilities"},
    "opset 13": {"opset": 13},
    "not simplified": {"simplify": False, "preprocess": "uint8", "exporter": "torchscript", "opset": 18},
}
CONFIGS = (
    tiny_config(),
    tiny_config(block="basic"),
    tiny_config(variant="v1", stages=(1, 1, 2)),
    tiny_config(variant="textbook", stages=(1, 2), last_identity_multiple=8),
    tiny_config(variant="textbook", stages=(2,)),
    tiny_config(plain=True, block="basic"),
    tiny_config(width=1, block="basic"),
    resnet_config(50, width=4),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelProto]:
    folder = tmp_path_factory.mktemp("cards")
    models = {}
    for name, options in FORMS.items():
        quick = {"exporter": "torchscript", "opset": 18} if "opset" not in options else {}
        path = resnetx.export(
            tiny_config(), folder / f"{name}.onnx", image_size=TINY_SIZE, verify=False, **{**quick, **options}
        ).path
        models[name] = onnx.load(path)
    return models


def card_of(model: ModelProto) -> ModelCard:
    card = read_card(model)
    assert card is not None
    return card


def check(model: ModelProto, **changes: Any) -> CardCheck:
    return check_card(model, replace(card_of(model), **changes))


def sentence(model: ModelProto, **changes: Any) -> str:
    return " | ".join(check(model, **changes).problems)


@pytest.mark.parametrize("form", FORMS)
def test_an_honest_card_has_no_problem(files: dict[str, ModelProto], form: str) -> None:
    found = check(files[form])
    assert found.problems == () and found.passed
    assert not any("pixels" in note or "output form" in note for note in found.unshown)


@pytest.mark.parametrize("base", [name for name, recipe in BASES.items() if recipe.module is None])
def test_the_cards_of_the_healthy_files_have_no_problem(base: Base) -> None:
    assert check(healthy_model(base)).problems == ()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_the_shapes_of_a_network_are_those_that_torch_builds(config: ResNetConfig) -> None:
    network = build_network(config, image_size=64)
    built = [tuple(each.shape) for each in network.parameters() if each.dim() == 4]
    assert sorted(built) == sorted(convolution_shapes(config))


@pytest.mark.parametrize(
    ("form", "changes", "words"),
    [
        ("floats", {"labels": tuple("abc")}, "3 labels for 10 classes"),
        ("floats", {"classes": 9}, "says classes 9, but its network has 10"),
        ("floats", {"config": tiny_config(classes=9), "classes": 9}, "classes 9, but the last layer fc has 10"),
        ("floats", {"config": tiny_config(classes=9), "classes": 9}, "logits of length 9, but the file's is 10"),
        ("floats", {"architecture": "ResNet-50 v1.5"}, "architecture ResNet-50 v1.5, but its config is of"),
        ("floats", {"output": "probabilities"}, "the file has logits"),
        ("floats", {"output": "probabilities"}, "the output is probabilities, but the graph ends in logits"),
        ("floats", {"output": "top5"}, "named indices, scores, but the file has logits"),
        ("floats", {"output": "sigmoids"}, "output form is unknown"),
        ("floats", {"output": "top0"}, "output form is unknown"),
        ("probabilities", {"output": "logits"}, "the output is logits, but the graph ends in probabilities"),
        ("top3", {"output": "top4"}, "indices of length 4, but the file's is 3"),
        ("top3", {"output": "logits"}, "the file has indices, scores"),
        ("floats", {"input": "uint8"}, "8-bit pixels for the input, but its type is float"),
        ("pixels", {"input": "none"}, "normalized floats for the input, but its type is uint8"),
        ("floats", {"input": "jpeg"}, "the forms are none, uint8"),
        ("floats", {"image_size": 48}, "images with height 48, but the input has 32"),
        ("pixels", {"image_size": 48}, "images with width 48, but the input has 32"),
        ("floats", {"image_size": None}, "no image size"),
        ("floats", {"opset": 17}, "opset 17, but the file has 18"),
        ("floats", {"exporter": "tf2onnx"}, "exporter tf2onnx"),
        ("floats", {"precision": "fp16"}, "precision fp16, but the weights of"),
        ("fp16", {"precision": "fp32"}, "layers are fp16"),
        ("floats", {"precision": "fp8"}, "precision fp8, which resnetx does not know"),
        ("floats", {"preprocessing": None}, "no preprocessing"),
        ("floats", {"preprocessing": replace(IMAGENET, order="BGR")}, "says order BGR"),
        ("floats", {"preprocessing": replace(IMAGENET, scale=1.0)}, "says scale 1.0"),
        ("floats", {"preprocessing": CAFFE}, "of networks from a seed has"),
        ("floats", {"preprocessing": replace(IMAGENET, std=(0.0, 1.0, 1.0))}, "not positive"),
        ("pixels", {"preprocessing": replace(IMAGENET, order="BGR")}, "order BGR, but the file reads them as RGB"),
        ("pixels", {"preprocessing": replace(IMAGENET, mean=(0.486, 0.456, 0.406))}, "card's mean shifts pixels"),
        ("pixels", {"preprocessing": replace(IMAGENET, std=(0.229, 0.225, 0.225))}, "standard deviation multiply"),
        ("fp16", {"preprocessing": replace(IMAGENET, scale=1 / 256)}, "standard deviation multiply"),
        ("not simplified", {"preprocessing": UNIT}, "card's mean shifts pixels"),
        ("floats", {"config": tiny_config(stages=(1, 1))}, "convolutions, but the file has"),
        ("floats", {"config": tiny_config(width=16)}, "no convolution of the shape"),
    ],
)  # fmt: skip
def test_a_false_claim_is_named(files: dict[str, ModelProto], form: str, changes: dict[str, Any], words: str) -> None:
    assert words in sentence(files[form], **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sha256": "0" * 63}, "not a SHA-256"),
        ({"sha256": "Z" * 64}, "not a SHA-256"),
        ({"seed": -1}, "seeds are not negative"),
        ({"seed": None, "source": None}, "neither a source of the weights nor a seed"),
    ],
)
def test_the_origin_of_the_weights_has_a_form(
    files: dict[str, ModelProto], changes: dict[str, Any], words: str
) -> None:
    weights = replace(card_of(files["floats"]).weights, **changes)
    assert words in sentence(files["floats"], weights=weights)


def test_the_checkpoint_s_own_word_decides(files: dict[str, ModelProto]) -> None:
    """Preprocessing of floats is outside of the file: it is known only where the source is."""
    model, names = files["floats"], tuple("abcdefghij")
    card = card_of(model)
    loaded = replace(card, weights=replace(card.weights, source="w.pt", seed=None), labels=names)
    alone = check_card(model, replace(loaded, preprocessing=CAFFE))
    assert alone.problems == () and any("preprocessing of float inputs" in note for note in alone.unshown)
    assert any("labels" in note for note in alone.unshown)
    for origin, passed in ((Origin(preprocessing=CAFFE), True), (Origin(), False), (Origin(preprocessing=UNIT), False)):
        assert check_card(model, replace(loaded, preprocessing=CAFFE), origin=origin).passed == passed
    assert check_card(model, loaded, origin=Origin(labels=names)).problems == ()
    swapped = (names[1], names[0], *names[2:])
    problems = check_card(model, replace(loaded, labels=swapped), origin=Origin(labels=names)).problems
    assert problems == ("2 of 10 labels are not those of the checkpoint: class 0 is 'b' in the card, and 'a' there",)


def with_labels(labels: tuple[str, ...]) -> CardCheck:
    return check(healthy_model("1000 classes"), labels=labels)


def test_the_labels_of_imagenet_stand_in_its_order() -> None:
    names = imagenet_labels()
    assert with_labels(names).problems == ()
    swapped = list(names)
    swapped[281], swapped[282] = swapped[282], swapped[281]
    assert "2 of 1000 labels are not those of ImageNet: class 281" in with_labels(tuple(swapped)).problems[0]
    assert "1000 of 1000" in with_labels((*names[1:], names[0])).problems[0]
    assert any("3 labels for 1000 classes" in problem for problem in with_labels(names[:3]).problems)
    # A class may be renamed, and another data set may have a thousand classes too.
    assert with_labels(("my fish", *names[1:])).problems == ()
    other = with_labels(tuple(f"class {index}" for index in range(1000)))
    assert other.problems == () and any("labels" in note for note in other.unshown)


def spell_softmax_out(model: ModelProto) -> None:
    operator("softmax", "Exp")(model)
    after("softmax", "sum = ReduceSum(x, axes) y = Div(x, sum)", axes=np.array([1]))(model)


def spell_softmax_by_reciprocal(model: ModelProto) -> None:
    operator("softmax", "Exp")(model)
    after("softmax", "sum = ReduceSum(x, axes) i = Reciprocal(sum) y = Mul(i, x)", axes=np.array([1]))(model)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (spell_softmax_out, None),
        (spell_softmax_by_reciprocal, None),
        (after("softmax", "a = Log(x) y = Identity(a)"), "output form"),
        (operator("softmax", "LogSoftmax", axis=1), "logarithms of probabilities"),
        (operator("softmax", "Sigmoid"), "sigmoids"),
        (operator("softmax", "Identity"), "ends in logits"),
    ],
)
def test_a_softmax_is_known_in_every_spelling(edit: Callable[[ModelProto], None], words: str | None) -> None:
    found = check(changed(edit)(healthy_model("probabilities")))
    spelled = " | ".join((*found.problems, *found.unshown))
    assert ("output" not in spelled) if words is None else (words in spelled)


NORMALIZATIONS = [
    fault for fault in FAULTS
    if fault.base == "pixels" and fault.layer is None and "height and width" not in fault.name
]  # fmt: skip


@pytest.mark.parametrize("fault", NORMALIZATIONS, ids=lambda fault: fault.name)
def test_every_fault_of_a_normalization_contradicts_the_card(fault: Fault) -> None:
    """They are measured in the graph: no image is classified for it."""
    problems = check(fault.apply(healthy_model("pixels"))).problems
    assert problems and all("pixels" in problem for problem in problems)


def test_what_cannot_be_measured_is_said() -> None:
    unusual = changed(ahead("preprocess", "y = Where(always, x, x)", always=np.array(True)))(healthy_model("pixels"))
    found = check(unusual)
    assert found.problems == () and any("operator Where" in note for note in found.unshown)


def test_one_number_of_another_type_is_no_other_precision() -> None:
    """The precision is that of most layers' weights, not of whatever stands in the file."""
    model = healthy_model("floats")
    model.graph.initializer.append(numpy_helper.from_array(np.float16(1), "spare"))
    model.graph.initializer.append(numpy_helper.from_array(np.int8(1), "spare too"))
    assert check(model).problems == ()
    assert check(healthy_model("int8"), precision="int8").problems == ()
    assert any("quantized" in note for note in check(healthy_model("int8"), precision="fp32").unshown)
    card = card_of(healthy_model("fp16"))
    assert check_card(healthy_model("fp16"), replace(card, precision="fp32"), precision="fp16").problems == ()


def test_inputs_and_outputs_of_other_types_or_shapes() -> None:
    model = healthy_model("floats")
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("logits", onnx.TensorProto.INT64, ["batch", 20, 1]))
    words = sentence(model)
    assert "should be floats, but is int64" in words and "3 dimensions and not 2" in words
    model = healthy_model("floats")
    model.graph.input.append(helper.make_tensor_value_info("second", onnx.TensorProto.FLOAT, [1]))
    with pytest.raises(GraphError, match="but the file has other inputs"):
        read_card(model)
    model = healthy_model("batches of 4")
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 2
    assert "batches of 4, and logits has 2 rows" in sentence(model)
    del model.graph.output[:]
    assert "the file has none" in sentence(model)
    model = healthy_model("floats")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert any("shape of the input" in note for note in check(model).unshown)


def test_a_module_of_the_user_has_little_to_compare(tmp_path: Path) -> None:
    found = check(healthy_model("group norm"))
    assert found.problems == () and any("only its author has" in note for note in found.unshown)
    assert "opset" in sentence(healthy_model("group norm"), opset=3)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_numbers_that_are_none_break_nothing(files: dict[str, ModelProto], scale: float) -> None:
    for form in ("floats", "pixels"):
        odd = Preprocessing(scale=scale, mean=(float("nan"), 0.0, 0.0), std=(float("inf"), 1.0, 1.0))
        assert not check(files[form], preprocessing=odd).passed
