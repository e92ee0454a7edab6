"""Other libraries' ResNets with random weights, BatchNorm statistics in which a wrong fold shows, and no network.

torchvision stands here without its compiled operators; it imports once the two that it extends are declared.
"""

import math
import os
from pathlib import Path
from typing import Any

# Keras takes its backend at import.
os.environ.setdefault("KERAS_BACKEND", "torch")

import torch
from torch import Tensor, nn

Library = torch.library.Library


def declare_torchvision_operators() -> Library | None:
    """Give torchvision the operators it extends on import, unless its own are there."""
    if hasattr(torch.ops.torchvision, "nms"):
        return None
    library = Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


# For as long as this module lives: transformers and timm import torchvision where they find it.
OPERATORS = declare_torchvision_operators()


@torch.no_grad()
def shake(network: nn.Module, seed: int = 1) -> nn.Module:
    """Statistics and scales away from their defaults, small enough at the end of each block to stay in range."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            for tensor, low, high in (
                (module.weight, 0.4, 0.9),
                (module.bias, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.6, 1.4),
            ):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)
    return network.eval()


def images(size: int = 64, count: int = 2, seed: int = 7) -> Tensor:
    """Smooth images in float64, which lie closer to photographs than noise does."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, 5, 5), generator=generator, dtype=torch.float64) * 4 - 2
    return nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")


@torch.no_grad()
def logits(network: nn.Module, batch: Tensor) -> Tensor:
    """In float64, whatever the network was."""
    out = network.double().eval()(batch.double())
    return out.logits if hasattr(out, "logits") else out


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a part of the largest value."""
    assert found.shape == wanted.shape and math.isfinite(wanted.abs().max()) and wanted.std() > 1e-6
    return float((found.double() - wanted.double()).abs().max() / wanted.double().abs().max())


def torchvision_resnet(depth: int, classes: int = 11) -> nn.Module:
    from torchvision.models import resnet

    torch.manual_seed(depth)
    return shake(getattr(resnet, f"resnet{depth}")(weights=None, num_classes=classes))


def timm_model(name: str, classes: int = 11) -> nn.Module:
    import timm

    torch.manual_seed(1)
    model: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes)
    return shake(model)


def huggingface_resnet(depth: int, classes: int = 11, **changes: Any) -> nn.Module:
    from transformers import ResNetConfig, ResNetForImageClassification

    shape: dict[str, Any] = {
        18: {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512]},
        50: {"layer_type": "bottleneck", "depths": [3, 4, 6, 3]},
    }[depth]
    torch.manual_seed(depth)
    return shake(ResNetForImageClassification(ResNetConfig(num_labels=classes, **shape | changes)))


def keras_resnet(depth: int, classes: int = 11) -> Any:
    """With logits as its output, for images of 64x64."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(depth)
    build = getattr(keras.applications, f"ResNet{depth}")
    model = build(weights=None, classes=classes, input_shape=(64, 64, 3), classifier_activation=None)
    rng = np.random.default_rng(depth)
    ranges = {"gamma": (0.4, 0.9), "beta": (-0.2, 0.2), "moving_mean": (-0.2, 0.2), "moving_variance": (0.6, 1.4)}
    for layer in model.layers:
        for variable in layer.weights:
            low, high = ranges.get(variable.name, (-0.2, 0.2))
            if variable.name != "kernel":
                variable.assign(rng.uniform(low, high, variable.shape).astype("float32"))
    return model


@torch.no_grad()
def keras_logits(model: Any, batch: Tensor) -> Tensor:
    return torch.as_tensor(model(batch.permute(0, 2, 3, 1).float().numpy(), training=False)).cpu()


def save_keras_legacy_weights(model: Any, path: Path) -> None:
    """As Keras 2's `save_weights` wrote them."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
