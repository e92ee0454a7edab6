"""Recognises other architectures by the names and shapes of their tensors, so that the error can name them."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from resnetx.errors import CheckpointError
from resnetx.model.layer_names import Layer, Naming
from resnetx.weights.untrusted import clip, listed

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]
BUILDS = "resnetx loads ResNets with basic or bottleneck blocks, a 7x7 stem and BatchNorm"
PRE_ACTIVATION = "a ResNet V2 (pre-activation), such as Keras's ResNet50V2 or timm's resnetv2_50"
# What stands for the path in the lines of code, until it is known.
FILE = "<weights>"
FROM_PYTHON = "Any other module is exported from Python, and verified in the same way:"
EXPORT = 'resnetx.export(network, "model.onnx", example=torch.zeros(1, 3, 224, 224))'

# The first pattern that matches any name wins, so the more specific ones come first. The last are the names in timm of
# such networks, "" for those that are no classifier by themselves.
BY_NAME: tuple[tuple[str, str, str, str], ...] = (
    (
        r"^layer\d+\.\d+\.(se|se_module|se_layer|eca|fc1)\.",
        "a ResNet with squeeze-and-excitation",
        "an attention module in a block",
        "seresnet50",
    ),
    (
        r"layer\d+\.\d+\.conv2\.(conv|fc1|attn|paths)",
        "a ResNeSt or SK-ResNet",
        "a split-attention convolution",
        "resnest50d",
    ),
    (r"layer\d+\.\d+\.(convs|bns)\.\d", "a Res2Net", "a block of several small convolutions", "res2net50_26w_4s"),
    (r"layer\d+\.\d+\.(aa|downsample\.0\.aa)\.", "a ResNet with anti-aliasing", "a blur filter", "resnetaa50"),
    (
        r"^conv1\.\d+\.",
        'a ResNet with a deep stem (such as timm\'s "c", "d", "s" and "t" variants)',
        "several stem layers",
        "resnet50d",
    ),
    (r"layer\d+\.\d+\.downsample\.2\.", 'a ResNet of timm\'s "d" variant', "a pooled shortcut", "resnet50d"),
    (r"stages\.\d+\.blocks\.\d+\.conv_dw|dwconv|layer_scale", "a ConvNeXt", "a depthwise convolution", "convnext_tiny"),
    (
        r"preact_bn|^post_bn|stages\.\d+\.blocks\.\d+\.norm\d|block\d/unit",
        PRE_ACTIVATION,
        "a norm before the convolution",
        "resnetv2_50",
    ),
    (
        r"(^|\.)(cls_token|pos_embed|class_token)|\.attn\.|self_attention|\.attention\.|patch_embed",
        "a vision transformer (ViT, DeiT, Swin)",
        "an attention layer",
        "vit_base_patch16_224",
    ),
    (
        r"conv_stem|_blocks\.\d|^blocks\.\d+\.\d+\.conv_(pw|dw)|^features\.\d+\.(conv|block|\d)",
        "a MobileNet or EfficientNet",
        "one of its blocks",
        "mobilenetv3_large_100",
    ),
    (r"denseblock|denselayer", "a DenseNet", "a dense block", "densenet121"),
    (r"^features\.\d+\.(weight|bias)$", "a VGG, AlexNet or SqueezeNet", "a flat list of layers", "vgg16"),
    (r"Mixed_|inception\d", "an Inception network", "an inception block", "inception_v3"),
    (r"trunk_output|^s\d\.b\d", "a RegNet", "one of its stages", "regnety_016"),
    (r"^visual\.|attnpool|text_projection", "a CLIP model", "an image tower", ""),
    (r"rpn|roi_heads|bbox|(^|\.)fpn", "a detector", "a detection head", ""),
    (
        r"^stages\.\d+\.|^stem\.",
        "another architecture of timm (ResNetV2, ConvNeXt, RegNet...)",
        "one of its stages",
        "convnext_tiny",
    ),
    (r"^base_model\.|lora_[AB]", "an adapter", "low-rank weights", ""),
    (
        r"^backbone\.|^encoder\.|^embedder\.",
        "the backbone of a larger model",
        "a backbone with no known classifier",
        "",
    ),
)


def refuse_foreign_names(tensors: "Mapping[str, Tensor]") -> None:
    """Raise an error that names the architecture, if the names belong to another one."""
    for pattern, what, why, timm_name in BY_NAME:
        for name, tensor in tensors.items():
            if re.search(pattern, name):
                raise another(f"this looks like {what}: {clip(name)} has shape {tuple(tensor.shape)}, {why}", timm_name)


def another(found: str, timm_name: str | None = None) -> CheckpointError:
    """The error for another architecture, which is exported from Python: it needs the code that builds it.

    `timm_name` is the name in timm of such a network; "" for what is no classifier by itself, None if unknown.
    """
    message = f"{found}; {BUILDS}."
    if timm_name == "":
        return CheckpointError(message)
    build = (
        f"network = build()  # the code that made {FILE}, which is loaded into it"
        if timm_name is None
        else f'network = timm.create_model("{timm_name}", checkpoint_path="{FILE}")  # under its own name in timm'
    )
    libraries = "resnetx, torch" if timm_name is None else "resnetx, timm, torch"
    return CheckpointError(message, code=(f"import {libraries}", build, EXPORT))


def refuse_foreign_shapes(names: Mapping[Layer, str], shapes: Mapping[Layer, Shape], naming: Naming) -> None:
    """Raise an error that names the architecture, if the shapes of the layers' weights belong to another one."""
    seen: dict[str, list[str]] = {}
    for layer in sorted(shapes, key=lambda layer: (layer.stage, layer.block, layer.k, layer.kind)):
        verdict = _foreign_layer(layer, shapes, naming)
        if verdict:
            what, why, timm_name = verdict
            seen.setdefault(what, []).append(f"{names[layer]} has shape {shapes[layer]}, {why}")
            # One odd block means a damaged file; another architecture differs in several. There is only one stem.
            if len(seen[what]) > 1 or layer.stage < 0:
                raise another(f"this looks like {what}: {seen[what][0]}", timm_name)


def _foreign_layer(layer: Layer, shapes: Mapping[Layer, Shape], naming: Naming) -> tuple[str, str, str | None] | None:
    shape = shapes[layer]
    if layer.kind == "bn":
        return _foreign_norm(layer, shapes)
    if layer.kind == "fc" or len(shape) != 4:
        return None
    if layer.stage < 0:
        if shape[2:] == (3, 3):
            return "a ResNet for small images (CIFAR)", "a 3x3 stem", None
        return ("a ResNet for images that are not RGB", f"{shape[1]} input channels", None) if shape[1] != 3 else None
    previous = shapes.get(replace(layer, k=layer.k - 1)) if layer.k > 1 else None
    if previous and shape[2:] == (3, 3) and shape[1] < previous[0] and previous[0] % max(shape[1], 1) == 0:
        return "a ResNeXt", "a grouped convolution", "resnext50_32x4d"
    # The textbook variant narrows blocks by design.
    if layer.k == 3 and naming != "original" and shape[0] != 4 * shape[1]:
        return "a Wide ResNet", "a block whose inner width is not a quarter of its output", "wide_resnet50_2"
    return None


def _foreign_norm(layer: Layer, shapes: Mapping[Layer, Shape]) -> tuple[str, str, str | None] | None:
    convolution = shapes.get(replace(layer, kind="conv"))
    if convolution is None or len(convolution) != 4:
        return None
    if shapes[layer] == convolution[1:2] != convolution[:1]:
        why = "the number of input channels of its convolution, not of output channels"
        return PRE_ACTIVATION, why, "resnetv2_50"
    return None


def unknown_names(tensors: "Mapping[str, Tensor]") -> CheckpointError:
    return another(
        f"none of its tensors has a name that torchvision, timm, Hugging Face, Keras or the original ResNets use; "
        f"it contains {listed(tensors)}"
    )
