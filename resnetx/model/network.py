"""The residual networks of the paper, with torchvision's state-dict names."""

from typing import cast

import torch
from torch import Tensor, nn

from resnetx.model.config import ResNetConfig
from resnetx.model.textbook import TextbookResNet


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (depths 18 and 34)."""

    def __init__(self, inputs: int, width: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width, config.bn_eps)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, config.bn_eps)
        self.downsample = shortcut(inputs, width, stride, config)
        self.plain = config.plain

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if not self.plain:
            y = y + (x if self.downsample is None else self.downsample(x))
        return cast(Tensor, self.relu(y))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut (depths 50, 101 and 152); the variant determines which of them has the stride."""

    def __init__(self, inputs: int, width: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        outputs = width * config.expansion
        first, second = (stride, 1) if config.variant == "v1" else (1, stride)
        self.conv1 = nn.Conv2d(inputs, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width, config.bn_eps)
        self.conv2 = nn.Conv2d(width, width, 3, second, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width, config.bn_eps)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs, config.bn_eps)
        self.relu = nn.ReLU()
        self.downsample = shortcut(inputs, outputs, stride, config)
        self.plain = config.plain

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if not self.plain:
            y = y + (x if self.downsample is None else self.downsample(x))
        return cast(Tensor, self.relu(y))


def shortcut(inputs: int, outputs: int, stride: int, config: ResNetConfig) -> nn.Sequential | None:
    """The projection where the shape changes (option B of the paper); None if it doesn't, or in a plain network."""
    if config.plain or (stride == 1 and inputs == outputs):
        return None
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride, bias=False),
        nn.BatchNorm2d(outputs, config.bn_eps),
    )


class ResNet(nn.Module):
    """Images (N, 3, H, W) to logits (N, classes)."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        block = BasicBlock if config.block == "basic" else Bottleneck
        self.config = config
        self.conv1 = nn.Conv2d(3, config.width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(config.width, config.bn_eps)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = config.width
        self.stage_names = [f"layer{stage + 1}" for stage in range(len(config.stages))]
        for stage, blocks in enumerate(config.stages):
            width = config.width * 2**stage
            layers: list[nn.Module] = []
            for index in range(blocks):
                layers.append(block(channels, width, 2 if stage > 0 and index == 0 else 1, config))
                channels = width * config.expansion
            self.add_module(self.stage_names[stage], nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, config.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for name in self.stage_names:
            x = getattr(self, name)(x)
        return cast(Tensor, self.fc(torch.flatten(self.avgpool(x), 1)))


def build_network(config: ResNetConfig, *, image_size: int | None = None) -> nn.Module:
    """The network of a config in evaluation mode, without meaningful weights; every variant returns logits."""
    if config.variant == "textbook":
        return TextbookResNet(config, image_size or config.image_size).eval()
    return ResNet(config).eval()
