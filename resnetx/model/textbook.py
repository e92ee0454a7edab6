"""The residual network of the classic step-by-step description: flat layers with the original network's names.

It differs from v1 in more than names: convolutions have a bias, the image is padded by 3, max pooling has no
padding, the last stage's identity blocks are narrower, and a 2x2 average pooling precedes the classifier. The
final softmax of the description is the `probabilities` output (see `deploy.py`), so that logits stay comparable.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnetx.errors import UsageError
from resnetx.model.config import ResNetConfig
from resnetx.model.layer_names import block_label


class TextbookResNet(nn.Module):
    """Images (N, 3, 64, 64) to logits (N, classes); another image size changes the classifier's inputs."""

    def __init__(self, config: ResNetConfig, image_size: int) -> None:
        super().__init__()
        self.config = config
        self.pad = nn.ZeroPad2d(3)
        self.conv1 = nn.Conv2d(3, config.width, 7, stride=2)
        self.bn_conv1 = nn.BatchNorm2d(config.width, config.bn_eps)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2)
        channels, side = config.width, ((image_size - 1) // 2 + 1 - 3) // 2 + 1
        self.blocks: list[tuple[str, bool]] = []
        for stage, count in enumerate(config.stages):
            for index in range(count):
                label = block_label(stage, index, config.stages)
                last_identity = stage == len(config.stages) - 1 > 0 and index > 0
                width = config.width * (config.last_identity_multiple if last_identity else 2**stage)
                outputs, stride = config.width * 2**stage * 4, 2 if stage > 0 and index == 0 else 1
                self._add_layer(f"{label}_branch2a", channels, width, 1, stride)
                self._add_layer(f"{label}_branch2b", width, width, 3, 1)
                self._add_layer(f"{label}_branch2c", width, outputs, 1, 1)
                if index == 0 and not config.plain:
                    self._add_layer(f"{label}_branch1", channels, outputs, 1, stride)
                self.blocks.append((label, index == 0))
                channels = outputs
                side = (side - 1) // stride + 1
        self.avg_pool = nn.AvgPool2d(config.avg_pool) if config.avg_pool else nn.AdaptiveAvgPool2d(1)
        pooled = side // config.avg_pool if config.avg_pool else 1
        if side < 1 or pooled < 1:
            raise UsageError(
                f"Images of {image_size}x{image_size} are too small for {config.name}: "
                "the last feature map would be empty. Choose a larger --image-size (the description uses 64)."
            )
        self.add_module(self.classifier_name, nn.Linear(channels * pooled**2, config.classes))

    @property
    def classifier_name(self) -> str:
        return f"fc{self.config.classes}"

    def _add_layer(self, label: str, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        self.add_module(f"res{label}", nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2))
        self.add_module(f"bn{label}", nn.BatchNorm2d(outputs, self.config.bn_eps))

    def _layer(self, label: str, x: Tensor) -> Tensor:
        return cast(Tensor, getattr(self, f"bn{label}")(getattr(self, f"res{label}")(x)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn_conv1(self.conv1(self.pad(x)))))
        for label, projects in self.blocks:
            y = self.relu(self._layer(f"{label}_branch2a", x))
            y = self.relu(self._layer(f"{label}_branch2b", y))
            y = self._layer(f"{label}_branch2c", y)
            if not self.config.plain:
                y = y + (self._layer(f"{label}_branch1", x) if projects else x)
            x = functional.relu(y)
        return cast(Tensor, getattr(self, self.classifier_name)(torch.flatten(self.avg_pool(x), 1)))
