"""The networks of the studies: a plain and a residual twin of any depth 6n + 2, for images of 8x8 pixels.

They are `model/`'s networks of basic blocks in three stages, as the paper has them for small images; only the stem is
smaller. The twins have the same weights in all layers that both have.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from resnetx.errors import UsageError
from resnetx.model.config import ResNetConfig
from resnetx.model.network import ResNet, build_network
from resnetx.study.digits import CLASSES

WIDTH = 8
MOST_DEPTH = 1202
# As many as there are colours.
MOST_DEPTHS = 6
INITIALIZATION = "Glorot's uniform, as in the classic account; biases 0, BatchNorm scales 1"


class ChannelBias(nn.Module):
    """Stands where BatchNorm would: it adds a number to each channel, and normalizes nothing."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias[:, None, None]


def blocks_of(depth: int) -> int:
    """The blocks of each stage of a network of this depth."""
    blocks, rest = divmod(depth - 2, 6)
    if rest or not 8 <= depth <= MOST_DEPTH:
        raise UsageError(
            f"A depth of {depth} cannot be built: three stages of n blocks of two layers have 6n + 2 layers, such as "
            f"20, 56 or 110, and at most {MOST_DEPTH}."
        )
    return blocks


def check_depths(depths: Sequence[int]) -> None:
    """Depths that can be built and compared with each other."""
    for depth in depths:
        blocks_of(depth)
    if not 2 <= len(depths) <= MOST_DEPTHS or list(depths) != sorted(set(depths)):
        raise UsageError(
            f"--depths takes two to {MOST_DEPTHS} depths, each larger than the one before, such as 20,56,110."
        )


def build_twin(
    depth: int, *, plain: bool, seed: int, normalized: bool = True, width: int = WIDTH, classes: int = CLASSES
) -> ResNet:
    """One of the twins of this depth and seed, in training mode; without BatchNorm if it is not `normalized`."""
    stages = (blocks_of(depth),) * 3
    residual = _network(ResNetConfig(block="basic", stages=stages, width=width, classes=classes), normalized)
    initialize(residual, seed)
    if not plain:
        return residual
    config = ResNetConfig(block="basic", stages=stages, width=width, classes=classes, plain=True)
    network = _network(config, normalized)
    share_weights(residual, network)
    return network


@torch.no_grad()
def initialize(network: nn.Module, seed: int) -> None:
    """The same for convolutions with and without BatchNorm, and for plain and residual networks."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def share_weights(residual: nn.Module, plain: nn.Module) -> None:
    """Give the plain network the residual one's weights; only the projections of the shortcuts have no place in it."""
    found = plain.load_state_dict(residual.state_dict(), strict=False)
    assert not found.missing_keys and all(".downsample." in name for name in found.unexpected_keys), found


def network_settings() -> dict[str, str]:
    """What determines the networks, for a result."""
    return {
        "images": "scikit-learn's digits, 8x8",
        "networks": f"three stages of basic blocks, {WIDTH}, {2 * WIDTH} and {4 * WIDTH} channels",
        "initialization": INITIALIZATION,
    }


def name_of(depth: int, *, plain: bool) -> str:
    return f"{'plain' if plain else 'residual'} {depth}"


def _network(config: ResNetConfig, normalized: bool) -> ResNet:
    network = cast(ResNet, build_network(config))
    network.conv1 = nn.Conv2d(1, config.width, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()  # type: ignore[assignment]
    if not normalized:
        for name, module in list(network.named_modules()):
            if isinstance(module, nn.BatchNorm2d):
                parent, _, child = name.rpartition(".")
                setattr(network.get_submodule(parent), child, ChannelBias(module.num_features))
    return network.train()
