"""The model card: what a file is and how it came to be, carried in the file itself.

It imports no torch, because files are read on machines that have none.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import onnx

from resnetx.base.text import readable
from resnetx.base.validation import Address, Count, Name, Seed, Sha256, object_of, parse_json, validated_json
from resnetx.errors import GraphError
from resnetx.graph.card_limits import fit_problem, range_problem
from resnetx.model.config import ResNetConfig
from resnetx.model.preprocessing import InputForm, Preprocessing

CARD_KEY = "resnetx.card"
PARITY_KEY = "resnetx.parity"
SOURCE_KEY = "resnetx.source"
SCHEMA: Final = "resnetx.card/1"
# A card with the labels of a million classes is smaller.
MAX_CHARACTERS = 32 * 2**20


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where the weights came from; `sha256` is the digest of the tensors, not of a file."""

    sha256: Sha256
    source: Address | None = None
    seed: Seed | None = None
    naming: Name | None = None
    assumed: tuple[Name, ...] = ()
    new_head: bool = False


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """How an INT8 file was made: `samples` of the `source`, of this digest; `kept` are the layers left in float."""

    target: Name
    method: Name
    samples: Count
    digest: Sha256
    source: Name
    weight_bits: Count = 8
    kept: tuple[Name, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """`config` is None for a module that is not of the residual family; then `input` and `output` say nothing."""

    schema: Literal["resnetx.card/1"] = SCHEMA
    architecture: Name
    weights: Weights
    config: ResNetConfig | None = None
    image_size: int | None = None
    classes: int | None = None
    labels: tuple[Name, ...] | None = None
    preprocessing: Preprocessing | None = None
    input: InputForm = "none"
    output: Name = "logits"
    precision: Name = "fp32"
    quantization: Quantization | None = None
    opset: Count = 0
    exporter: Name = "dynamo"
    simplified: bool = False
    tools: dict[Name, Name] = field(default_factory=dict)

    def to_json(self) -> str:
        data = asdict(self)
        if self.config is None:
            del data["input"], data["output"]
        text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return text.encode(errors="replace").decode()  # protobuf takes no lone surrogates, which a file name may have

    @classmethod
    def from_json(cls, text: str) -> "ModelCard":
        try:
            if len(text) > MAX_CHARACTERS:
                raise ValueError(f"it has {len(text):,} characters")
            data = object_of(parse_json(text))
            if data.get("schema") != SCHEMA:
                found = readable(str(data.get("schema")), 40)
                raise GraphError(
                    f"The model card has the schema {found!r}; this resnetx reads {SCHEMA}. Update resnetx."
                )
            card = validated_json(cls, text)
        except ValueError as error:
            raise _unusable(str(error)) from error
        problem = range_problem(
            config=card.config,
            image_size=card.image_size,
            classes=card.classes,
            labels=card.labels,
            preprocessing=card.preprocessing,
            output=card.output,
            precision=card.precision,
        )
        if problem:
            raise _unusable(problem)
        return card


def read_card(model: onnx.ModelProto) -> ModelCard | None:
    """The card of a file, or None for a foreign file."""
    text = metadata(model).get(CARD_KEY)
    if text is None:
        return None
    card = ModelCard.from_json(text)
    problem = fit_problem(model, card.config, card.image_size)
    if problem:
        raise _unusable(problem)
    return card


def _unusable(problem: str) -> GraphError:
    return GraphError(f"The file has a model card that cannot be used: {readable(problem)}. Export the model again.")


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def embed_card(model: onnx.ModelProto, card: ModelCard) -> None:
    """Put the card into the file, in the place of one that may be there."""
    _put(model, CARD_KEY, card.to_json(), instead_of=(CARD_KEY, PARITY_KEY))


def embed_source(model: onnx.ModelProto, digest: str) -> None:
    """Say from which file a file without a card was made, as nothing else tells of which network it is."""
    _put(model, SOURCE_KEY, digest, instead_of=(SOURCE_KEY,))


def _put(model: onnx.ModelProto, key: str, value: str, *, instead_of: tuple[str, ...]) -> None:
    kept = [entry for entry in model.metadata_props if entry.key not in instead_of]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=key, value=value)


def parity_suffix(parity: dict[str, Any]) -> bytes:
    """Bytes which, appended to a serialized model, add the parity to its metadata.

    Protobuf messages merge by concatenation: the file that was verified stays as it is, and grows by its verdict.
    """
    suffix = onnx.ModelProto()
    suffix.metadata_props.add(key=PARITY_KEY, value=json.dumps(parity, sort_keys=True))
    return bytes(suffix.SerializeToString())
