"""Rebuilds the PyTorch network that a model card describes, and checks its digest."""

from pathlib import Path

from torch import nn

from resnetx.errors import ResnetxError, UsageError
from resnetx.graph.card import ModelCard
from resnetx.model.deploy import Deployed
from resnetx.model.initialization import initialize
from resnetx.model.network import build_network
from resnetx.weights.checkpoint import load_checkpoint, load_network, weights_sha256
from resnetx.weights.sources import resolve_source


def rebuild(card: ModelCard, *, weights: str | None = None) -> Deployed:
    """The network of `card` with its weights: from `weights`, from the card's source, or from its seed."""
    assert card.config is not None
    source = weights or card.weights.source
    network = _from_seed(card) if source is None else _from_source(card, source, given=weights is not None)
    digest = weights_sha256(network)
    if digest != card.weights.sha256:
        raise UsageError(
            f"The weights {'from seed ' + str(card.weights.seed) if source is None else source} are not those of the "
            f"model: their digest is {digest[:12]}..., but its card has {card.weights.sha256[:12]}.... Give the "
            "checkpoint that the model was exported from with --weights."
        )
    return Deployed(network, card.preprocessing if card.input == "uint8" else None, card.output).eval()


def _from_seed(card: ModelCard) -> nn.Module:
    assert card.config is not None
    network = build_network(card.config, image_size=card.image_size)
    initialize(network, card.weights.seed or 0)
    return network


def _from_source(card: ModelCard, source: str, *, given: bool) -> nn.Module:
    assert card.config is not None
    if not given and "://" not in source and not Path(source).exists():
        raise UsageError(
            f"The model was exported from {source}, which does not exist here. Give those weights with --weights, "
            "or verify with --golden."
        )
    try:
        checkpoint = load_checkpoint(
            resolve_source(source).path, variant=card.config.variant, image_size=card.image_size
        )
    except UsageError as error:
        raise ResnetxError(f"The model cannot have been exported from the weights {source}: {error}") from error
    head = card.config.classes if card.weights.new_head else None
    return load_network(checkpoint, image_size=card.image_size, new_head_classes=head, seed=card.weights.seed or 0)
