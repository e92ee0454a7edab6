"""The contents of a graph, and the changes between two graphs: nodes by type, parameters, bytes, the boundary."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto

Dim = int | str | None


@dataclass(frozen=True, kw_only=True)
class GraphCounts:
    """Nodes by type (those of subgraphs too), elements of all weights and constants, and serialized size."""

    nodes: Mapping[str, int]
    parameters: int
    bytes: int

    @property
    def total_nodes(self) -> int:
        return sum(self.nodes.values())


def count_graph(model: ModelProto, *, size: int | None = None) -> GraphCounts:
    """Count the contents; `size` is the serialized size if known, because computing it is expensive."""
    nodes: Counter[str] = Counter()
    parameters = 0
    for graph in graphs_of(model.graph):
        nodes.update(map(_type_name, graph.node))
        parameters += sum(map(_elements, graph.initializer))
        parameters += sum(_elements(tensor) for node in graph.node for tensor in _constants(node))
    return GraphCounts(
        nodes=dict(sorted(nodes.items())), parameters=parameters, bytes=model.ByteSize() if size is None else size
    )


def weight_bytes(model: ModelProto) -> int:
    """The approximate size of a model that is too large to serialize."""
    return sum(len(tensor.raw_data) for graph in graphs_of(model.graph) for tensor in graph.initializer)


def changed_types(before: GraphCounts, after: GraphCounts) -> tuple[tuple[str, int, int], ...]:
    """The node types whose number changed, with the two numbers, by name."""
    names = sorted(before.nodes.keys() | after.nodes.keys())
    rows = ((name, before.nodes.get(name, 0), after.nodes.get(name, 0)) for name in names)
    return tuple(row for row in rows if row[1] != row[2])


def graphs_of(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and its subgraphs of any depth (branches of If, bodies of Loop and Scan).

    Graphs in attributes that declare another type are included.
    """
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        yield current
        for node in current.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    waiting.append(attribute.g)
                waiting.extend(attribute.graphs)


def required_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """The inputs that a caller must feed: old files list every weight among the inputs, too."""
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return [value for value in model.graph.input if value.name not in weights]


def boundary_change(before: ModelProto, after: ModelProto) -> str | None:
    """What changed in inputs, outputs, opset or IR version, as text; None if there is no difference for a caller."""
    inputs, outputs = required_inputs(before), list(before.graph.output)
    free = {dim for value in inputs for dim in dimensions(value.type) or () if isinstance(dim, str)}
    return (
        _changed_values("input", inputs, required_inputs(after), free, exactly=True)
        or _changed_values("output", outputs, list(after.graph.output), free, exactly=False)
        or _changed_versions(before, after)
    )


def dimensions(kind: TypeProto) -> tuple[Dim, ...] | None:
    """The dimensions of a tensor type: a number, a name, or None if not specified; None without a shape."""
    if kind.WhichOneof("value") != "tensor_type" or not kind.tensor_type.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in kind.tensor_type.shape.dim
    )


def _changed_values(
    role: str, before: list[ValueInfoProto], after: list[ValueInfoProto], free: set[str], *, exactly: bool
) -> str | None:
    old, new = [value.name for value in before], [value.name for value in after]
    if old != new:
        return f"changed the {role}s from {_listed(old)} to {_listed(new)}"
    for first, second in zip(before, after, strict=True):
        if _without_shape(first.type) != _without_shape(second.type):
            return f"changed the type of {role} {first.name!r} from {_kind(first.type)} to {_kind(second.type)}"
        dims = dimensions(first.type), dimensions(second.type)
        if dims[0] != dims[1] if exactly else not _is_refined(*dims, free):
            return f"changed {role} {first.name!r} from {_shape(dims[0])} to {_shape(dims[1])}"
    return None


def _is_refined(before: tuple[Dim, ...] | None, after: tuple[Dim, ...] | None, free: set[str]) -> bool:
    """Whether `after` is as specific or more: unknown sizes may become known, sizes that an input leaves free not."""
    if before is None:
        return True
    if after is None or len(before) != len(after):
        return False
    return all(
        old == new or old is None or (isinstance(old, str) and old not in free and isinstance(new, int))
        for old, new in zip(before, after, strict=True)
    )


def _changed_versions(before: ModelProto, after: ModelProto) -> str | None:
    old, new = _opsets(before), _opsets(after)
    changed = sorted(domain for domain in new if new[domain] != old.get(domain))
    if changed or "ai.onnx" in old.keys() - new.keys():
        return f"changed the opset from {_spelled(old)} to {_spelled(new)}"
    # Before IR version 4 weights had to be inputs too; removing them requires version 4.
    if after.ir_version != before.ir_version and not (before.ir_version < 4 and after.ir_version == 4):
        return f"changed the IR version from {before.ir_version} to {after.ir_version}"
    return None


def _opsets(model: ModelProto) -> dict[str, int]:
    return {str(entry.domain or "ai.onnx"): entry.version for entry in model.opset_import}


def _spelled(opsets: Mapping[str, int]) -> str:
    return ", ".join(f"{domain} {version}" for domain, version in sorted(opsets.items())) or "none"


def _without_shape(kind: TypeProto) -> TypeProto:
    bare = TypeProto()
    bare.CopyFrom(kind)
    bare.denotation = ""
    if kind.WhichOneof("value") == "tensor_type":
        bare.tensor_type.ClearField("shape")
    return bare


def _kind(kind: TypeProto) -> str:
    which = kind.WhichOneof("value")
    if which != "tensor_type":
        return str(which)
    number = kind.tensor_type.elem_type
    return TensorProto.DataType.Name(number).lower() if number in TensorProto.DataType.values() else f"type {number}"


def _shape(dims: tuple[Dim, ...] | None) -> str:
    if dims is None:
        return "no shape"
    return f"({', '.join('?' if dim is None else str(dim) for dim in dims)})"


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return (", ".join(map(repr, shown[:5])) or "none") + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def _type_name(node: NodeProto) -> str:
    # str(), because protobuf returns text that is not UTF-8 as bytes.
    return str(node.op_type) if node.domain in ("", "ai.onnx") else f"{node.domain!s}.{node.op_type!s}"


def _elements(tensor: TensorProto) -> int:
    return math.prod(tensor.dims)


def _constants(node: NodeProto) -> Iterator[TensorProto]:
    if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
        yield from (attribute.t for attribute in node.attribute if attribute.type == AttributeProto.TENSOR)
