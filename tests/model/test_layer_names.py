"""Layer names: every naming leads to every other and back."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetx.model.config import DEPTHS, EXPANSION, ResNetConfig, resnet_config
from resnetx.model.layer_names import RULES, Layer, Naming, original_name, parse_layer, spell_layer, translate_layer
from resnetx.model.network import build_network

NAMINGS: tuple[Naming, ...] = tuple(RULES)
PAIRS = list(itertools.permutations(NAMINGS, 2))
# The original numbers the blocks of its deep stages, and `\d` has one digit for the stage.
STAGE_LISTS = st.lists(st.integers(1, 60), min_size=1, max_size=8).map(tuple)


def layers(stages: tuple[int, ...], pairs: int) -> list[Layer]:
    """Every layer of a network with so many convolution and BatchNorm pairs a block."""
    found = [Layer("conv"), Layer("bn"), Layer("fc")]
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            for k in range(0 if block == 0 else 1, pairs + 1):
                found += [Layer("conv", stage, block, k), Layer("bn", stage, block, k)]
    return found


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_there_and_back_for_every_depth(depth: int, source: Naming, target: Naming) -> None:
    block, stages = DEPTHS[depth]
    places = layers(stages, 2 if block == "basic" else 3)
    names = [spell_layer(place, source, stages) for place in places]
    assert len(set(names)) == len(names)
    for name in names:
        there = translate_layer(name, source, target, stages)
        assert there is not None
        assert translate_layer(there, target, source, stages) == name


@given(
    stages=STAGE_LISTS, pairs=st.sampled_from([2, 3]), naming=st.sampled_from(NAMINGS), classes=st.integers(1, 10**6)
)
def test_spelling_and_parsing_are_inverse(stages: tuple[int, ...], pairs: int, naming: Naming, classes: int) -> None:
    places = layers(stages, pairs)
    names = [spell_layer(place, naming, stages, classes) for place in places]
    assert len(set(names)) == len(places)
    assert [parse_layer(name, naming) for name in names] == places


@given(st.text(max_size=40), st.sampled_from(NAMINGS))
def test_any_text_is_a_name_or_none(text: str, naming: Naming) -> None:
    place = parse_layer(text, naming)
    assert place is None or isinstance(place, Layer)


@pytest.mark.parametrize("depth", [18, 50])
def test_our_modules_all_have_an_original_name(depth: int) -> None:
    config = resnet_config(depth)
    network = build_network(config)
    weighted = [path for path, module in network.named_modules() if hasattr(module, "weight")]
    convolutions = [path for path in weighted if original_name(path, config.stages).startswith(("res", "conv"))]
    shortcuts = sum(path.endswith("downsample.0") for path in weighted)
    assert len(convolutions) - shortcuts == config.depth - 1
    assert all(
        re.fullmatch(r"conv1|bn_conv1|fc1000|(res|bn)\d[a-z]\d*_branch(1|2[abc])", name)
        for name in (original_name(path, config.stages) for path in weighted)
    )


def test_textbook_modules_are_spelled_by_the_table() -> None:
    config = ResNetConfig(variant="textbook", stages=(3, 4, 23, 3), width=1, classes=6)
    modules = {path for path, module in build_network(config).named_modules() if hasattr(module, "weight")}
    places = layers(config.stages, 3)
    assert modules == {spell_layer(place, "original", config.stages, 6) for place in places}
    assert EXPANSION[config.block] == 4


@pytest.mark.parametrize(
    ("ours", "stages", "original"),
    [
        ("layer3.0.conv2", (3, 4, 6, 3), "res4a_branch2b"),
        ("layer1.0.downsample.1", (3, 4, 6, 3), "bn2a_branch1"),
        ("layer3.22.bn3", (3, 4, 23, 3), "bn4b22_branch2c"),
        ("layer2.3.conv1", (3, 4, 23, 3), "res3b3_branch2a"),
        ("layer4.2.conv1", (3, 4, 23, 3), "res5c_branch2a"),
        ("fc", (3, 4, 6, 3), "fc1000"),
        ("bn1", (3, 4, 6, 3), "bn_conv1"),
        ("avgpool", (3, 4, 6, 3), None),
    ],
)
def test_original_names(ours: str, stages: tuple[int, ...], original: str | None) -> None:
    assert original_name(ours, stages) == original


@pytest.mark.parametrize(
    ("name", "naming"),
    [
        ("layer0.0.conv1", "torchvision"),
        ("conv1_block1_1_conv", "keras"),
        ("conv2_block0_1_conv", "keras"),
        ("res1a_branch2a", "original"),
    ],
)
def test_stages_and_blocks_before_the_first_are_no_layers(name: str, naming: Naming) -> None:
    assert parse_layer(name, naming) is None
