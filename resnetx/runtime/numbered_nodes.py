"""Names every node of a file by its place in the graph, so that an engine's names of its kernels say what they run."""

import re
from collections.abc import Sequence

from google.protobuf.message import EncodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto

from resnetx.errors import GraphError
from resnetx.graph.counts import graphs_of

# Engines add to a node's name, before and behind it.
NUMBER = re.compile(r"@(\d{1,9})@")


def numbered(model: ModelProto) -> bytes:
    """The serialized model, whose nodes are named `@0@`, `@1@` and so on; those of subgraphs lose their names."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for graph in graphs_of(copy.graph):
        for node in graph.node:
            node.name = ""
    for number, node in enumerate(copy.graph.node):
        node.name = f"@{number}@"
    try:
        data: bytes = copy.SerializeToString()
    except (ValueError, EncodeError) as error:
        raise GraphError(
            "A model of more than 2 GB cannot be profiled: protobuf cannot hold it in one piece."
        ) from error
    return data


def numbers_in(text: str) -> tuple[int, ...]:
    """The numbers of the nodes in an engine's name for a kernel, each once."""
    return tuple(dict.fromkeys(int(number) for number in NUMBER.findall(text)))


def numbers_by_tensor(graph: GraphProto) -> dict[str, int]:
    """The number of the node that computes each tensor: engines name some kernels after what they compute."""
    return {name: number for number, node in enumerate(graph.node) for name in node.output if name}


def names_for_numbers(text: str, names: Sequence[str]) -> str:
    """An engine's name for a kernel, with the names that the nodes have in the file."""
    return NUMBER.sub(lambda found: names[int(found[1])] if int(found[1]) < len(names) else found[0], text)
