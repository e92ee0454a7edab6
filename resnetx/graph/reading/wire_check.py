"""Checks the structure of a protobuf file before it is parsed, and rejects what would exhaust memory or fail later.

The parser allocates some hundred bytes for every empty two-byte message, and nests as deep as the file does.
The check skips the weights, so it takes milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor  # type: ignore[import-untyped]
from onnx import ModelProto

MAX_FIELDS = 2_000_000
MAX_NODES = 200_000
MAX_MESSAGE_DEPTH = 80
MAX_GRAPH_DEPTH = 16
# Packed integers take up to eight times their size once they are parsed.
MAX_PACKED_BYTES = 2**29

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
GRAPH, NODE = "onnx.GraphProto", "onnx.NodeProto"


class WireError(ValueError):
    """The bytes are not an ONNX model, or exceed a limit; the message is the second half of a sentence."""


@dataclass(frozen=True)
class Shape:
    """The relevant fields of a message type, by number."""

    name: str
    messages: Mapping[int, str]
    strings: frozenset[int]
    integers: frozenset[int]


def check_wire(data: bytes) -> None:
    """Check every message of a serialized model; WireError if it must not be parsed."""
    shapes = _shapes()
    shape = shapes["onnx.ModelProto"]
    end, position = len(data), 0
    outer: list[tuple[int, Shape]] = []
    fields = nodes = graphs = packed = 0
    while True:
        while position == end and outer:
            graphs -= shape.name == GRAPH
            end, shape = outer.pop()
        if position == end:
            return
        fields += 1
        if fields > MAX_FIELDS:
            raise WireError(f"it has more than {MAX_FIELDS:,} entries")
        tag, position = _varint(data, position, end)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            _, position = _varint(data, position, end)
        elif kind == FIXED64:
            position += 8
        elif kind == FIXED32:
            position += 4
        elif kind == BYTES:
            length, position = _varint(data, position, end)
            stop = position + length
            if stop > end:
                raise WireError("it is truncated, as by an incomplete copy or download")
            child = shape.messages.get(number)
            if child is not None:
                outer.append((end, shape))
                end, shape = stop, shapes[child]
                nodes += child == NODE
                graphs += child == GRAPH
                _check_depth(len(outer), graphs, nodes)
                continue
            if number in shape.strings:
                _check_text(data[position:stop])
            elif number in shape.integers:
                packed += length
                if packed > MAX_PACKED_BYTES:
                    raise WireError(f"more than {MAX_PACKED_BYTES >> 20} MiB of its integers are stored in packed form")
            position = stop
        else:
            raise WireError("it is not in the ONNX format")
        if position > end:
            raise WireError("it is truncated, as by an incomplete copy or download")


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    result = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, position
        shift += 7
    raise WireError("it is not in the ONNX format, or it is truncated")


def _check_depth(depth: int, graphs: int, nodes: int) -> None:
    if graphs > MAX_GRAPH_DEPTH:
        raise WireError(f"its graphs are nested more than {MAX_GRAPH_DEPTH} deep")
    if depth > MAX_MESSAGE_DEPTH:
        raise WireError(f"its messages are nested more than {MAX_MESSAGE_DEPTH} deep")
    if nodes > MAX_NODES:
        raise WireError(f"it has more than {MAX_NODES:,} nodes")


def _check_text(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise WireError("a name in it is not text (UTF-8)") from error


@cache
def _shapes() -> dict[str, Shape]:
    """Every message type that a model can contain, from the descriptors of the onnx library."""
    found: dict[str, Shape] = {}
    waiting: list[Descriptor] = [ModelProto.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.full_name in found:
            continue
        by_type: dict[int, list[int]] = {}
        for field in message.fields:
            by_type.setdefault(field.type, []).append(field.number)
        children = [field for field in message.fields if field.message_type is not None]
        kinds = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64)
        found[message.full_name] = Shape(
            name=message.full_name,
            messages={field.number: field.message_type.full_name for field in children},
            strings=frozenset(by_type.get(FieldDescriptor.TYPE_STRING, ())),
            integers=frozenset(number for kind in kinds for number in by_type.get(kind, ())),
        )
        waiting.extend(field.message_type for field in children)
    return found
