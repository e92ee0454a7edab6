"""Every family of torchvision at reduced size: the exported and the optimized file against the network."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from resnetx.verification.evaluation.evaluator import Evaluator
from tests.support.peers import shake
from tests.verification.evaluation.networks import batch, exported, optimized, relative, truth


def named(name: str, **options: object) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision import models

        network: nn.Module = getattr(models, name)(weights=None, num_classes=11, **options)
        return network

    return build


def vision_transformer() -> nn.Module:
    from torchvision.models import VisionTransformer

    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 64}
    return VisionTransformer(image_size=64, patch_size=16, num_classes=11, **sizes)


def swin(version: int) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision.models import swin_transformer as swin

        sizes = {"patch_size": [4, 4], "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": [4, 4]}
        if version == 2:
            sizes |= {"block": swin.SwinTransformerBlockV2, "downsample_layer": swin.PatchMergingV2}
        return swin.SwinTransformer(num_classes=11, **sizes)

    return build


def max_vit() -> nn.Module:
    from torchvision.models.maxvit import MaxVit

    sizes = {
        "stem_channels": 16,
        "block_channels": [16, 32],
        "block_layers": [1, 1],
        "head_dim": 16,
        "partition_size": 4,
    }
    return MaxVit(input_size=(64, 64), stochastic_depth_prob=0.1, num_classes=11, **sizes)


def conv_next() -> nn.Module:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return ConvNeXt([CNBlockConfig(16, 32, 2), CNBlockConfig(32, None, 2)], num_classes=11)


# Of AlexNet and VGG, the adaptive pools of 64x64 images can't be exported; `Mixture` has their layers.
FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "squeezenet": named("squeezenet1_1"),
    "resnet": named("resnet18"),
    "resnext": named("resnext50_32x4d"),
    "densenet": named("densenet121"),
    "googlenet": named("googlenet", aux_logits=False, init_weights=False),
    "inception": named("inception_v3", aux_logits=False, init_weights=False),
    "shufflenet": named("shufflenet_v2_x0_5"),
    "mobilenet v2": named("mobilenet_v2"),
    "mobilenet v3": named("mobilenet_v3_small"),
    "mnasnet": named("mnasnet0_5"),
    "efficientnet": named("efficientnet_b0"),
    "efficientnet v2": named("efficientnet_v2_s"),
    "regnet": named("regnet_y_400mf"),
    "convnext": conv_next,
    "vit": vision_transformer,
    "swin": swin(1),
    "swin v2": swin(2),
    "maxvit": max_vit,
}
# HardSigmoid's 1/6 is an attribute, which ONNX stores in float32.
LESS_EXACT = {"mobilenet v3": 1e-8}


@pytest.fixture(scope="module", autouse=True)
def torchvision_is_imported() -> None:
    """Before the tests: its first import sets a variable, which the check of each test would report."""
    importlib.import_module("torchvision.models")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family(family: str, tmp_path: Path) -> None:
    # torch's fused attention of inference can't be exported.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        torch.manual_seed(0)
        network = shake(FAMILIES[family]())
        for parameter in network.parameters():
            if not parameter.abs().max():  # a classifier of zeros hides everything
                nn.init.uniform_(parameter, -0.2, 0.2)
        for module in network.modules():
            if hasattr(module, "eps"):
                module.eps = 2.0**-17  # which float32 holds exactly
        size = 96 if family == "inception" else 64
        x = batch(2, size)
        wanted = truth(network, x)
        exact = exported(network.double(), size=size)
        assert relative(Evaluator(exact).run({"x": x})["y"], wanted) < LESS_EXACT.get(family, 1e-12)
        file = optimized(exported(network.float(), size=size), tmp_path, "ENABLE_EXTENDED")
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    assert relative(Evaluator(file).run({"x": x})["y"], wanted) < 2e-6
    noise = Evaluator(file, arithmetic="float32").run({"x": x})["y"]
    assert 0 < np.abs(noise - wanted).max() < 2e-5 * np.abs(wanted).max()
