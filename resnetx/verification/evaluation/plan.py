"""A graph prepared for evaluation: its nodes in an order that runs, and when each tensor is read for the last time."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto
from onnx.inliner import inline_local_functions
from torch import Tensor

from resnetx.verification.evaluation.limits import MAX_DEPTH, MAX_NODES
from resnetx.verification.evaluation.tensors import from_proto
from resnetx.verification.evaluation.unsupported import UnsupportedGraph

# Small tensors, such as shapes and biases, are converted once.
_KEPT_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Step:
    node: NodeProto
    frees: tuple[str, ...]
    """Tensors of this graph that nothing reads any more after the node."""


class GraphPlan:
    """Refuses a graph that defines a tensor twice or reads itself in a circle."""

    def __init__(self, graph: GraphProto) -> None:
        # Holding it keeps its identity: plans of subgraphs are looked up by that.
        self.graph = graph
        self.inputs = list(graph.input)
        self.outputs = [value.name for value in graph.output]
        self.weights: dict[str, TensorProto] = {each.name: each for each in graph.initializer}
        self._converted: dict[str, Tensor] = {}
        nodes = _in_order(graph)
        last: dict[str, int] = {}
        for index, node in enumerate(nodes):
            for name in (*node.output, *names_read(node)):
                last[name] = index
        own = {name for node in nodes for name in node.output} | {value.name for value in graph.input}
        frees: dict[int, list[str]] = {}
        for name in own - set(self.outputs) - {""}:
            frees.setdefault(last.get(name, 0), []).append(name)
        self.steps = [Step(node=node, frees=tuple(frees.get(index, ()))) for index, node in enumerate(nodes)]

    def weight(self, name: str, dtype: torch.dtype) -> Tensor:
        if name in self._converted:
            return self._converted[name]
        tensor = from_proto(self.weights[name], dtype)
        if tensor.numel() * tensor.element_size() <= _KEPT_BYTES:
            self._converted[name] = tensor
        return tensor


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def names_read(node: NodeProto) -> list[str]:
    """What a node reads: its inputs, and what its subgraphs take from outside."""
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        inner = {value.name for value in graph.input} | {each.name for each in graph.initializer}
        inner |= {name for each in graph.node for name in each.output}
        read = [name for each in graph.node for name in names_read(each)] + [value.name for value in graph.output]
        names += [name for name in read if name not in inner]
    return names


def _in_order(graph: GraphProto) -> list[NodeProto]:
    """Each node after those whose outputs it reads, otherwise as in the file. (Some converters leave them mixed.)"""
    producers: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in node.output:
            if name and name in producers:
                raise UnsupportedGraph(f"two nodes write {name[:80]!r}", operator=node.op_type)
            producers[name] = index
    producers.pop("", None)
    order: list[NodeProto] = []
    state = bytearray(len(graph.node))  # 0 new, 1 waiting for what it reads, 2 placed
    for first in range(len(graph.node)):
        waiting = [first]
        while waiting:
            index = waiting[-1]
            if state[index] == 2:
                waiting.pop()
                continue
            ahead = [producers[name] for name in names_read(graph.node[index]) if name in producers]
            missing = [each for each in ahead if state[each] != 2]
            if not missing:
                order.append(graph.node[index])
                state[index] = 2
            elif state[index] == 1:
                raise UnsupportedGraph("it reads its own output", operator=graph.node[index].op_type)
            else:
                state[index] = 1
                waiting += missing
    return order


def without_functions(model: ModelProto) -> ModelProto:
    """With the file's own functions written out, after a look at how many nodes that makes."""
    if not model.functions:
        return model
    bodies = {(each.domain, each.name): each for each in model.functions}
    counts: dict[tuple[str, str], int] = {}

    def count(key: tuple[str, str], depth: int) -> int:
        if depth > MAX_DEPTH:
            raise UnsupportedGraph(f"functions call functions more than {MAX_DEPTH} deep", operator=key[1])
        if key not in counts:
            counts[key] = sum(count_node(node, depth + 1) for node in bodies[key].node)
        return counts[key]

    def count_node(node: NodeProto, depth: int) -> int:
        inside = sum(count_node(each, depth) for graph in subgraphs(node) for each in graph.node)
        key = (node.domain, node.op_type)
        return inside + (count(key, depth) if key in bodies else 1)

    total = sum(count_node(node, 0) for node in model.graph.node)
    if total > MAX_NODES:
        raise UnsupportedGraph(f"its functions make {total:,} nodes", operator=model.functions[0].name)
    inlined: ModelProto = inline_local_functions(model)
    return inlined
