"""Compares what a model card claims with what its file shows, and says what a file cannot show."""

import re
from dataclasses import dataclass

import onnx
from onnx import TensorProto, ValueInfoProto

from resnetx.base.precisions import PRECISIONS
from resnetx.base.text import readable
from resnetx.base.vocabulary import EXPORTERS
from resnetx.errors import UsageError
from resnetx.graph.card import ModelCard
from resnetx.graph.stored_weights import (
    StoredWeights,
    default_opset,
    file_precision,
    is_convolution,
    stored_weights,
)
from resnetx.model.labels import imagenet_labels
from resnetx.model.preprocessing import IMAGENET, INPUT_FORMS, UNIT, Preprocessing, output_names, top_k
from resnetx.verification.card_network import network_problems
from resnetx.verification.card_pixels import pixel_problems
from resnetx.verification.graph_ends import UNKNOWN, output_form

DIGEST = re.compile(r"[0-9a-f]{64}")
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
IMAGENET_CLASSES = 1000


@dataclass(frozen=True, kw_only=True)
class CardCheck:
    """`problems` are claims that the file contradicts; `unshown` are claims that it can neither show nor contradict."""

    problems: tuple[str, ...]
    unshown: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.problems


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What the checkpoint that the weights came from says itself; None for what it leaves to the defaults."""

    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None


class Findings:
    """Collects the sentences."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.unshown: list[str] = []

    def expect(self, claim: str, claimed: object, place: str, found: object) -> None:
        """A problem unless both are equal; None is unknown."""
        if claimed is not None and found is not None and claimed != found:
            self.problems.append(f"the card says {claim} {readable(str(claimed))}, but {place} {readable(str(found))}")


def check_card(
    model: onnx.ModelProto, card: ModelCard, *, origin: Origin | None = None, precision: str | None = None
) -> CardCheck:
    """Compare card and file. `origin` is the checkpoint's own word where it is at hand; `precision` is the user's,
    instead of the card's."""
    findings = Findings()
    weights = stored_weights(model.graph)
    _origin_of_weights(card, findings)
    _tools(model, card, findings)
    _precision(weights, precision or card.precision, findings)
    if card.config is None:
        findings.unshown.append("the network: the card describes a module that only its author has")
        return CardCheck(problems=tuple(findings.problems), unshown=tuple(findings.unshown))
    _numbers_of_classes(model, card, weights, findings)
    _labels(card, origin, findings)
    _input(model, card, findings)
    _output(model, card, findings)
    _preprocessing(model, card, origin, findings)
    findings.problems += network_problems(weights, card.config)
    return CardCheck(problems=tuple(findings.problems), unshown=tuple(findings.unshown))


def _origin_of_weights(card: ModelCard, findings: Findings) -> None:
    if not DIGEST.fullmatch(card.weights.sha256):
        findings.problems.append("the card's digest of the weights is not a SHA-256")
    if card.weights.seed is not None and card.weights.seed < 0:
        findings.problems.append(f"the card says seed {card.weights.seed}, but seeds are not negative")
    if card.config is not None and card.weights.source is None and card.weights.seed is None:
        findings.problems.append("the card names neither a source of the weights nor a seed")


def _tools(model: onnx.ModelProto, card: ModelCard, findings: Findings) -> None:
    findings.expect("opset", card.opset or None, "the file has", default_opset(model))
    if card.exporter not in EXPORTERS:
        findings.problems.append(f"the card says exporter {readable(card.exporter)}, which resnetx does not have")


def _precision(weights: tuple[StoredWeights, ...], claimed: str, findings: Findings) -> None:
    if claimed not in PRECISIONS:
        findings.problems.append(f"the card says precision {readable(claimed)}, which resnetx does not know")
        return
    found = file_precision(weights)
    if found is None:
        findings.unshown.append(f"the precision {claimed}: no layer has stored weights")
    elif found[0] == "int8" and claimed != "int8":
        findings.unshown.append(f"the precision {claimed}: the file was quantized to int8 after its export")
    elif found[0] != claimed and not (claimed == "tf32" and found[0] == "fp32"):
        findings.problems.append(
            f"the card says precision {claimed}, but the weights of {found[1]} of {len(weights)} layers are {found[0]}"
        )


def _numbers_of_classes(
    model: onnx.ModelProto, card: ModelCard, weights: tuple[StoredWeights, ...], findings: Findings
) -> None:
    assert card.config is not None
    classes = card.config.classes
    findings.expect("classes", card.classes, "its network has", classes)
    findings.expect("architecture", card.architecture, "its config is of", card.config.name)
    labels = None if card.labels is None else len(card.labels)
    if labels is not None and labels != classes:
        findings.problems.append(f"the card has {labels} labels for {classes} classes")
    head = next((each for each in reversed(weights) if not is_convolution(each)), None)
    if head is None:
        findings.unshown.append("the number of classes in the last layer, which has no stored weights")
    else:
        findings.expect("classes", classes, f"the last layer {readable(head.layer)} has", head.outputs)


def _labels(card: ModelCard, origin: Origin | None, findings: Findings) -> None:
    assert card.config is not None
    if card.labels is None:
        return
    if origin is not None and origin.labels is not None:
        _compare_labels(card.labels, origin.labels, "the checkpoint", findings)
        return
    known = imagenet_labels()
    names = set(known)
    if card.config.classes != IMAGENET_CLASSES or sum(label in names for label in card.labels) < len(known) // 2:
        findings.unshown.append("the labels: which class has which name is not in the file")
        return
    # The user may have renamed a class; another class's name is in the wrong place.
    placed = tuple(label if label in names else own for label, own in zip(card.labels, known, strict=False)) + tuple(
        known[len(card.labels) :]
    )
    _compare_labels(placed[: len(known)], known, "ImageNet", findings)


def _compare_labels(found: tuple[str, ...], known: tuple[str, ...], where: str, findings: Findings) -> None:
    wrong = [index for index, (ours, theirs) in enumerate(zip(found, known, strict=False)) if ours != theirs]
    if wrong:
        first = wrong[0]
        findings.problems.append(
            f"{len(wrong)} of {len(known)} labels are not those of {where}: class {first} is "
            f"'{readable(found[first], 40)}' in the card, and '{readable(known[first], 40)}' there"
        )


def _input(model: onnx.ModelProto, card: ModelCard, findings: Findings) -> None:
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    if card.input not in INPUT_FORMS:
        findings.problems.append(f"the card says input {readable(card.input)}; the forms are {', '.join(INPUT_FORMS)}")
        return
    if len(inputs) != 1:
        findings.problems.append(f"the card describes one input of images, but the file has {len(inputs)} inputs")
        return
    value, pixels = inputs[0], card.input == "uint8"
    kind = value.type.tensor_type.elem_type
    if (kind != TensorProto.UINT8) if pixels else (kind not in FLOATS):
        wanted = "8-bit pixels" if pixels else "normalized floats"
        findings.problems.append(f"the card says {wanted} for the input, but its type is {_type_name(kind)}")
    shape, size = _shape(value), card.image_size
    if size is None:
        findings.problems.append("the card gives no image size")
    if shape is None:
        findings.unshown.append("the shape of the input, which the file leaves open")
        return
    places = {"channels": 3, "height": 1, "width": 2} if pixels else {"channels": 1, "height": 2, "width": 3}
    if len(shape) != 4:
        findings.problems.append(f"the card describes images, but the input has {len(shape)} dimensions and not 4")
        return
    for word, place in places.items():
        claimed = 3 if word == "channels" else size
        if shape[place] is None:
            findings.unshown.append(f"the {word} of the images: the file takes any")
        else:
            findings.expect(f"images with {word}", claimed, "the input has", shape[place])


def _output(model: onnx.ModelProto, card: ModelCard, findings: Findings) -> None:
    assert card.config is not None
    try:
        k, names = top_k(card.output), output_names(card.output)
    except UsageError as error:
        findings.problems.append(f"the card's output form is unknown: {readable(str(error))}")
        return
    outputs = {value.name: value for value in model.graph.output}
    if tuple(outputs) != names:
        findings.problems.append(
            f"the card says {card.output}, so the outputs are named {', '.join(names)}, but the file has "
            f"{readable(', '.join(outputs)) or 'none'}"
        )
    found = output_form(model.graph, model.graph.output[-1].name) if outputs else UNKNOWN
    wanted = "top k" if k else card.output
    if found == UNKNOWN:
        findings.unshown.append(f"the output form {card.output}: the end of the graph has another form than exporters'")
    else:
        findings.expect("the output is", wanted, "the graph ends in", found)
    batch = _shape(model.graph.input[0]) if model.graph.input else None
    for name, value in outputs.items():
        kind = value.type.tensor_type.elem_type
        whole = name == "indices"
        if (kind not in (TensorProto.INT64, TensorProto.INT32)) if whole else (kind not in FLOATS):
            wanted_kind = "class numbers" if whole else "floats"
            findings.problems.append(f"the output {readable(name)} should be {wanted_kind}, but is {_type_name(kind)}")
        shape = _shape(value)
        if shape is None or len(shape) != 2:
            if shape is not None:
                findings.problems.append(f"the output {readable(name)} has {len(shape)} dimensions and not 2")
            continue
        findings.expect(f"{readable(name)} of length", k or card.config.classes, "the file's is", shape[1])
        if batch and batch[0] is not None and shape[0] is not None and batch[0] != shape[0]:
            findings.problems.append(f"the input has batches of {batch[0]}, and {readable(name)} has {shape[0]} rows")


def _preprocessing(model: onnx.ModelProto, card: ModelCard, origin: Origin | None, findings: Findings) -> None:
    """Pixels are measured in the graph; for floats only the source of the weights knows."""
    assert card.config is not None
    if card.preprocessing is None:
        findings.problems.append("the card gives no preprocessing")
        return
    if not all(value > 0 for value in (*card.preprocessing.std, card.preprocessing.scale)):
        findings.problems.append("the card's preprocessing has a scale or a standard deviation that is not positive")
        return
    usual = UNIT if card.config.variant == "textbook" else IMAGENET
    if card.weights.source is None:
        _compare_preprocessing(card.preprocessing, usual, "networks from a seed", findings)
    elif origin is not None:
        _compare_preprocessing(card.preprocessing, origin.preprocessing or usual, "the checkpoint", findings)
    elif card.input != "uint8":
        findings.unshown.append("the preprocessing of float inputs, which happens outside of the file")
    if card.input == "uint8" and model.graph.input:
        problems, unshown = pixel_problems(model, card.preprocessing)
        findings.problems += problems
        findings.unshown += unshown


def _compare_preprocessing(found: Preprocessing, known: Preprocessing, where: str, findings: Findings) -> None:
    for name in ("order", "scale", "mean", "std"):
        findings.expect(name, getattr(found, name), f"the preprocessing of {where} has", getattr(known, name))


def _shape(value: ValueInfoProto) -> list[int | None] | None:
    """Dimensions, None for a free one; None without a shape."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]


def _type_name(kind: int) -> str:
    return TensorProto.DataType.Name(kind).lower() if kind in TensorProto.DataType.values() else f"type {kind}"
