"""Describes how pixels and logits are processed before and after the network (`deploy.py` implements it in torch)."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from resnetx.errors import UsageError

InputForm = Literal["none", "uint8"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
# A smaller share of a photograph is no use of it.
SMALLEST_CROP = 0.05
INPUT_FORMS: tuple[str, ...] = get_args(InputForm)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """A network's input from 8-bit pixels: y = (x * scale - mean) / std, channels in `order`.

    Photographs are resized with `interpolation` before, so that the network's square is `crop` of their shorter side.
    """

    order: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    crop: float = 0.875
    interpolation: Interpolation = "bilinear"


IMAGENET = Preprocessing()
# The preprocessing that keras.applications' ResNets were trained with: the original network's, without scaling.
CAFFE = Preprocessing(order="BGR", scale=1.0, mean=(103.939, 116.779, 123.68), std=(1.0, 1.0, 1.0))
UNIT = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def top_k(output: str) -> int:
    """The k of an output form `topK`, 0 for logits and probabilities."""
    match = re.fullmatch(r"top([1-9]\d*)", output)
    if match is None and output not in ("logits", "probabilities"):
        raise UsageError(f"There is no output form {output!r}: choose logits, probabilities, or topK such as top5.")
    return int(match.group(1)) if match else 0


def output_names(output: str) -> tuple[str, ...]:
    return ("indices", "scores") if top_k(output) else (output,)
