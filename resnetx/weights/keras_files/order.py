"""Names the layers of a Keras weight file that has only class counters, by the layer order of keras.applications."""

import re
from collections.abc import Mapping

from resnetx.errors import CheckpointError
from resnetx.weights.other_architectures import BUILDS, PRE_ACTIVATION

Shape = tuple[int, ...]
ORDER_MATTERS = "Save it as .keras, or with a newer Keras, which writes the layers' names."


def name_counted_layers(layers: Mapping[str, Mapping[str, Shape]]) -> dict[str, str]:
    """`conv2d_5` to `conv2_block2_1_conv`, from the order and the shapes of the convolutions."""
    convolutions = _in_order(layers, "conv2d")
    norms = _in_order(layers, "batch_normalization")
    others = [name for name in layers if name not in convolutions and name not in norms]
    if len(others) != 1 or not others[0].startswith("dense"):
        raise CheckpointError(f"its layers are not those of a ResNet with one dense classifier. {ORDER_MATTERS}")
    kernels = [layers[name].get("kernel", ()) for name in convolutions]
    if not kernels or any(len(kernel) != 4 for kernel in kernels):
        raise CheckpointError(f"its convolutions are not those of a ResNet. {ORDER_MATTERS}")
    if len(convolutions) != len(norms):
        raise CheckpointError(
            f"it has {len(convolutions)} convolutions and {len(norms)} BatchNorms; a ResNet has one after each. "
            f"This may be {PRE_ACTIVATION}; {BUILDS}."
        )
    places = _places(kernels)
    return {
        **{name: f"{place}_conv" for name, place in zip(convolutions, places, strict=True)},
        **{name: f"{place}_bn" for name, place in zip(norms, places, strict=True)},
        others[0]: "predictions",
    }


def _in_order(layers: Mapping[str, object], kind: str) -> list[str]:
    counted = {name: re.fullmatch(rf"{kind}(?:_(\d{{1,6}}))?", name) for name in layers}
    found = {name: int(match.group(1) or 0) for name, match in counted.items() if match}
    return sorted(found, key=lambda name: found[name])


def _places(kernels: list[Shape]) -> list[str]:
    """Names of the convolutions in the order of keras/src/applications/resnet.py: 1, 2, (shortcut,) 3, block by block.

    The functional model lists the shortcut before the third because both are equally far from the output.
    """
    places, stage, block, at, channels = ["conv1"], 1, 1, 1, kernels[0][3]
    while at < len(kernels):
        starts_stage = kernels[at][2:] != (channels, channels // 4) or stage == 1
        stage, block = (stage + 1, 1) if starts_stage else (stage, block + 1)
        order = (1, 2, 0, 3) if starts_stage else (1, 2, 3)
        places += [f"conv{stage}_block{block}_{k}" for k in order]
        at += len(order)
        channels = kernels[min(at, len(kernels)) - 1][3]
    if at != len(kernels):
        raise CheckpointError(f"its convolutions are not in the order of keras.applications' ResNets. {ORDER_MATTERS}")
    return places
