"""Reads from a Keras model's configuration what its weights don't contain: layer names, strides and epsilons."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from resnetx.errors import CheckpointError
from resnetx.model.config import Variant
from resnetx.model.layer_names import parse_layer
from resnetx.weights.other_architectures import BUILDS, PRE_ACTIVATION
from resnetx.weights.untrusted import clip, listed


@dataclass(frozen=True, kw_only=True)
class KerasConfig:
    """`names` maps a class counter (`conv2d_12`) to the layer's name."""

    names: dict[str, str] = field(default_factory=dict)
    bn_eps: float | None = None
    variant: Variant | None = None


NO_CONFIG = KerasConfig()


def read_config(text: str) -> KerasConfig:
    """Read a model's configuration; code that it refers to is not run."""
    try:
        layers = [_layer(entry) for entry in json.loads(text)["config"]["layers"]]
        _refuse_pre_activation(layers)
        names = _counted_names(layers)
        epsilons = {float(options["epsilon"]) for kind, _, options in layers if kind == "BatchNormalization"}
        variant = _variant(layers)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(
            f"its Keras configuration is not a valid model of layers ({type(error).__name__}: {clip(error)}); "
            "save the model again, or its weights alone with `save_weights`."
        ) from error
    if len(epsilons) > 1:
        raise CheckpointError(
            f"its BatchNorms have different epsilons ({listed(map(str, sorted(epsilons)))}); resnetx supports one only."
        )
    return KerasConfig(names=names, bn_eps=next(iter(epsilons), None), variant=variant)


def _layer(entry: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    return str(entry["class_name"]), str(entry["config"]["name"]), dict(entry["config"])


def _refuse_pre_activation(layers: list[tuple[str, str, dict[str, Any]]]) -> None:
    norm = next((name for _, name, _ in layers if name == "post_bn" or name.endswith("_preact_bn")), None)
    if norm is not None:
        raise CheckpointError(
            f"this is {PRE_ACTIVATION}: its layer {clip(norm)} normalizes before a convolution; {BUILDS}."
        )


def _counted_names(layers: list[tuple[str, str, dict[str, Any]]]) -> dict[str, str]:
    seen: Counter[str] = Counter()
    names: dict[str, str] = {}
    for kind, name, _ in layers:
        counter = _snake_case(kind)
        names[f"{counter}_{seen[counter]}" if seen[counter] else counter] = name
        seen[counter] += 1
    return names


def _snake_case(name: str) -> str:
    """The same as `to_snake_case` in keras/src/utils/naming.py."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _variant(layers: list[tuple[str, str, dict[str, Any]]]) -> Variant | None:
    """The variant, from which convolution is strided in the first blocks of the later stages; None if unknown."""
    strided: set[int] = set()
    for kind, name, options in layers:
        place = parse_layer(name, "keras") if kind == "Conv2D" else None
        if place and place.stage > 0 and place.k > 0 and tuple(options["strides"]) != (1, 1):
            if place.block or tuple(options["strides"]) != (2, 2) or place.k == 3:
                raise CheckpointError(f"{clip(name)} has stride {options['strides']}, but ResNets have none there.")
            strided.add(place.k)
    if len(strided) > 1:
        raise CheckpointError(
            "some of its blocks stride the 1x1 convolution and some the 3x3; resnetx supports no mix of both."
        )
    return {1: "v1", 2: "v1.5"}.get(next(iter(strided), 0))  # type: ignore[return-value]
