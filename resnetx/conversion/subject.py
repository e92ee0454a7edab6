"""The subject of an export: a network in deployed form, an example input, and its card."""

import importlib.metadata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from resnetx import __version__
from resnetx.errors import UsageError
from resnetx.graph.card import ModelCard, Weights
from resnetx.model.config import Block, ResNetConfig, Variant, resnet_config
from resnetx.model.deploy import Deployed
from resnetx.model.initialization import initialize
from resnetx.model.labels import imagenet_labels, read_labels
from resnetx.model.network import build_network
from resnetx.model.preprocessing import IMAGENET, INPUT_FORMS, UNIT, InputForm, output_names, top_k
from resnetx.weights.checkpoint import load_checkpoint, load_network, weights_sha256
from resnetx.weights.sources import Progress, resolve_source

MAX_IMAGE_SIZE = 8192


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A module in evaluation mode on the CPU, in float32.

    `outputs` are None where a run of the module is to name them. `free` are the names of each input's free dimensions,
    apart from the batch; empty if no input has any.
    """

    module: nn.Module
    example: tuple[Tensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...] | None
    card: ModelCard
    free: tuple[Mapping[int, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The requested network; None leaves a value to the weights, or to the default without weights."""

    depth: int | None = None
    stages: tuple[int, ...] | None = None
    width: int | None = None
    block: Block | None = None
    variant: Variant | None = None
    plain: bool = False
    classes: int | None = None
    last_filters: int | None = None

    def config(self) -> ResNetConfig:
        width = self.width or 64
        if self.last_filters is not None and (self.variant != "textbook" or self.last_filters % width):
            raise UsageError(
                f"The last stage's identity blocks cannot have {self.last_filters} filters: this needs "
                f"--variant textbook and a multiple of the width, such as {4 * width} or {8 * width}."
            )
        return resnet_config(
            self.depth,
            stages=self.stages,
            width=self.width,
            block=self.block,
            variant=self.variant,
            plain=self.plain,
            classes=self.classes,
            last_identity_multiple=None if self.last_filters is None else self.last_filters // width,
        )

    def check(self, config: ResNetConfig, *, new_head: bool) -> None:
        """Raise if the requested network contradicts the weights, which define it."""
        asked_and_found = {
            "--depth": (self.depth, config.depth),
            "--stages": (self.stages, config.stages),
            "--width": (self.width, config.width),
            "--block": (self.block, config.block),
            "--classes": (None if new_head else self.classes, config.classes),
            "--plain": (self.plain or None, config.plain),
            "--textbook-last-filters": (self.last_filters, config.last_identity_multiple * config.width),
        }
        for option, (asked, found) in asked_and_found.items():
            if asked is not None and asked != found:
                hint = " Add --new-head to start a new classifier on their body." if option == "--classes" else ""
                raise UsageError(
                    f"{option} {_spelled(asked)} was requested, but the weights are {config.name} with "
                    f"{config.classes} classes ({option[2:]} {_spelled(found)}). Leave the option out.{hint}"
                )


def _spelled(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def resnet_subject(
    asked: Wanted | ResNetConfig,
    *,
    weights: str | Path | None = None,
    new_head: bool = False,
    labels: Path | None = None,
    image_size: int | None = None,
    preprocess: str = "none",
    output: str | None = None,
    seed: int = 0,
    download: Progress | None = None,
) -> Subject:
    """A ResNet or plain network: the requested one with weights from `seed`, or the one in a checkpoint."""
    if preprocess not in INPUT_FORMS:
        raise UsageError(f"There is no input form {preprocess!r}: choose {' or '.join(INPUT_FORMS)}.")
    if image_size is not None and not 32 <= image_size <= MAX_IMAGE_SIZE:
        raise UsageError(f"Images of {image_size}x{image_size} cannot be exported: choose 32 to {MAX_IMAGE_SIZE}.")
    preprocessing, names = None, None
    if weights is None:
        if new_head:
            raise UsageError("--new-head keeps the body of a checkpoint, but none was given; add --weights.")
        config = asked.config() if isinstance(asked, Wanted) else asked
        network = build_network(config, image_size=image_size)
        initialize(network, seed)
        origin = Weights(sha256=weights_sha256(network), seed=seed)
    else:
        if isinstance(asked, ResNetConfig):
            raise UsageError("Both a config and weights were given, but the weights define the network. Give one.")
        source = resolve_source(str(weights), progress=download)
        checkpoint = load_checkpoint(source.path, variant=asked.variant, image_size=image_size)
        asked.check(checkpoint.config, new_head=new_head)
        head = (asked.classes or checkpoint.config.classes) if new_head else None
        network = load_network(checkpoint, image_size=image_size, new_head_classes=head, seed=seed)
        config = replace(checkpoint.config, classes=head or checkpoint.config.classes)
        origin = Weights(
            sha256=weights_sha256(network),
            source=source.description,
            seed=seed if new_head else None,
            naming=checkpoint.naming,
            assumed=checkpoint.assumed,
            new_head=new_head,
        )
        preprocessing = checkpoint.preprocessing
        names = None if new_head else checkpoint.labels
    if labels is not None:
        names = read_labels(labels, config.classes)
    elif names is None and config.classes == 1000 and not new_head:
        names = imagenet_labels()

    size = image_size or config.image_size
    if output is None:
        output = "probabilities" if config.variant == "textbook" else "logits"
    if top_k(output) > config.classes:
        raise UsageError(f"{output} was requested, but the network has {config.classes} classes; request fewer.")
    preprocessing = preprocessing or (UNIT if config.variant == "textbook" else IMAGENET)
    pixels = preprocess == "uint8"
    shape, dtype = ((2, size, size, 3), torch.uint8) if pixels else ((2, 3, size, size), torch.float32)
    card = ModelCard(
        architecture=config.name,
        config=config,
        weights=origin,
        image_size=size,
        classes=config.classes,
        labels=names,
        preprocessing=preprocessing,
        input=cast(InputForm, preprocess),
        output=output,
        tools=tool_versions(),
    )
    return Subject(
        module=Deployed(network, preprocessing if pixels else None, output).eval(),
        example=(torch.zeros(shape, dtype=dtype),),
        inputs=("input",),
        outputs=output_names(output),
        card=card,
    )


def tool_versions() -> dict[str, str]:
    """The versions of the installed packages; the version of resnetx is known without its package metadata."""
    versions = {"resnetx": __version__}
    for name in ("torch", "onnx", "onnxscript", "onnxsim"):
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
