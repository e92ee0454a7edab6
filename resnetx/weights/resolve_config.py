"""Determines what the weights of a checkpoint don't show (strides, epsilons, pooling), and lists the assumptions."""

import math
from dataclasses import replace

from resnetx.errors import CheckpointError, UsageError
from resnetx.model.config import ResNetConfig, Variant
from resnetx.model.layer_names import CLASSIFIER, Layer
from resnetx.weights.huggingface import ModelFolder
from resnetx.weights.readers.raw import RawCheckpoint
from resnetx.weights.recognise import Structure

KERAS_BN_EPS = 1.001e-5  # keras/src/applications/resnet.py
TEXTBOOK_BN_EPS = 1e-3

Resolved = tuple[ResNetConfig, tuple[str, ...]]


def resolve_config(
    found: Structure,
    raw: RawCheckpoint,
    folder: ModelFolder | None,
    *,
    variant: Variant | None,
    image_size: int | None,
) -> Resolved:
    """The config of a recognised checkpoint, and the assumptions made for it."""
    try:
        if found.naming == "original":
            return _textbook(found, raw, variant, image_size)
        return _residual(found, raw, folder, variant)
    except UsageError as error:
        # The options were checked before, so the invalid value comes from the file.
        raise CheckpointError(str(error)) from error


def _residual(found: Structure, raw: RawCheckpoint, folder: ModelFolder | None, variant: Variant | None) -> Resolved:
    if variant == "textbook":
        raise CheckpointError(
            f"it has {found.naming} names, but the textbook variant is a different network (biases, narrower blocks, "
            "other pooling), which these weights don't fit; choose --variant v1.5 or v1, or leave it out."
        )
    chosen, assumed = _variant(found, raw, folder, variant)
    bn_eps = 1e-5
    if found.naming == "keras":
        bn_eps = KERAS_BN_EPS if raw.bn_eps is None else raw.bn_eps
        if raw.bn_eps is None:
            assumed = (*assumed, f"a BatchNorm epsilon of {KERAS_BN_EPS}, from the keras naming")
    return _config(found, variant=chosen, bn_eps=bn_eps), assumed


def _variant(
    found: Structure, raw: RawCheckpoint, folder: ModelFolder | None, variant: Variant | None
) -> tuple[Variant, tuple[str, ...]]:
    """The variant that the user chose, else that of the file, else the default of the naming."""
    chosen = variant or raw.variant or (folder.variant if folder else None)
    if chosen is not None:
        return chosen, ()
    if found.block == "basic":
        return "v1.5", ()  # the same network as v1
    if found.naming == "keras":
        return "v1", ("v1 (stride on the first 1x1), from the keras naming; --variant overrides",)
    return "v1.5", (f"v1.5 (stride on the 3x3), from the {found.naming} naming; --variant overrides",)


def _textbook(found: Structure, raw: RawCheckpoint, variant: Variant | None, image_size: int | None) -> Resolved:
    if variant not in (None, "textbook"):
        raise CheckpointError(
            f"it has the original network's names, whose biases and pooling only the textbook variant has; "
            f"leave --variant {variant} out."
        )
    config = _config(found, variant="textbook", bn_eps=TEXTBOOK_BN_EPS if raw.bn_eps is None else raw.bn_eps)
    last = len(found.stages) - 1
    narrow = found.shapes.get(Layer("conv", last, 1, 1)) if last > 0 else None
    if narrow and narrow[0] % found.width == 0:
        config = replace(config, last_identity_multiple=narrow[0] // found.width)
    size = image_size or config.image_size
    pool = _pool(found, size)
    assumed = [f"the textbook variant for images of {size}x{size}, from the original naming"]
    if raw.bn_eps is None:
        assumed.append(f"a BatchNorm epsilon of {TEXTBOOK_BN_EPS}, from the original naming")
    if pool == 0:
        assumed.append("a global average pooling, because the classifier takes one input per channel")
    return replace(config, avg_pool=pool), tuple(assumed)


def _pool(found: Structure, size: int) -> int:
    """The window of the last pooling that fits the classifier's inputs: 2, or 0 for the whole map."""
    channels = found.width * 2 ** (len(found.stages) - 1) * 4
    inputs = found.shapes[CLASSIFIER][1]
    if inputs == channels and size != 64:
        return 0
    side = _last_side(size, len(found.stages))
    if inputs == channels * (side // 2) ** 2 > 0:
        return 2
    # With few stages or small images a 2x2 window does not fit, but global pooling does.
    if inputs == channels:
        return 0
    pooled = math.isqrt(inputs // channels)
    if pooled**2 * channels == inputs and inputs:
        raise CheckpointError(
            f"its classifier takes {pooled}x{pooled} pixels of {channels} channels, but images of {size}x{size} "
            f"give {side // 2}x{side // 2}; set --image-size to the size that it was trained with."
        )
    raise CheckpointError(
        f"its classifier takes {inputs} inputs, which don't form a square of pixels with {channels} channels."
    )


def _last_side(size: int, stages: int) -> int:
    """The side of the last feature map, as `TextbookResNet` computes it."""
    side = ((size - 1) // 2 + 1 - 3) // 2 + 1
    for _ in range(stages - 1):
        side = (side - 1) // 2 + 1
    return side


def _config(found: Structure, *, variant: Variant, bn_eps: float) -> ResNetConfig:
    return ResNetConfig(
        block=found.block,
        stages=found.stages,
        variant=variant,
        width=found.width,
        classes=found.classes,
        bn_eps=bn_eps,
    )
