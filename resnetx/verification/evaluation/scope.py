"""Names and their values while a graph is evaluated; a subgraph also sees those around it."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from resnetx.verification.evaluation.plan import GraphPlan
from resnetx.verification.evaluation.unsupported import UnsupportedGraph


@dataclass(frozen=True)
class Value:
    tensor: Tensor
    element_type: int
    """As ONNX declares it, whatever type holds it."""
    from_data: bool = False
    """Whether it depends on the numbers that were fed, and not on their shapes alone."""


@dataclass
class Scope:
    plan: GraphPlan
    outer: "Scope | None" = None
    values: dict[str, Value] = field(default_factory=dict)

    def find(self, name: str, dtype: torch.dtype) -> Value:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            if name in scope.plan.weights:
                return Value(scope.plan.weight(name, dtype), scope.plan.weights[name].data_type)
            scope = scope.outer
        raise UnsupportedGraph(f"nothing gives the tensor {name[:80]!r}")
