"""Reads the card of an untrusted file; a card that cannot be read is reported, not fatal."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto

from resnetx.base.text import readable
from resnetx.base.validation import InvalidDataError, object_of, parse_json, validated
from resnetx.graph.card import CARD_KEY, MAX_CHARACTERS, PARITY_KEY, SCHEMA, metadata
from resnetx.model.config import ResNetConfig
from resnetx.model.layer_names import original_name, parse_layer

MAX_DEPTH = 16
# What ONNX Runtime's quantizer appends to the name of a node that it replaces.
QUANTIZED_SUFFIX = "_quant"


@dataclass(frozen=True, kw_only=True)
class CardText:
    """Card and parity as plain JSON objects, and messages about what could not be read."""

    card: dict[str, Any] | None
    parity: dict[str, Any] | None
    problems: tuple[str, ...]


def card_text(model: ModelProto) -> CardText:
    entries = metadata(model)
    problems = []
    found: dict[str, dict[str, Any] | None] = {CARD_KEY: None, PARITY_KEY: None}
    for key in found:
        if key not in entries:
            continue
        try:
            found[key] = _object(entries[key])
            if key == CARD_KEY:
                _check_schema(found[key])
        except ValueError as error:
            found[key] = None
            problems.append(f"its {key} entry cannot be read: {readable(str(error))}")
    return CardText(card=found[CARD_KEY], parity=found[PARITY_KEY], problems=tuple(problems))


def original_namer(card: dict[str, Any] | None) -> Callable[[str], str | None]:
    """A function from a layer's name to its original name; the card must have the config of a residual network."""
    config = _config(card)
    if config is None:
        return lambda name: None

    def namer(name: str) -> str | None:
        name = name.removesuffix(QUANTIZED_SUFFIX)
        try:
            place = parse_layer(name, "torchvision")
            if place is not None and place.stage >= 0 and place.block >= config.stages[place.stage]:
                return None
            return original_name(name, config.stages, config.classes)
        except (ValueError, IndexError, OverflowError):
            return None  # a layer that this network does not have

    return namer


def _config(card: dict[str, Any] | None) -> ResNetConfig | None:
    try:
        return validated(ResNetConfig, card["config"]) if card and card.get("config") else None
    except InvalidDataError:
        return None


def _object(text: str) -> dict[str, Any]:
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters")
    return dict(object_of(parse_json(text, deepest=MAX_DEPTH)))


def _check_schema(card: dict[str, Any] | None) -> None:
    schema = card and card.get("schema")
    if schema != SCHEMA:
        raise ValueError(f"its schema is {str(schema)[:40]!r}, but this resnetx reads {SCHEMA}")
