"""Every classification family of torchvision at a size that exports in seconds, with weights as trained ones vary."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from tests.support import peers

CLASSES = 20
# Families whose layers need more pixels than the others, or a certain number of them.
IMAGE_SIZES = {"alexnet": 96, "inception_v3": 96, "vit": 32, "vgg": 56}
# torch's fused attention has no counterpart in the older exporter.
DYNAMO_ONLY = ("vit",)


def _alexnet() -> nn.Module:
    from torchvision.models import alexnet

    network = alexnet(num_classes=CLASSES)
    network.avgpool = nn.AdaptiveAvgPool2d(2)
    return _narrower_classifier(network, 256 * 4)


def _vgg() -> nn.Module:
    from torchvision.models.vgg import VGG, make_layers

    return _narrower_classifier(VGG(make_layers([8, "M", 16, "M", 16, 16, "M"], batch_norm=True)), 16 * 49)


def _narrower_classifier(network: nn.Module, features: int) -> nn.Module:
    """The same classifier with 32 hidden units for 4096, which would be nine tenths of the file."""
    network.classifier = nn.Sequential(
        nn.Dropout(), nn.Linear(features, 32), nn.ReLU(inplace=True), nn.Linear(32, CLASSES)
    )
    return network


def _convnext() -> nn.Module:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=CLASSES, layer_scale=0.5)


def _densenet() -> nn.Module:
    from torchvision.models import DenseNet

    return DenseNet(growth_rate=4, block_config=(2, 2), num_init_features=8, num_classes=CLASSES)


def _efficientnet() -> nn.Module:
    from torchvision.models.efficientnet import EfficientNet, MBConvConfig

    blocks = [MBConvConfig(1, 3, 1, 16, 8, 1, 1.0, 1.0), MBConvConfig(4, 5, 2, 8, 16, 2, 1.0, 1.0)]
    return EfficientNet(blocks, dropout=0.2, num_classes=CLASSES, last_channel=32)


def _efficientnet_v2() -> nn.Module:
    from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig

    blocks = [FusedMBConvConfig(2, 3, 1, 8, 8, 1), MBConvConfig(4, 3, 2, 8, 16, 1, 1.0, 1.0)]
    norm = partial(nn.BatchNorm2d, eps=1e-3)
    return EfficientNet(blocks, dropout=0.2, num_classes=CLASSES, last_channel=32, norm_layer=norm)


def _googlenet() -> nn.Module:
    from torchvision.models import GoogLeNet

    return GoogLeNet(num_classes=CLASSES, aux_logits=False, init_weights=False)


def _inception_v3() -> nn.Module:
    from torchvision.models import Inception3

    return Inception3(num_classes=CLASSES, aux_logits=False, init_weights=False)


def _maxvit() -> nn.Module:
    from torchvision.models import MaxVit

    return MaxVit(
        input_size=(64, 64),
        stem_channels=8,
        partition_size=4,
        block_channels=[8, 16],
        block_layers=[1, 1],
        head_dim=4,
        stochastic_depth_prob=0.1,
        num_classes=CLASSES,
    )


def _mnasnet() -> nn.Module:
    from torchvision.models import MNASNet

    return MNASNet(alpha=0.2, num_classes=CLASSES)


def _mobilenet_v2() -> nn.Module:
    from torchvision.models import MobileNetV2

    return MobileNetV2(num_classes=CLASSES, width_mult=0.25, inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2]])


def _mobilenet_v3() -> nn.Module:
    from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

    blocks = [
        InvertedResidualConfig(16, 3, 16, 16, True, "RE", 2, 1, 0.5),
        InvertedResidualConfig(16, 5, 48, 24, True, "HS", 2, 1, 0.5),
        InvertedResidualConfig(24, 5, 48, 24, True, "HS", 1, 1, 0.5),
    ]
    return MobileNetV3(blocks, last_channel=32, num_classes=CLASSES)


def _regnet(se_ratio: float | None = None) -> nn.Module:
    from torchvision.models.regnet import BlockParams, RegNet

    parameters = BlockParams.from_init_params(depth=4, w_0=8, w_a=8.0, w_m=2.0, group_width=8, se_ratio=se_ratio)
    return RegNet(parameters, num_classes=CLASSES, stem_width=8)


def _resnet(groups: int = 1, width: int = 8) -> nn.Module:
    """Bottlenecks whose inner widths are an eighth of ResNet-50's."""
    from torchvision.models.resnet import Bottleneck, ResNet

    return ResNet(Bottleneck, [1, 1, 1, 1], num_classes=CLASSES, groups=groups, width_per_group=width)


def _shufflenet_v2() -> nn.Module:
    from torchvision.models import ShuffleNetV2

    return ShuffleNetV2([1, 2, 1], [8, 16, 32, 48, 64], num_classes=CLASSES)


def _squeezenet() -> nn.Module:
    from torchvision.models import SqueezeNet

    return SqueezeNet("1_1", num_classes=CLASSES)


def _swin(version: int) -> nn.Module:
    from torchvision.models.swin_transformer import (
        PatchMerging,
        PatchMergingV2,
        SwinTransformer,
        SwinTransformerBlock,
        SwinTransformerBlockV2,
    )

    block, merging = ((SwinTransformerBlock, PatchMerging), (SwinTransformerBlockV2, PatchMergingV2))[version - 1]
    return SwinTransformer(
        [4, 4],
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[4, 4],
        num_classes=CLASSES,
        block=block,
        downsample_layer=merging,
    )


def _vit() -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=CLASSES
    )


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "alexnet": _alexnet,
    "convnext": _convnext,
    "densenet": _densenet,
    "efficientnet": _efficientnet,
    "efficientnet_v2": _efficientnet_v2,
    "googlenet": _googlenet,
    "inception_v3": _inception_v3,
    "maxvit": _maxvit,
    "mnasnet": _mnasnet,
    "mobilenet_v2": _mobilenet_v2,
    "mobilenet_v3": _mobilenet_v3,
    "regnet_x": _regnet,
    "regnet_y": partial(_regnet, 0.25),
    "resnet": _resnet,
    "resnext": partial(_resnet, 4, 4),
    "wide_resnet": partial(_resnet, 1, 16),
    "shufflenet_v2": _shufflenet_v2,
    "squeezenet": _squeezenet,
    "swin": partial(_swin, 1),
    "swin_v2": partial(_swin, 2),
    "vgg": _vgg,
    "vit": _vit,
}


@torch.no_grad()
def reduced(family: str, seed: int = 1) -> nn.Module:
    """A network of the family in evaluation mode, in which every parameter counts, as training leaves them.

    Statistics are those of images, biases and scales are away from their defaults.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = FAMILIES[family]().eval()
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    module.bias.uniform_(-0.2, 0.2)
        for norm in norms:
            norm.weight.uniform_(0.6, 1.2)
            norm.bias.uniform_(-0.3, 0.3)
            norm.momentum = 1.0
            norm.train()
        network(peers.images(IMAGE_SIZES.get(family, 64), count=8).float())
        for norm in norms:
            norm.momentum = 0.1
    return network.eval()
