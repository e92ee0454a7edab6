"""Names every node of a file by its place in the graph, so that an engine's names of its kernels say what they run."""

import re
from collections.abc import Mapping, Sequence

from google.protobuf.message import EncodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto

from resnetx.errors import GraphError
from resnetx.graph.counts import graphs_of

# Engines add to a name, before and behind it.
NUMBER = re.compile(r"@(\d{1,9})[.\d]*@")


def numbered(model: ModelProto) -> bytes:
    """The serialized model, whose nodes are named `@0@`, `@1@` and so on, and the tensors after the nodes.

    Engines name some kernels after tensors, and one of them writes names into JSON without escapes. Nodes of subgraphs
    lose their names.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    names = {value.name: f"input{place}" for place, value in enumerate(graph.input)}
    names |= {tensor.name: f"weight{place}" for place, tensor in enumerate(graph.initializer)}
    names |= {sparse.values.name: f"sparse{place}" for place, sparse in enumerate(graph.sparse_initializer)}
    for number, node in enumerate(graph.node):
        for place, name in enumerate(node.output):
            names[name] = f"@{number}.{place}@" if place else f"@{number}@"
    for inner in graphs_of(graph):
        _rename(inner, names)
    for number, node in enumerate(graph.node):
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


def names_for_numbers(text: str, names: Sequence[str]) -> str:
    """An engine's name for a kernel, with the names that the nodes have in the file."""
    return NUMBER.sub(lambda found: names[int(found[1])] if int(found[1]) < len(names) else found[0], text)


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Rename the tensors of a graph. A name has one meaning in a graph and in all inside it."""
    for node in graph.node:
        node.name = ""
        node.input[:] = [names.get(name, name) if name else "" for name in node.input]
        node.output[:] = [names.get(name, name) if name else "" for name in node.output]
    for item in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        item.name = names.get(item.name, item.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = names.get(sparse.values.name, sparse.values.name)
    del graph.quantization_annotation[:]
