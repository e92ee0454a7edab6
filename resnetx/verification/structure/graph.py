"""The form in which a file and a network are compared: operations on values, with constants as their parameters."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from onnx import NodeProto

from resnetx.verification.structure.parameters import NetworkParameter

# Attributes are plain data: numbers, text, and tuples of them.
Attributes = Mapping[str, Any]
Shape = tuple[int, ...]
# What an operation of a domain that nobody outside a runtime specifies is called: "com.microsoft::NhwcConv".
FOREIGN = "::"
# What a network does in an operation that has no ONNX counterpart by the same name.
TORCH_PREFIX = "torch."
# What an ONNX operator is called that has no equivalent here; its meaning is specified, but not known to this package.
ONNX_PREFIX = "onnx."


@dataclass(frozen=True, kw_only=True, eq=False)
class Op:
    """One operation. `layer` is its name for people, `sources` the names of all that became part of it.

    `unfolded` is the operation before what followed it was folded into its parameters; `node` is the one that an
    opaque operation of a file is.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes = field(default_factory=dict)
    parameters: Mapping[str, NetworkParameter] = field(default_factory=dict)
    layer: str
    sources: tuple[str, ...] = ()
    unfolded: "Op | None" = None
    node: NodeProto | None = None

    @property
    def opaque(self) -> bool:
        """Whether only its name is known, not what it computes."""
        return self.kind.startswith((TORCH_PREFIX, ONNX_PREFIX)) or FOREIGN in self.kind

    @property
    def output(self) -> str:
        return self.outputs[0]

    @property
    def title(self) -> str:
        return f"{self.kind} ({self.layer})" if self.layer else self.kind


@dataclass(kw_only=True)
class Graph:
    """Operations in topological order. Shapes are those of one batch size; None where one is not known."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    ops: list[Op]
    shapes: dict[str, Shape | None]

    def producers(self) -> dict[str, Op]:
        return {name: op for op in self.ops for name in op.outputs}

    def uses(self) -> Counter[str]:
        """How many inputs of operations, and outputs of the graph, each value is."""
        return Counter([*(name for op in self.ops for name in op.inputs), *self.outputs])

    def rename(self, names: Mapping[str, str]) -> None:
        """Let every reader of a value read another one instead."""

        def final(name: str) -> str:
            while name in names:
                name = names[name]
            return name

        if names:
            self.ops = [
                replace(op, inputs=tuple(map(final, op.inputs))) if any(name in names for name in op.inputs) else op
                for op in self.ops
            ]
            self.outputs = tuple(map(final, self.outputs))

    def without_dead_ops(self) -> None:
        """Remove what no output depends on."""
        live = set(self.outputs)
        kept: list[Op] = []
        for op in reversed(self.ops):
            if any(name in live for name in op.outputs):
                kept.append(op)
                live.update(op.inputs)
        self.ops = kept[::-1]

    def rank(self, name: str) -> int | None:
        shape = self.shapes.get(name)
        return None if shape is None else len(shape)


def ancestors(values: Iterable[str], producers: Mapping[str, Op], stop: Iterable[str]) -> list[Op]:
    """The operations that `values` depend on, without those before the values in `stop`."""
    found: dict[int, Op] = {}
    known, pending = set(stop), list(values)
    while pending:
        name = pending.pop()
        op = producers.get(name)
        if name not in known and op is not None:
            known.update(op.outputs)
            known.add(name)
            found[id(op)] = op
            pending.extend(op.inputs)
    return list(found.values())
