"""Keeps an existing file of another network: what stands at a target is looked at before a model replaces it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnetx.base.files import replaced_file, require_writable, whole_file
from resnetx.errors import GraphError, ResnetxError, UsageError
from resnetx.graph.card import SOURCE_KEY, ModelCard, metadata, read_card
from resnetx.graph.reading.onnx_file import OnnxFile, read_onnx
from resnetx.verification.golden import read_golden


def made_from(file: OnnxFile) -> str:
    """The digest of the file that this one was first made from, or its own: it tells networks without cards apart."""
    return metadata(file.model).get(SOURCE_KEY, file.digest)


def require_target(target: Path, card: ModelCard | None, *, source: str = "", force: bool) -> None:
    """Fail now if a model with this card cannot be written to `target`, or would replace another network's file.

    Without a card, its network is that of `source`, as `made_from` gives it.
    """
    require_writable(target)
    old = None if force else replaced_file(target)
    found = None if old is None else _difference(old, card, source)
    if found is not None:
        raise _kept(target, found)


def require_golden_target(target: Path, card: ModelCard, *, force: bool) -> None:
    """The same for a golden bundle, which names its network."""
    require_writable(target)
    old = None if force else replaced_file(target)
    if old is None:
        return
    try:
        known = read_golden(old).about.architecture
    except ResnetxError:
        raise _kept(target, "it is no golden bundle") from None
    if known != card.architecture:
        raise _kept(target, f"it is the golden bundle of {known or 'an unknown network'}, not of {card.architecture}")


@contextmanager
def whole_model(target: Path, card: ModelCard | None, *, source: str = "", force: bool) -> Iterator[Path]:
    """Like `whole_file`; what somebody may have put there meanwhile is looked at again before it is replaced."""
    with whole_file(target) as temporary:
        yield temporary
        if temporary.exists():
            require_target(target, card, source=source, force=force)


def _kept(target: Path, found: str) -> UsageError:
    return UsageError(
        f"{target} exists, and {found}. It was not replaced: write to another file, or replace it with --force."
    )


def _difference(old: Path, card: ModelCard | None, source: str) -> str | None:
    """Why the file is not known to be of the network of `card`, or made from the same `source`; None if it is."""
    try:
        model = read_onnx(old)
    except ResnetxError:
        return "it is no ONNX file that can be read"
    known = None
    with suppress(GraphError):
        known = read_card(model)
    if known is None and card is None and SOURCE_KEY in metadata(model):
        return None if metadata(model)[SOURCE_KEY] == source else "it was made from another file"
    if known is None:
        return "it has no readable model card, which would tell its network"
    if card is None or not _same_network(known, card):
        wanted = "the network of the source, which has no model card" if card is None else _in_words(card)
        return f"it is {_in_words(known)}, not {wanted}"
    return None


def _same_network(old: ModelCard, new: ModelCard) -> bool:
    """Whether the new file is the old one made again: the same architecture, with weights that are as valuable.

    Random weights are made again from their seed; those of a checkpoint give way only to those of the same checkpoint.
    """
    if (old.architecture, old.classes, old.config) != (new.architecture, new.classes, new.config):
        return False
    return old.weights.source in (None, new.weights.source) or old.weights.sha256 == new.weights.sha256


def _in_words(card: ModelCard) -> str:
    """`ResNet-50 v1.5 with 6 classes and weights from w.pt`."""
    weights, classes = card.weights, f" with {card.classes} classes" if card.classes else ""
    origin = weights.source or (None if weights.seed is None else f"seed {weights.seed}")
    return f"{card.architecture}{classes}{f' and weights from {origin}' if origin else ''}"
