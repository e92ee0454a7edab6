"""The healthy files: how each is made, and what is special about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from torch import nn

from resnetx.graph.card import embed_card, read_card
from resnetx.inputs.synthetic import network_input
from resnetx.model.config import ResNetConfig
from resnetx.model.preprocessing import IMAGENET
from tests.support.images import synthetic_images
from tests.support.quantization import quantize
from tests.support.reduced_networks import reduced

Base = Literal[
    "floats",
    "pixels",
    "probabilities",
    "small variances",
    "dead filters",
    "zero residuals",
    "fp16",
    "int8",
    "batches of 1",
    "batches of 4",
    "1000 classes",
    "densenet",
    "efficientnet",
    "mobilenet_v3",
    "group norm",
]
# What an inspection must look at to see the fault; "any image" shows the others. "structure" is what no input in reach
# shows: weights, attributes and wiring, compared directly.
Needs = Literal[
    "any image",
    "extreme images",
    "textures",
    "zeros",
    "faint images",
    "large magnitudes",
    "very large magnitudes",
    "batch 2",
    "batch 3",
    "batch 4",
    "batch 5",
    "batch 8",
    "batch 9",
    "batch 16",
    "structure",
]

CONFIG = ResNetConfig(stages=(2, 1, 2), width=8, classes=20)
IMAGE_SIZE = 64
# As BatchNorms have them behind channels that hardly ever fire: here eps 1.001e-5 is not 1e-5 any more.
SMALL = 1e-4
# The filters that no image activates, in every convolution that a ReLU follows directly.
DEAD = (1, 4)
DEAD_BIAS = -200.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """`adapt` changes the weights of a seed, so that the file is made from a checkpoint; `rewrite` changes the file.

    `module` builds a network that is not of our family.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    config: ResNetConfig = CONFIG
    adapt: Callable[[nn.Module], None] | None = None
    module: Callable[[int], nn.Module] | None = None
    rewrite: Callable[[Path], None] | None = None


@torch.no_grad()
def shrink_variances(built: nn.Module) -> None:
    """Weaker convolutions with statistics to match: the BatchNorms make nearly the same of it."""
    for module in built.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.mul_(SMALL**0.5)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.mul_(SMALL**0.5)
            module.running_var.mul_(SMALL)


@torch.no_grad()
def deaden(built: nn.Module) -> None:
    """A far negative bias where a ReLU follows: those filters never fire, as some never do in trained networks."""
    for path, module in built.named_modules():
        if isinstance(module, nn.BatchNorm2d) and path.endswith(("bn1", "bn2")):
            module.bias[list(DEAD)] = DEAD_BIAS


@torch.no_grad()
def without_residuals(built: nn.Module) -> None:
    """Zero gammas and biases at the end of two branches, as training begins with: what is before them has no effect."""
    for path in ("layer1.1.bn3", "layer3.1.bn3"):
        norm = built.get_submodule(path)
        assert isinstance(norm, nn.BatchNorm2d)
        norm.weight.zero_()
        norm.bias.zero_()
        assert norm.running_mean is not None
        norm.running_mean.zero_()


class GroupNormNetwork(nn.Module):
    """Convolutions with GroupNorm and SiLU, both of which are several nodes of a file."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.norm1 = nn.GroupNorm(2, 8)
        self.silu1 = nn.SiLU()
        self.conv = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(4, 16)
        self.silu2 = nn.SiLU()
        self.pool = nn.AvgPool2d(3, stride=2, padding=1)
        self.head = nn.Linear(16, 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.silu1(self.norm1(self.stem(x)))
        x = self.pool(self.silu2(self.norm2(self.conv(x))))
        result: torch.Tensor = self.head(x.mean((2, 3)))
        return result


@torch.no_grad()
def _group_norm_network(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = GroupNormNetwork().eval()
        for norm in (network.norm1, network.norm2):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.uniform_(-0.5, 0.5)
    return network


def _quantized(path: Path) -> None:
    """As ONNX Runtime's quantization makes it, calibrated on smooth images; the card says so."""
    images = network_input(synthetic_images(32, IMAGE_SIZE, seed=1), IMAGENET)
    quantize(path, path, np.split(images, 8))
    model = onnx.load(path)
    card = read_card(model)
    assert card is not None
    embed_card(model, replace(card, precision="int8"))
    onnx.save(model, path)


def _family(name: str) -> Recipe:
    example = torch.zeros(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    module = _group_norm_network if name == "group norm" else partial(reduced, name)
    return Recipe(module=module, options={"example": example})


BASES: dict[Base, Recipe] = {
    "floats": Recipe(),
    "pixels": Recipe(options={"preprocess": "uint8"}),
    "probabilities": Recipe(options={"output": "probabilities"}),
    "small variances": Recipe(adapt=shrink_variances),
    "dead filters": Recipe(adapt=deaden),
    "zero residuals": Recipe(adapt=without_residuals),
    "fp16": Recipe(options={"precision": "fp16"}),
    "int8": Recipe(rewrite=_quantized),
    "batches of 1": Recipe(options={"batch": 1}),
    "batches of 4": Recipe(options={"batch": 4}),
    "1000 classes": Recipe(config=replace(CONFIG, classes=1000)),
    "densenet": _family("densenet"),
    "efficientnet": _family("efficientnet"),
    "mobilenet_v3": _family("mobilenet_v3"),
    "group norm": _family("group norm"),
}
FIXED_BATCH: dict[Base, int] = {"batches of 1": 1, "batches of 4": 4}
