"""Layer names in torchvision (used by resnetx), Hugging Face, Keras applications and the original network.

These are names of layers, not of parameters: `layer1.0.conv2`, without `.weight`. Stages count from 0, blocks from 0.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Naming = Literal["torchvision", "huggingface", "keras", "original"]
Kind = Literal["conv", "bn"]


@dataclass(frozen=True)
class Layer:
    """The place of a layer: the stem (stage -1), a block's k-th pair (k = 0 is the shortcut), or the classifier."""

    kind: Literal["conv", "bn", "fc"]
    stage: int = -1
    block: int = 0
    k: int = 1


CLASSIFIER = Layer("fc")


@dataclass(frozen=True)
class NamingRule:
    """The layer names of one framework; `pattern`, `parse` and `spell` are for the layers in blocks."""

    stem: dict[Kind, str]
    classifier: str
    pattern: re.Pattern[str]
    parse: Callable[[re.Match[str]], Layer]
    spell: Callable[[Layer, Sequence[int]], str]


def block_label(stage: int, block: int, stages: Sequence[int]) -> str:
    """`2a`, `4f`, or `4b22`: the original numbers the blocks in long stages of deep networks."""
    numbered = max(stages) > 6 and stages[stage] > 3
    return f"{stage + 2}{'a' if block == 0 else f'b{block}' if numbered else _letter(block)}"


def _letter(block: int) -> str:
    return chr(ord("a") + block)


def _kind(word: str) -> Kind:
    return "conv" if word.startswith(("conv", "res")) else "bn"


def _spell_torchvision(layer: Layer, stages: Sequence[int]) -> str:
    block = f"layer{layer.stage + 1}.{layer.block}"
    if layer.k == 0:
        return f"{block}.downsample.{0 if layer.kind == 'conv' else 1}"
    return f"{block}.{layer.kind}{layer.k}"


def _parse_torchvision(match: re.Match[str]) -> Layer:
    stage, block, kind, k, shortcut = match.groups()
    if shortcut is not None:
        return Layer("conv" if shortcut == "0" else "bn", int(stage) - 1, int(block), 0)
    return Layer(_kind(kind), int(stage) - 1, int(block), int(k))


def _spell_huggingface(layer: Layer, stages: Sequence[int]) -> str:
    block = f"resnet.encoder.stages.{layer.stage}.layers.{layer.block}"
    place = "shortcut" if layer.k == 0 else f"layer.{layer.k - 1}"
    return f"{block}.{place}.{'convolution' if layer.kind == 'conv' else 'normalization'}"


def _parse_huggingface(match: re.Match[str]) -> Layer:
    stage, block, k, kind = match.groups()
    return Layer(_kind(kind), int(stage), int(block), 0 if k is None else int(k) + 1)


def _spell_keras(layer: Layer, stages: Sequence[int]) -> str:
    return f"conv{layer.stage + 2}_block{layer.block + 1}_{layer.k}_{layer.kind}"


def _parse_keras(match: re.Match[str]) -> Layer:
    stage, block, k, kind = match.groups()
    return Layer(_kind(kind), int(stage) - 2, int(block) - 1, int(k))


def _spell_original(layer: Layer, stages: Sequence[int]) -> str:
    branch = "branch1" if layer.k == 0 else f"branch2{_letter(layer.k - 1)}"
    return f"{'res' if layer.kind == 'conv' else 'bn'}{block_label(layer.stage, layer.block, stages)}_{branch}"


def _parse_original(match: re.Match[str]) -> Layer:
    kind, stage, letter, number, k = match.groups()
    block = int(number) if number else ord(letter) - ord("a")
    return Layer(_kind(kind), int(stage) - 2, block, 0 if k is None else ord(k) - ord("a") + 1)


RULES: dict[Naming, NamingRule] = {
    "torchvision": NamingRule(
        {"conv": "conv1", "bn": "bn1"},
        "fc",
        re.compile(r"layer([1-9]\d*)\.(\d+)\.(?:(conv|bn)([123])|downsample\.([01]))"),
        _parse_torchvision,
        _spell_torchvision,
    ),
    "huggingface": NamingRule(
        {"conv": "resnet.embedder.embedder.convolution", "bn": "resnet.embedder.embedder.normalization"},
        "classifier.1",
        re.compile(
            r"resnet\.encoder\.stages\.(\d+)\.layers\.(\d+)\.(?:layer\.([012])|shortcut)\.(convolution|normalization)"
        ),
        _parse_huggingface,
        _spell_huggingface,
    ),
    "keras": NamingRule(
        {"conv": "conv1_conv", "bn": "conv1_bn"},
        "predictions",
        re.compile(r"conv([2-9]|[1-9]\d+)_block([1-9]\d*)_([0123])_(conv|bn)"),
        _parse_keras,
        _spell_keras,
    ),
    "original": NamingRule(
        {"conv": "conv1", "bn": "bn_conv1"},
        "fc1000",
        re.compile(r"(res|bn)([2-9])([a-z])(\d+)?_branch(?:1|2([abc]))"),
        _parse_original,
        _spell_original,
    ),
}


def parse_layer(name: str, naming: Naming) -> Layer | None:
    """The place that `name` has in this naming, or None if it has none."""
    rule = RULES[naming]
    for kind, stem in rule.stem.items():
        if name == stem:
            return Layer(kind)
    if name == rule.classifier or (naming == "original" and re.fullmatch(r"fc\d+", name)):
        return CLASSIFIER
    match = rule.pattern.fullmatch(name)
    return rule.parse(match) if match else None


def spell_layer(layer: Layer, naming: Naming, stages: Sequence[int], classes: int = 1000) -> str:
    """The name of a place in this naming."""
    rule = RULES[naming]
    if layer.kind == "fc":
        return f"fc{classes}" if naming == "original" else rule.classifier
    return rule.stem[layer.kind] if layer.stage < 0 else rule.spell(layer, stages)


def translate_layer(
    name: str, source: Naming, target: Naming, stages: Sequence[int], classes: int = 1000
) -> str | None:
    """A layer's name in another naming, or None if the source naming doesn't define it."""
    layer = parse_layer(name, source)
    return None if layer is None else spell_layer(layer, target, stages, classes)


def original_name(path: str, stages: Sequence[int], classes: int = 1000) -> str | None:
    """The original network's name of a layer, from its module path: `layer3.0.conv2` is `res4a_branch2b`."""
    if parse_layer(path, "original") is not None and path != "conv1":
        return path
    return translate_layer(path, "torchvision", "original", stages, classes)
