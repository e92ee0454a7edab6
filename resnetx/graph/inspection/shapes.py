"""The shapes of a graph's tensors for one image, inferred without its weights in a child process.

In a child, because inference evaluates shape arithmetic: a chain of forty concatenations allocates terabytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, helper

from resnetx.base.isolation import PYTHON, Limits, run_isolated
from resnetx.base.private_folder import private_folder
from resnetx.errors import UsageError
from resnetx.graph.counts import required_inputs
from resnetx.graph.inspection.macs import Shape
from resnetx.graph.inspection.parameters import constant_tensors
from resnetx.graph.inspection.standard_ops import standard_nodes
from resnetx.graph.reading.tensor_data import stored_bytes

CHILD: tuple[str, ...] = (*PYTHON, "resnetx.graph.inspection.shapes_worker")
TIMEOUT_S = 60.0
# A ResNet-152 takes 10 MB.
MEMORY_BASE_MB = 512
MEMORY_TIMES_SIZE = 16
# Sizes, axes and the like are smaller; weights are larger, and inference needs only their shape.
KEPT_BYTES = 1024
MAX_RESULT_BYTES = 2**28
LARGEST_DIM = 2**40


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Shapes by tensor name; `batch` is the batch size that the file fixes, and `problem` what failed."""

    known: Mapping[str, Shape]
    batch: int = 1
    problem: str | None = None


def infer_shapes(model: ModelProto, *, input_shape: Sequence[int] | None = None) -> Shapes:
    """Shapes with a batch size of 1 if the file leaves it free; `input_shape` overrides that of the first input."""
    inputs = required_inputs(model)
    symbols, fixed = _bindings(inputs, input_shape)
    skeleton = _skeleton(model, inputs, symbols, fixed)
    found, problem = _inferred(skeleton)
    stated = {
        value.name: _bound(_dims(value.type), symbols) for value in (*model.graph.value_info, *model.graph.output)
    }
    known = {name: shape for name, shape in stated.items() if shape is not None}
    known |= {value.name: shape for value in inputs if (shape := _bound_input(value, symbols, fixed)) is not None}
    known |= {name: tuple(tensor.dims) for name, tensor in constant_tensors(model.graph)}
    # Shapes inferred for these inputs take precedence over those stated in the file.
    for name, shape in found.items():
        known[name] = _merged(shape, known.get(name))
    return Shapes(known=known, batch=_batch(inputs, known), problem=problem)


def _bindings(
    inputs: Sequence[ValueInfoProto], input_shape: Sequence[int] | None
) -> tuple[dict[str, int], dict[str, Shape]]:
    """Sizes by symbol, and the user's shape by input name."""
    symbols: dict[str, int] = {}
    fixed: dict[str, Shape] = {}
    if input_shape is not None:
        name, dims = _target(inputs, tuple(input_shape))
        fixed[name] = tuple(input_shape)
        pairs = zip(dims, input_shape, strict=True)
        symbols |= {symbol: size for symbol, size in pairs if isinstance(symbol, str)}
    for value in inputs:
        dims = _dims(value.type) or ()
        # The only dimension of an input may be a length, not a batch.
        if len(dims) > 1 and isinstance(dims[0], str):
            symbols.setdefault(dims[0], 1)
    return symbols, fixed


def _target(inputs: Sequence[ValueInfoProto], shape: tuple[int, ...]) -> tuple[str, tuple[int | str | None, ...]]:
    """The name of the input that `shape` is for, and its dimensions in the file."""
    if not shape or not all(1 <= size <= LARGEST_DIM for size in shape):
        raise UsageError(f"The input shape {shape} is not valid: give sizes of at least 1, such as 1x3x224x224.")
    if not inputs:
        raise UsageError("An input shape was given, but the model has no inputs; leave --input-shape out.")
    value = inputs[0]
    dims = _dims(value.type)
    if dims is None:
        return value.name, (None,) * len(shape)
    fits = len(dims) == len(shape) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(dims, shape, strict=True)
    )
    if not fits:
        spelled = "x".join("?" if dim is None else str(dim)[:40] for dim in dims) or "a scalar"
        raise UsageError(
            f"The input shape {'x'.join(map(str, shape))} does not fit the first input {value.name[:100]!r}, which is "
            f"{spelled}; only free dimensions can be set."
        )
    return value.name, dims


def _dims(kind: TypeProto) -> tuple[int | str | None, ...] | None:
    """Dimensions of a tensor type; sizes below 1, which old exporters write for a free one, are unknown."""
    if kind.WhichOneof("value") != "tensor_type" or not kind.tensor_type.HasField("shape"):
        return None
    return tuple(
        (dim.dim_value if dim.dim_value > 0 else None) if dim.HasField("dim_value") else dim.dim_param or None
        for dim in kind.tensor_type.shape.dim
    )


def _bound(dims: tuple[int | str | None, ...] | None, symbols: Mapping[str, int]) -> Shape | None:
    if dims is None:
        return None
    return tuple(symbols.get(dim) if isinstance(dim, str) else dim for dim in dims)


def _bound_input(value: ValueInfoProto, symbols: Mapping[str, int], fixed: Mapping[str, Shape]) -> Shape | None:
    if value.name in fixed:
        return fixed[value.name]
    shape = _bound(_dims(value.type), symbols)
    return (1, *shape[1:]) if shape is not None and len(shape) > 1 and shape[0] is None else shape


def _merged(shape: Shape, other: Shape | None) -> Shape:
    if other is None or len(other) != len(shape):
        return shape
    return tuple(second if first is None else first for first, second in zip(shape, other, strict=True))


def _batch(inputs: Sequence[ValueInfoProto], known: Mapping[str, Shape]) -> int:
    """The batch size: the first dimension of an input that has four or more, else 1."""
    shape = known.get(inputs[0].name) if inputs else None
    return shape[0] if shape is not None and len(shape) >= 4 and shape[0] else 1


def _skeleton(
    model: ModelProto, inputs: Sequence[ValueInfoProto], symbols: Mapping[str, int], fixed: Mapping[str, Shape]
) -> ModelProto:
    """The graph without weights and stated shapes, in operators that shape inference supports."""
    graph = GraphProto(name="shapes")
    for value in inputs:
        kind = value.type
        if kind.WhichOneof("value") == "tensor_type":
            shape = _bound_input(value, symbols, fixed)
            graph.input.append(_value(value.name, kind.tensor_type.elem_type, shape))
        else:
            graph.input.append(value)
    stripped = set()
    for name, tensor in constant_tensors(model.graph):
        if stored_bytes(tensor) > KEPT_BYTES or tensor.data_type == TensorProto.STRING:
            graph.input.append(_value(name, tensor.data_type, tuple(tensor.dims)))
        else:
            kept = graph.initializer.add()
            kept.CopyFrom(tensor)
            kept.name = name
        stripped.add(name)
    for node in model.graph.node:
        if not stripped.issuperset(node.output) or not node.output:
            graph.node.extend(_plain(node))
    # Without types: the replacement of a quantized output may have another type.
    graph.output.extend(ValueInfoProto(name=value.name) for value in model.graph.output)
    unknown = {name for node in graph.node if node.domain for name in node.output}
    for value in model.graph.value_info:
        if value.name in unknown:
            shape = _bound(_dims(value.type), symbols)
            graph.value_info.append(_value(value.name, value.type.tensor_type.elem_type, shape))
    # Since IR version 4, a weight need not be an input.
    return ModelProto(ir_version=max(model.ir_version, 4), opset_import=model.opset_import, graph=graph)


def _plain(node: NodeProto) -> Iterator[NodeProto]:
    for plain in standard_nodes(node):
        copy = NodeProto()
        copy.CopyFrom(plain)
        copy.doc_string = ""
        del copy.metadata_props[:]
        yield copy


def _value(name: str, element: int, shape: Shape | None) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


def _inferred(skeleton: ModelProto) -> tuple[dict[str, Shape], str | None]:
    """The shapes that the child inferred; if it failed, none and the reason."""
    try:
        with private_folder("shapes") as folder:
            before, after = folder / "before.onnx", folder / "after.bin"
            size = before.write_bytes(skeleton.SerializeToString())
            memory_mb = MEMORY_BASE_MB + MEMORY_TIMES_SIZE * size // 2**20
            limits = Limits(seconds=TIMEOUT_S, memory_mb=memory_mb)
            problem = run_isolated((*CHILD, str(before), str(after)), folder=folder, limits=limits)
            if after.is_file():
                problem = None if after.stat().st_size <= MAX_RESULT_BYTES else "returned a result that is too large"
            if problem:
                return {}, f"shape inference {problem}"
            values = GraphProto.FromString(after.read_bytes())
    except (OSError, DecodeError) as error:
        return {}, f"shape inference could not be run: {error}"
    shapes = ((value.name, _bound(_dims(value.type), {})) for value in values.value_info)
    return {name: shape for name, shape in shapes if shape is not None}, None
