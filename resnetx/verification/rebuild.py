"""Rebuilds the PyTorch network that a model card describes, and checks its digest."""

import stat
from pathlib import Path

from torch import nn

from resnetx.base.text import readable
from resnetx.errors import ResnetxError, UsageError
from resnetx.graph.card import ModelCard
from resnetx.model.deploy import Deployed
from resnetx.model.initialization import initialize
from resnetx.model.network import build_network
from resnetx.verification.card_check import Origin
from resnetx.weights.checkpoint import load_checkpoint, load_network, weights_sha256
from resnetx.weights.sources import is_remote, resolve_source


def rebuild(card: ModelCard, *, weights: str | None = None) -> Deployed:
    """The network of `card` with its weights: from `weights`, from the card's source, or from its seed."""
    return rebuild_with_origin(card, weights=weights)[0]


def rebuild_with_origin(card: ModelCard, *, weights: str | None = None) -> tuple[Deployed, Origin | None]:
    """Also what the checkpoint says itself, if there is one."""
    assert card.config is not None
    source = weights or card.weights.source
    network: nn.Module
    network, origin = _from_source(card, source, given=weights is not None) if source else (_from_seed(card), None)
    digest = weights_sha256(network)
    if digest != card.weights.sha256:
        raise UsageError(
            f"The weights {'from seed ' + str(card.weights.seed) if source is None else source} are not those of the "
            f"model: their digest is {digest[:12]}..., but its card has {card.weights.sha256[:12]}.... Give the "
            "checkpoint that the model was exported from with --weights."
        )
    deployed = Deployed(network, card.preprocessing if card.input == "uint8" else None, card.output).eval()
    return deployed, origin


def _from_seed(card: ModelCard) -> nn.Module:
    assert card.config is not None
    network = build_network(card.config, image_size=card.image_size)
    initialize(network, card.weights.seed or 0)
    return network


def _require_local_file(source: str) -> None:
    """A card may come from anyone: it may name a file here, but it may not cause a request to any host."""
    shown = readable(source)
    if is_remote(source):
        raise UsageError(
            f"The model's card says that its weights are at {shown}, and a file may not make resnetx contact a host. "
            f"If you trust that address, give it yourself with `resnetx verify --weights`, or verify with --golden."
        )
    try:
        path = Path(source)
        kind = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The model was exported from {shown}, which does not exist here. Give those weights with --weights, "
            "or verify with --golden."
        ) from error
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise UsageError(
            f"The model's card says that its weights are at {shown}, which is no regular file: nothing is read from "
            "it. Give the weights with --weights, or verify with --golden."
        )


def _from_source(card: ModelCard, source: str, *, given: bool) -> tuple[nn.Module, Origin]:
    assert card.config is not None
    if not given:
        _require_local_file(source)
    try:
        checkpoint = load_checkpoint(
            resolve_source(source).path, variant=card.config.variant, image_size=card.image_size
        )
    except UsageError as error:
        raise ResnetxError(f"The model cannot have been exported from the weights {source}: {error}") from error
    head = card.config.classes if card.weights.new_head else None
    seed = card.weights.seed or 0
    network = load_network(checkpoint, image_size=card.image_size, new_head_classes=head, seed=seed)
    labels = None if card.weights.new_head else checkpoint.labels
    return network, Origin(preprocessing=checkpoint.preprocessing, labels=labels)
