"""Reads an ONNX graph into the terms that both sides share, for one size of its inputs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, TypeProto, numpy_helper

from resnetx.verification.structure.builder import Builder, Operand, Unknown
from resnetx.verification.structure.graph import FOREIGN, ONNX_PREFIX, Graph, Shape
from resnetx.verification.structure.onnx_constants import fold, from_tensor, integers
from resnetx.verification.structure.onnx_layers import LAYERS
from resnetx.verification.structure.onnx_node import Node, Quantization
from resnetx.verification.structure.onnx_shapes import SHAPES
from resnetx.verification.structure.parameters import Parameter, constant

# Shape inference is told the numbers of constants that may be shapes.
MAX_SHAPE_DATA = 1024
STANDARD = ("", "ai.onnx")


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """A node that rounds an activation: `value` is rounded to `precision`. `problem` is what is wrong with it."""

    node: str
    value: str
    precision: str
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileGraph:
    graph: Graph
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    roundings: tuple[Rounding, ...]


def file_inputs(model: ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs of a graph that aren't constants (older files list those too)."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def read_file(model: ModelProto, shapes: Sequence[Shape]) -> FileGraph:
    """The operations of a file whose inputs have these shapes."""
    return _Reader(model, shapes).read()


class _Reader:
    def __init__(self, model: ModelProto, shapes: Sequence[Shape]) -> None:
        self.model = model
        self.builder = Builder()
        self.operands: dict[str, Operand] = {}
        self.types: dict[str, int] = {}
        self.quantized: dict[str, Quantization] = {}
        self.roundings: list[Rounding] = []
        self.opsets = {entry.domain: entry.version for entry in model.opset_import}
        self.inputs = file_inputs(model)
        for value, shape in zip(self.inputs, shapes, strict=True):
            self.operands[value.name] = self.builder.new_value(shape)
            self.types[value.name] = value.type.tensor_type.elem_type
        for tensor in model.graph.initializer:
            self.operands[tensor.name] = from_tensor(tensor, tensor.name)
            self.types[tensor.name] = tensor.data_type

    def read(self) -> FileGraph:
        for node in self.model.graph.node:
            self._node(node)
        outputs = []
        for value in self.model.graph.output:
            operand = self.operands.get(value.name)
            if isinstance(operand, str):
                outputs.append(operand)
            else:
                self.builder.layer = value.name
                kind = f"{ONNX_PREFIX}Constant"
                shape = None if operand is None else operand.shape
                outputs.append(self.builder.emit(kind, [], shape))
        inputs = [str(self.operands[value.name]) for value in self.inputs]
        return FileGraph(
            graph=self.builder.graph(inputs, outputs),
            input_names=tuple(value.name for value in self.inputs),
            output_names=tuple(value.name for value in self.model.graph.output),
            roundings=tuple(self.roundings),
        )

    def _node(self, node: NodeProto) -> None:
        name = node.name or next(iter(node.output), "")
        self.builder.layer = name
        operands = [self.operands.get(each) if each else None for each in node.input]
        attributes = {attribute.name: _plain(attribute) for attribute in node.attribute}
        if node.op_type == "Constant" and node.domain in STANDARD:
            self._constant(node, attributes)
            return
        shapes, types = self._infer(node, operands)
        here = Node(
            builder=self.builder,
            node=node,
            operands=operands,
            attributes=attributes,
            shapes=shapes,
            types=[self.types.get(each, 0) for each in node.input],
            opset=self.opsets.get("", self.opsets.get("ai.onnx", 0)),
            quantized=self.quantized,
            note=lambda value, precision, problem=None: self.roundings.append(
                Rounding(node=name, value=value, precision=precision, problem=problem)
            ),
        )
        count = len(self.builder.ops)
        try:
            results = self._translated(node, here, operands, attributes)
        except (Unknown, ValueError, KeyError, IndexError, TypeError, OverflowError, AttributeError):
            # What can't be read is not known; it is named in the report, and the numeric checks look at it.
            del self.builder.ops[count:]
            results = self._opaque(node, operands, attributes, shapes)
        for output, result, kind in zip(node.output, results, types, strict=False):
            self.operands[output] = result
            self.types[output] = kind

    def _translated(
        self, node: NodeProto, here: Node, operands: Sequence[Operand | None], attributes: Mapping[str, Any]
    ) -> Sequence[Operand]:
        key = node.op_type if node.domain in STANDARD else f"{node.domain}{FOREIGN}{node.op_type}"
        if node.op_type == "Shape" and node.domain in STANDARD:
            return [_shape_of(here)]
        if operands and all(operand is None or isinstance(operand, Parameter) for operand in operands):
            constants = [operand for operand in operands if not isinstance(operand, str)]
            return fold(node, constants, attributes)
        handler = LAYERS.get(key) or SHAPES.get(key)
        if handler is None:
            raise Unknown
        result = handler(here)
        return [result] if isinstance(result, str | Parameter) else result

    def _opaque(
        self,
        node: NodeProto,
        operands: Sequence[Operand | None],
        attributes: Mapping[str, Any],
        shapes: Sequence[Shape | None],
    ) -> Sequence[Operand]:
        kind = f"{ONNX_PREFIX}{node.op_type}" if node.domain in STANDARD else f"{node.domain}{FOREIGN}{node.op_type}"
        values = [operand for operand in operands if isinstance(operand, str)]
        constants = {str(place): each for place, each in enumerate(operands) if isinstance(each, Parameter)}
        first = self.builder.emit(
            kind,
            values,
            shapes[0] if shapes else None,
            parameters=dict(constants),
            more_outputs=shapes[1:],
            **{"attributes of the node": tuple(sorted((key, str(value)) for key, value in attributes.items()))},
        )
        if node.domain in STANDARD:
            self.builder.ops[-1] = replace(self.builder.ops[-1], node=node)
        return self.builder.ops[-1].outputs if shapes else [first]

    def _constant(self, node: NodeProto, attributes: Mapping[str, Any]) -> None:
        value = next(iter(attributes.values()), None)
        output = node.output[0]
        if isinstance(value, TensorProto):
            self.operands[output], self.types[output] = from_tensor(value, output), value.data_type
        elif isinstance(value, int | float | tuple):
            whole = isinstance(value, int) or (
                isinstance(value, tuple) and all(isinstance(each, int) for each in value)
            )
            array = np.asarray(value, np.int64 if whole else np.float32)
            self.operands[output] = constant(output, array, storage=array.dtype.name)
            self.types[output] = TensorProto.INT64 if whole else TensorProto.FLOAT

    def _infer(self, node: NodeProto, operands: Sequence[Operand | None]) -> tuple[list[Shape | None], list[int]]:
        """The shapes and types of a node's outputs, as ONNX's own rules for this one node give them."""
        unknown: list[Shape | None] = [None] * len(node.output)
        same = [self.types.get(node.input[0], TensorProto.FLOAT) if node.input else TensorProto.FLOAT] * len(
            node.output
        )
        standard = node
        if node.domain == "com.microsoft" and node.op_type in ("FusedConv", "FusedGemm", "FusedMatMul"):
            # These have the shapes of the operators that they extend.
            standard = NodeProto(
                op_type=node.op_type.removeprefix("Fused"), input=node.input[:3], output=node.output[:1]
            )
            kept = [each for each in node.attribute if not each.name.startswith(("activation", "transBatch"))]
            standard.attribute.extend(each for each in kept if node.op_type != "FusedMatMul")
        elif node.domain not in STANDARD:
            first = operands[0] if operands else None
            return ([self.builder.shapes[first]] if isinstance(first, str) else [None]) + unknown[1:], same
        types: dict[str, TypeProto] = {}
        data: dict[str, TensorProto] = {}
        for name, operand in zip(node.input, operands, strict=True):
            if operand is None:
                continue
            shape = self.builder.shapes[operand] if isinstance(operand, str) else operand.shape
            kind = self.types.get(name) or TensorProto.FLOAT
            types[name] = onnx.helper.make_tensor_type_proto(kind, shape)
            of_shape = kind == TensorProto.INT64 and shape is not None and len(shape) <= 1
            if isinstance(operand, Parameter) and of_shape and math.prod(operand.shape) <= MAX_SHAPE_DATA:
                data[name] = numpy_helper.from_array(np.asarray(operand.read(), np.int64), name)
        try:
            version = self.opsets.get("", self.opsets.get("ai.onnx", 0))
            schema = onnx.defs.get_schema(standard.op_type, version, "")
            found = onnx.shape_inference.infer_node_outputs(
                schema, standard, types, data, opset_imports=[onnx.helper.make_opsetid("", version)]
            )
        except Exception:  # an invalid node: what it makes is not known, and ONNX Runtime will say so
            return unknown, same
        made = [found.get(name) for name in node.output]
        return (
            [None if each is None else _dimensions(each) for each in made],
            [each.tensor_type.elem_type if each is not None else 0 for each in made],
        )


def _shape_of(node: Node) -> Parameter:
    shape = node.input_shape()
    if shape is None:
        raise Unknown
    part = shape[slice(node.attributes.get("start", 0), node.attributes.get("end", len(shape)))]
    return constant("shape", np.asarray(part, np.int64), storage="int64", from_shape=True)


def _dimensions(kind: TypeProto) -> Shape | None:
    tensor = kind.tensor_type
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def _plain(attribute: AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, TensorProto | onnx.GraphProto | onnx.SparseTensorProto | TypeProto | str | int | float):
        return value
    return tuple(each.decode(errors="replace") if isinstance(each, bytes) else each for each in value)


__all__ = ["FileGraph", "Rounding", "file_inputs", "integers", "read_file"]
