"""The networks: the paper's sizes, the strides of each variant, the textbook to the letter, weights from a seed."""

import pytest
import torch
from torch import nn

from resnetx.errors import UsageError
from resnetx.model.config import DEPTHS, ResNetConfig, resnet_config
from resnetx.model.initialization import initialize
from resnetx.model.network import Bottleneck, build_network
from tests.conftest import random_network, tiny_config

PARAMETERS = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032, 101: 44_549_160, 152: 60_192_808}


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_family_has_the_papers_sizes(depth: int) -> None:
    with torch.device("meta"):
        network = build_network(resnet_config(depth))
    assert parameters(network) == PARAMETERS[depth]
    assert resnet_config(depth).depth == depth


def test_the_variant_says_which_convolution_strides() -> None:
    for variant, strides in {"v1.5": [1, 2, 1], "v1": [2, 1, 1]}.items():
        block = build_network(tiny_config(variant=variant)).get_submodule("layer2.0")
        assert isinstance(block, Bottleneck)
        assert [conv.stride[0] for conv in (block.conv1, block.conv2, block.conv3)] == strides


def test_variants_share_weights_and_differ_in_numbers() -> None:
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    first, second = random_network(tiny_config(variant="v1.5")), random_network(tiny_config(variant="v1"))
    assert first.state_dict().keys() == second.state_dict().keys()
    with torch.no_grad():
        assert (first(images) - second(images)).abs().max() > 1e-3


def test_the_plain_twin_has_the_same_layers_and_no_shortcuts() -> None:
    network, twin = build_network(tiny_config()), build_network(tiny_config(plain=True))
    shortcuts = {name for name in network.state_dict() if "downsample" in name}
    assert shortcuts and network.state_dict().keys() - twin.state_dict().keys() == shortcuts
    identity = random_network(tiny_config(plain=True, stages=(1,)))
    nn.init.zeros_(identity.get_submodule("layer1.0.bn3").weight)  # type: ignore[arg-type]
    nn.init.zeros_(identity.get_submodule("layer1.0.bn3").bias)  # type: ignore[arg-type]
    with torch.no_grad():
        assert torch.equal(identity.get_submodule("layer1.0")(torch.ones(1, 8, 4, 4)), torch.zeros(1, 32, 4, 4))


def textbook_layers() -> list[tuple[str, tuple[int, ...], int]]:
    """Name, weight shape and stride of every convolution of the description, written out by its own rules."""
    layers: list[tuple[str, tuple[int, ...], int]] = [("conv1", (64, 3, 7, 7), 2)]
    stages = {2: ("abc", 64, 1), 3: ("abcd", 128, 2), 4: ("abcdef", 256, 2), 5: ("abc", 512, 2)}
    channels = 64
    for stage, (letters, width, stride) in stages.items():
        for letter in letters:
            inner = 256 if stage == 5 and letter in "bc" else width
            first = stride if letter == "a" else 1
            layers += [
                (f"res{stage}{letter}_branch2a", (inner, channels, 1, 1), first),
                (f"res{stage}{letter}_branch2b", (inner, inner, 3, 3), 1),
                (f"res{stage}{letter}_branch2c", (width * 4, inner, 1, 1), 1),
            ]
            if letter == "a":
                layers.append((f"res{stage}a_branch1", (width * 4, channels, 1, 1), stride))
            channels = width * 4
    return layers


def test_the_textbook_network_follows_its_description() -> None:
    network = build_network(resnet_config(50, variant="textbook", classes=6))
    convolutions = [
        (name, tuple(module.weight.shape), module.stride[0])
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    assert convolutions == textbook_layers()
    norms = {name: module.eps for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert set(norms) == {
        name.replace("res", "bn") if name != "conv1" else "bn_conv1" for name, _, _ in textbook_layers()
    }
    assert set(norms.values()) == {1e-3}
    assert all(module.bias is not None for module in network.modules() if isinstance(module, nn.Conv2d))
    fc, pool = network.get_submodule("fc6"), network.get_submodule("avg_pool")
    assert isinstance(fc, nn.Linear) and fc.in_features == 2048 and fc.out_features == 6
    assert isinstance(pool, nn.AvgPool2d) and pool.kernel_size == 2
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 6)


def test_the_textbooks_last_stage_can_be_the_original_networks() -> None:
    network = build_network(resnet_config(50, variant="textbook", last_identity_multiple=8))
    assert network.get_submodule("res5b_branch2a").weight.shape == (512, 2048, 1, 1)


def test_the_textbooks_convolutional_block_computes_its_description() -> None:
    """One stage by hand: 1x1, fxf "same", 1x1, a projecting shortcut, and no ReLU before the addition."""
    network = random_network(tiny_config(variant="textbook", stages=(1,), width=4)).double()

    def layer(name: str, x: torch.Tensor, **options: int) -> torch.Tensor:
        convolution, norm = network.get_submodule(f"res{name}"), network.get_submodule(f"bn{name}")
        y = nn.functional.conv2d(x, convolution.weight, convolution.bias, **options)  # type: ignore[arg-type]
        shape = (1, -1, 1, 1)
        scale = norm.weight / torch.sqrt(norm.running_var + 1e-3)  # type: ignore[operator]
        return (y - norm.running_mean.view(shape)) * scale.view(shape) + norm.bias.view(shape)  # type: ignore[operator]

    images = torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    padded = nn.functional.pad(images, (3, 3, 3, 3))
    stem = network.get_submodule("bn_conv1")(network.get_submodule("conv1")(padded)).relu()
    x = nn.functional.max_pool2d(stem, 3, 2)
    y = layer("2a_branch2a", x).relu()
    y = layer("2a_branch2b", y, padding=1).relu()
    y = (layer("2a_branch2c", y) + layer("2a_branch1", x)).relu()
    expected = network.get_submodule("fc10")(nn.functional.avg_pool2d(y, 2).flatten(1))
    with torch.no_grad():
        torch.testing.assert_close(network(images), expected, rtol=1e-12, atol=1e-12)


def test_weights_come_from_the_seed_alone() -> None:
    first, again, other = (random_network(tiny_config(), seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if "num_batches" not in name)


def test_a_seed_gives_the_same_bits_on_every_machine() -> None:
    state = random_network(tiny_config()).state_dict()
    values = [*state["conv1.weight"].flatten()[:3].tolist(), *state["layer2.1.bn3.running_var"][:2].tolist()]
    assert [value.hex() for value in values] == [
        "-0x1.8c82980000000p-10",
        "0x1.bbea8a0000000p-4",
        "-0x1.548aba0000000p-3",
        "0x1.1a65080000000p+0",
        "0x1.4cc22a0000000p+0",
    ]


def test_batch_norm_statistics_are_not_trivial() -> None:
    for config in (tiny_config(), tiny_config(variant="textbook")):
        for module in random_network(config).modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    assert tensor is not None and tensor.std() > 0.01


@pytest.mark.parametrize(
    "config", [resnet_config(152), resnet_config(50, variant="textbook"), resnet_config(34, plain=True)]
)
def test_random_networks_neither_fade_nor_blow_up(config: ResNetConfig) -> None:
    network = random_network(config)
    with torch.no_grad():
        logits = network(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert 1e-3 < logits.std() < 1e3


@pytest.mark.parametrize(
    "wrong",
    [
        {"depth": 51},
        {"depth": 50, "stages": (1, 1)},
        {"stages": ()},
        {"stages": (0, 1)},
        {"width": 0},
        {"classes": 0},
        {"depth": 18, "variant": "textbook"},
        {"variant": "v2"},
    ],
)
def test_networks_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        resnet_config(**wrong)  # type: ignore[arg-type]


def test_a_textbook_image_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        build_network(resnet_config(50, variant="textbook"), image_size=32)


def test_initialize_fills_what_it_is_given_deterministically_whatever_was_there() -> None:
    network = random_network(tiny_config(), 1)
    initialize(network, 2)
    assert torch.equal(network.state_dict()["fc.weight"], random_network(tiny_config(), 2).state_dict()["fc.weight"])
