"""The model card: what a file is and how it came to be, carried in the file itself.

It imports no torch, because files are read on machines that have none.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import onnx

from resnetx.base.text import readable
from resnetx.base.validation import object_of, validated
from resnetx.errors import GraphError
from resnetx.model.config import ResNetConfig
from resnetx.model.preprocessing import Preprocessing

CARD_KEY = "resnetx.card"
PARITY_KEY = "resnetx.parity"
SCHEMA = "resnetx.card/1"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where the weights came from; `sha256` is the digest of the tensors, not of a file."""

    sha256: str
    source: str | None = None
    seed: int | None = None
    naming: str | None = None
    assumed: tuple[str, ...] = ()
    new_head: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """`config` is None for a module that is not of the residual family."""

    architecture: str
    weights: Weights
    config: ResNetConfig | None = None
    image_size: int | None = None
    classes: int | None = None
    labels: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    input: str = "none"
    output: str = "logits"
    precision: str = "fp32"
    opset: int = 0
    exporter: str = "dynamo"
    simplified: bool = False
    tools: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        data = {"schema": SCHEMA} | asdict(self)
        return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "ModelCard":
        try:
            data = object_of(json.loads(text))
            if data.get("schema") != SCHEMA:
                found = readable(str(data.get("schema")), 40)
                raise GraphError(
                    f"The model card has the schema {found!r}; this resnetx reads {SCHEMA}. Update resnetx."
                )
            return validated(cls, data)
        except (ValueError, RecursionError) as error:
            raise GraphError(
                f"The file has a model card that cannot be read ({readable(str(error))}); export the model again."
            ) from error


def read_card(model: onnx.ModelProto) -> ModelCard | None:
    """The card of a file, or None for a foreign file."""
    text = metadata(model).get(CARD_KEY)
    return None if text is None else ModelCard.from_json(text)


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def embed_card(model: onnx.ModelProto, card: ModelCard) -> None:
    """Put the card into the file, in the place of one that may be there."""
    kept = [entry for entry in model.metadata_props if entry.key not in (CARD_KEY, PARITY_KEY)]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=CARD_KEY, value=card.to_json())


def parity_suffix(parity: dict[str, Any]) -> bytes:
    """Bytes which, appended to a serialized model, add the parity to its metadata.

    Protobuf messages merge by concatenation: the file that was verified stays as it is, and grows by its verdict.
    """
    suffix = onnx.ModelProto()
    suffix.metadata_props.add(key=PARITY_KEY, value=json.dumps(parity, sort_keys=True))
    return bytes(suffix.SerializeToString())
