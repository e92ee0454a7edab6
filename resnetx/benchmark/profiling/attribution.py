"""Which nodes of a file each layer of an engine computes: those that it names, and those that were fused with them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from resnetx.graph.inspection.macs import RULES, rule_of
from resnetx.runtime.runner import LayerTimes

if TYPE_CHECKING:
    from onnx import GraphProto

# Engines' names of kernels that multiply matrices; ONNX Runtime's are those of the operators.
MULTIPLYING = frozenset({name for _, name in RULES} | {"Convolution", "Deconvolution", "FullyConnected"})


def multiplies(layer: LayerTimes) -> bool:
    return layer.operator in MULTIPLYING


def nodes_of_layers(layers: Sequence[LayerTimes], graph: "GraphProto") -> list[tuple[int, ...]]:
    """For each layer, in execution order, the places in the graph of the nodes that it computes, each in one layer.

    A node that multiplies and is named by no layer was fused with what follows it: the kernel of a convolution may be
    named after its activation. Another node that is named by none is computed by the layer that is the last to make an
    input of it, because only then are all of its inputs there. Nodes that compute from constants alone are in none.
    """
    homes = _named(layers, graph)
    heavy = [rule_of(node) is not None for node in graph.node]
    free = {place for place, layer in enumerate(layers) if multiplies(layer)}
    free -= {place for number, place in homes.items() if heavy[number]}
    readers: defaultdict[str, list[int]] = defaultdict(list)
    for number, node in enumerate(graph.node):
        for name in node.input:
            readers[name].append(number)
    for number in range(len(graph.node)):
        if heavy[number] and number not in homes:
            place = _fused_below(number, graph, homes, readers, free)
            if place is not None:
                homes[number] = place
                free.remove(place)
    makers = {name: number for number, node in enumerate(graph.node) for name in node.output if name}
    for number, node in enumerate(graph.node):
        before = [homes[makers[name]] for name in node.input if makers.get(name) in homes]
        if not heavy[number] and number not in homes and before:
            homes[number] = max(before)
    found: list[list[int]] = [[] for _ in layers]
    for number in sorted(homes):
        found[homes[number]].append(number)
    return [tuple(numbers) for numbers in found]


def _named(layers: Sequence[LayerTimes], graph: "GraphProto") -> dict[int, int]:
    """The place of the layer that names each node; of several, the one whose kernel multiplies as the node does."""
    homes: dict[int, int] = {}
    for place, layer in enumerate(layers):
        for number in layer.nodes:
            if number < len(graph.node) and (
                number not in homes or (rule_of(graph.node[number]) and multiplies(layer))
            ):
                homes[number] = place
    return homes


def _fused_below(
    number: int,
    graph: "GraphProto",
    homes: Mapping[int, int],
    readers: Mapping[str, Sequence[int]],
    free: Collection[int],
) -> int | None:
    """The first layer below a node that multiplies, and computes no other node that does."""
    waiting, seen = [number], {number}
    while waiting:
        for name in graph.node[waiting.pop(0)].output:
            for reader in readers.get(name, ()):
                if homes.get(reader) in free:
                    return homes[reader]
                if reader not in homes and reader not in seen and rule_of(graph.node[reader]) is None:
                    seen.add(reader)
                    waiting.append(reader)
    return None
