"""Multiply-accumulates of every node of a graph in one run."""

from collections.abc import Sequence

from onnx import ModelProto, NodeProto

from resnetx.graph.counts import graphs_of
from resnetx.graph.inspection.macs import multiply_accumulates, rule_of
from resnetx.graph.inspection.parameters import scope_of
from resnetx.graph.inspection.shapes import infer_shapes


def node_macs(model: ModelProto, *, input_shape: Sequence[int] | None = None) -> tuple[int | None, ...]:
    """For each node in the graph's order; None if unknown. `input_shape` is that of the first input, with the batch."""
    shapes = infer_shapes(model, input_shape=input_shape).known
    scope = scope_of(model.graph)

    def count(node: NodeProto) -> int | None:
        if node.output and all(name in scope.folded for name in node.output):
            return 0
        # How often a branch or a loop runs is unknown.
        inner = [graph for attribute in node.attribute for graph in (attribute.g, *attribute.graphs)]
        if any(rule_of(each) for graph in inner for deep in graphs_of(graph) for each in deep.node):
            return None
        output = shapes.get(next(iter(node.output), ""))
        return multiply_accumulates(node, [shapes.get(name) for name in node.input], output)

    return tuple(map(count, model.graph.node))
