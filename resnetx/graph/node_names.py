"""Names nodes and tensors after the PyTorch module that they came from.

The names are written into `name`, not into metadata, because simplifiers drop metadata and keep names.
"""

import ast
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, NodeProto

SCOPES_KEY = "pkg.torch.onnx.name_scopes"
# The module whose output a node computes: the BatchNorm, if it was folded into a convolution.
MODULE_KEY = "resnetx.module"
# Nodes whose second and third input are the weight and bias of one layer.
LAYER_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True, kw_only=True)
class ModuleTree:
    """The module's paths, each with whether it is a leaf; `wrapper` is a prefix that is not shown to users."""

    name: str
    leaves: Mapping[str, bool]
    wrapper: str = ""

    def public(self, path: str) -> str:
        return path.removeprefix(self.wrapper).removeprefix(".") if self.wrapper else path


def name_nodes(model: ModelProto, tree: ModuleTree) -> None:
    """Name every node, tensor and weight by module path, and remove what the exporter recorded about this machine."""
    graph = model.graph
    taken: Counter[str] = Counter(value.name for value in (*graph.input, *graph.output))
    tensors: dict[str, str] = {}
    outputs = {value.name for value in graph.output}
    uses = Counter(name for node in graph.node for name in node.input)
    constants = {tensor.name for tensor in graph.initializer}

    for node in graph.node:
        source = _module_path(node, tree.leaves)
        path = _layer_path(node, tree.leaves) or source
        public = tree.public(path)
        words = (public, "" if public and tree.leaves[path] else node.op_type.lower())
        node.name = _unique(".".join(filter(None, words)), taken)
        del node.metadata_props[:]
        node.doc_string = ""
        if source:
            node.metadata_props.add(key=MODULE_KEY, value=tree.public(source))
        for index, name in enumerate(node.output):
            if name and name not in outputs:
                tensors[name] = node.name if index == 0 else _unique(f"{node.name}.output{index}", taken)
        if node.op_type in LAYER_OPS:
            for name, role in zip(node.input[1:], ("weight", "bias"), strict=False):
                if name in constants and uses[name] == 1:
                    tensors[name] = _unique(f"{node.name}.{role}", taken)
    for tensor in graph.initializer:
        if tensor.name not in tensors:
            tensors[tensor.name] = _unique(tree.public(tensor.name) or "constant", taken)

    _rename(graph, tensors)
    for value in (*graph.input, *graph.output, *graph.value_info):
        del value.metadata_props[:]
    for tensor in graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    del graph.metadata_props[:]
    del model.metadata_props[:]
    graph.name = tree.name
    graph.doc_string = model.doc_string = ""


def uniquely_named(model: ModelProto) -> ModelProto:
    """The model, or a copy in which every node has a name of its own: if not the one that it has, the first that is
    free after it or after its first output."""
    names = [node.name for node in model.graph.node]
    if all(names) and len(set(names)) == len(names):
        return model
    named = ModelProto()
    named.CopyFrom(model)
    taken: Counter[str] = Counter()
    for node in named.graph.node:
        node.name = _unique(node.name or next(iter(node.output), node.op_type), taken)
    return named


def _module_path(node: NodeProto, modules: Mapping[str, bool]) -> str:
    """The path of the module that a node came from, "" if unknown."""
    for entry in node.metadata_props:
        if entry.key == SCOPES_KEY:
            scopes = ast.literal_eval(entry.value)
            return next((scope for scope in reversed(scopes[:-1]) if scope in modules), "")
    return _torchscript_path(node.name.split("/")[1:-1], modules)


def _torchscript_path(scopes: Iterable[str], modules: Mapping[str, bool]) -> str:
    """`/layer1/layer1.0/conv1`: each scope is a child's name, prefixed by the parent's own name in a Sequential."""
    path = ""
    for scope in scopes:
        parent = path.rpartition(".")[2]
        for name in (scope, scope.removeprefix(f"{parent}.")):
            child = f"{path}.{name}" if path else name
            if child in modules:
                path = child
                break
        else:
            break
    return path


def _layer_path(node: NodeProto, modules: Mapping[str, bool]) -> str | None:
    """The path of a layer from the name of its weight, which remains after BatchNorm was folded into it."""
    if node.op_type not in LAYER_OPS or len(node.input) < 2:
        return None
    path = node.input[1].rpartition(".")[0]
    return path if path in modules else None


def _unique(name: str, taken: Counter[str]) -> str:
    number = taken[name]
    taken[name] += 1
    if not number:
        return name
    candidate = f"{name}_{number}"
    return _unique(candidate, taken) if taken[candidate] else _claim(candidate, taken)


def _claim(name: str, taken: Counter[str]) -> str:
    taken[name] += 1
    return name


def _rename(graph: GraphProto, tensors: dict[str, str]) -> None:
    for node in graph.node:
        node.input[:] = [tensors.get(name, name) for name in node.input]
        node.output[:] = [tensors.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                if subgraph.node:
                    _rename(subgraph, tensors)
    for item in (*graph.initializer, *graph.value_info):
        item.name = tensors.get(item.name, item.name)
