"""Recognises other architectures by the names and shapes of their tensors, so that the error can name them."""

import re
from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from resnetx.model.layer_names import Layer, Naming
from resnetx.weights.untrusted import clip, listed

Shape = tuple[int, ...]
BUILDS = "resnetx supports ResNets with basic or bottleneck blocks, a 7x7 stem and BatchNorm"

# The first pattern that matches any name wins, so the more specific ones come first.
BY_NAME: tuple[tuple[str, str, str], ...] = (
    (
        r"^layer\d+\.\d+\.(se|se_module|se_layer|eca|fc1)\.",
        "a ResNet with squeeze-and-excitation",
        "an attention module in a block",
    ),
    (r"layer\d+\.\d+\.conv2\.(conv|fc1|attn|paths)", "a ResNeSt or SK-ResNet", "a split-attention convolution"),
    (r"layer\d+\.\d+\.(convs|bns)\.\d", "a Res2Net", "a block of several small convolutions"),
    (r"layer\d+\.\d+\.(aa|downsample\.0\.aa)\.", "a ResNet with anti-aliasing", "a blur filter"),
    (
        r"^conv1\.\d+\.",
        'a ResNet with a deep stem (such as timm\'s "c", "d", "s" and "t" variants)',
        "several stem layers",
    ),
    (r"layer\d+\.\d+\.downsample\.2\.", 'a ResNet of timm\'s "d" variant', "a pooled shortcut"),
    (r"stages\.\d+\.blocks\.\d+\.conv_dw|dwconv|layer_scale", "a ConvNeXt", "a depthwise convolution"),
    (
        r"preact_bn|^post_bn|stages\.\d+\.blocks\.\d+\.norm\d|block\d/unit",
        "a pre-activation ResNet (v2)",
        "a norm before the convolution",
    ),
    (
        r"(^|\.)(cls_token|pos_embed|class_token)|\.attn\.|self_attention|\.attention\.|patch_embed",
        "a vision transformer (ViT, DeiT, Swin)",
        "an attention layer",
    ),
    (
        r"conv_stem|_blocks\.\d|^blocks\.\d+\.\d+\.conv_(pw|dw)|^features\.\d+\.(conv|block|\d)",
        "a MobileNet or EfficientNet",
        "one of its blocks",
    ),
    (r"denseblock|denselayer", "a DenseNet", "a dense block"),
    (r"^features\.\d+\.(weight|bias)$", "a VGG, AlexNet or SqueezeNet", "a flat list of layers"),
    (r"Mixed_|inception\d", "an Inception network", "an inception block"),
    (r"trunk_output|^s\d\.b\d", "a RegNet", "one of its stages"),
    (r"^visual\.|attnpool|text_projection", "a CLIP model", "an image tower"),
    (r"rpn|roi_heads|bbox|(^|\.)fpn", "a detector", "a detection head"),
    (r"^stages\.\d+\.|^stem\.", "another architecture of timm (ResNetV2, ConvNeXt, RegNet...)", "one of its stages"),
    (r"^base_model\.|lora_[AB]", "an adapter", "low-rank weights"),
    (r"^backbone\.|^encoder\.|^embedder\.", "the backbone of a larger model", "a backbone with no known classifier"),
)


def foreign_by_name(tensors: Mapping[str, Tensor]) -> str | None:
    """A sentence with the architecture that the names belong to, or None."""
    for pattern, what, why in BY_NAME:
        for name, tensor in tensors.items():
            if re.search(pattern, name):
                return f"this looks like {what}: {clip(name)} has shape {tuple(tensor.shape)}, {why}; {BUILDS}."
    return None


def foreign_by_shape(names: Mapping[Layer, str], shapes: Mapping[Layer, Shape], naming: Naming) -> str | None:
    """A sentence with the architecture that the shapes of the layers' weights belong to, or None."""
    seen: dict[str, list[str]] = {}
    for layer in sorted(shapes, key=lambda layer: (layer.stage, layer.block, layer.k, layer.kind)):
        verdict = _foreign_layer(layer, shapes, naming)
        if verdict:
            what, why = verdict
            seen.setdefault(what, []).append(f"{names[layer]} has shape {shapes[layer]}, {why}")
            # One odd block means a damaged file; another architecture differs in several. There is only one stem.
            if len(seen[what]) > 1 or layer.stage < 0:
                return f"this looks like {what}: {seen[what][0]}; {BUILDS}."
    return None


def _foreign_layer(layer: Layer, shapes: Mapping[Layer, Shape], naming: Naming) -> tuple[str, str] | None:
    shape = shapes[layer]
    if layer.kind == "bn":
        return _foreign_norm(layer, shapes)
    if layer.kind == "fc" or len(shape) != 4:
        return None
    if layer.stage < 0:
        if shape[2:] == (3, 3):
            return "a ResNet for small images (CIFAR)", "a 3x3 stem"
        return ("a ResNet for images that are not RGB", f"{shape[1]} input channels") if shape[1] != 3 else None
    previous = shapes.get(replace(layer, k=layer.k - 1)) if layer.k > 1 else None
    if previous and shape[2:] == (3, 3) and shape[1] < previous[0] and previous[0] % max(shape[1], 1) == 0:
        return "a ResNeXt", "a grouped convolution"
    # The textbook variant narrows blocks by design.
    if layer.k == 3 and naming != "original" and shape[0] != 4 * shape[1]:
        return "a Wide ResNet", "a block whose inner width is not a quarter of its output"
    return None


def _foreign_norm(layer: Layer, shapes: Mapping[Layer, Shape]) -> tuple[str, str] | None:
    convolution = shapes.get(replace(layer, kind="conv"))
    if convolution is None or len(convolution) != 4:
        return None
    if shapes[layer] == convolution[1:2] != convolution[:1]:
        return "a pre-activation ResNet (v2)", "the number of input channels of its convolution, not of output channels"
    return None


def unknown_names(tensors: Mapping[str, Tensor]) -> str:
    return (
        f"none of its tensors has a name that torchvision, timm, Hugging Face, Keras or the original ResNets use; "
        f"it contains {listed(tensors)}. {BUILDS[0].upper()}{BUILDS[1:]}."
    )
