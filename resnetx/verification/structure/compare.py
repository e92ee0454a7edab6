"""Compares the recorded operations of a network with those of a file."""

from collections.abc import Callable, Sequence
from typing import Any

from onnx import ModelProto

from resnetx.base.precisions import Precision
from resnetx.inputs.batch_dimension import batched_shape
from resnetx.verification.structure.canonical import make_canonical
from resnetx.verification.structure.explaining import explain_all
from resnetx.verification.structure.folding import coarser
from resnetx.verification.structure.graph import Graph, Shape
from resnetx.verification.structure.matching import Matching
from resnetx.verification.structure.onnx_reader import FileGraph, Rounding, file_inputs, read_file
from resnetx.verification.structure.parameters import full
from resnetx.verification.structure.result import (
    Difference,
    Rounded,
    StructureComparison,
    Unrecognized,
    in_order,
)

# One image can't be told from a batch that was flattened with it, two can.
RECORDED_BATCH = 2
# Larger than any batch whose places a fault is likely to know.
LARGER_BATCH = 17
PRECISION_OF = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


def declared_shapes(model: ModelProto) -> list[list[int | None]]:
    """The dimensions that the file's inputs declare, None where they are free."""
    return [
        [dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim]
        for value in file_inputs(model)
    ]


def compare_graphs(network: Graph, model: ModelProto, *, precision: Precision | None = None) -> StructureComparison:
    """`network` is in its canonical form. `precision` is the coarsest that weights and activations may be rounded to.

    Without it, a lower precision is noted, and allowed for where the file stores or computes in it.
    """
    shapes: list[Shape] = [network.shapes[name] or () for name in network.inputs]
    differing = _differing_ends(network, model)
    if differing:
        return StructureComparison(proved=(), differences=tuple(differing), unrecognized=(), stored={})
    file = read_file(model, shapes)
    make_canonical(file.graph)
    matching = Matching(network, file.graph)
    explain_all(matching)
    stored = {op.layer: _storage(other.parameters) for op, other in matching.counterparts if other.parameters}
    rounded = [_placed(rounding, matching) for rounding in file.roundings]
    return StructureComparison(
        proved=in_order([op.layer for op in matching.proved if op.layer]),
        differences=(
            *matching.differences,
            *_rounding_differences(file, rounded, precision),
            *_stored(stored, precision),
        ),
        unrecognized=(*matching.unrecognized, *_unaccounted(matching)),
        stored=stored,
        rounded=tuple(rounded),
        depends_on_batch=in_order([op.title for op in matching.for_this_batch]),
    )


def compare_for_batches(
    graph_of: Callable[[int], Graph], model: ModelProto, *, precision: Precision | None = None
) -> StructureComparison:
    """Compare for the number of images that the file takes, or for two; for more where the file depends on that."""
    fixed = next(iter(batched_shape(declared_shapes(model))), None)
    comparison = compare_graphs(graph_of(fixed or RECORDED_BATCH), model, precision=precision)
    if fixed or not comparison.depends_on_batch or comparison.differences:
        return comparison
    larger = compare_graphs(graph_of(LARGER_BATCH), model, precision=precision)
    return larger if larger.differences else comparison


def _differing_ends(network: Graph, model: ModelProto) -> list[Difference]:
    """Another number of inputs or outputs, or inputs of another rank."""
    declared = declared_shapes(model)
    ends = (
        ("number of inputs", len(network.inputs), len(declared)),
        ("number of outputs", len(network.outputs), len(model.graph.output)),
    )
    rows = [
        Difference(layer="the model", what=what, expected=str(expected), found=str(found))
        for what, expected, found in ends
        if expected != found
    ]
    for name, dims, value in zip(network.inputs, declared, file_inputs(model), strict=False):
        shape = network.shapes[name] or ()
        known = value.type.tensor_type.HasField("shape")
        if known and (len(dims) != len(shape) or any(d not in (None, s) for d, s in zip(dims, shape, strict=True))):
            found = "[" + ", ".join("free" if dim is None else str(dim) for dim in dims) + "]"
            rows.append(Difference(layer=value.name, what="shape", expected=str(list(shape)), found=found))
    return rows


def _storage(parameters: Any) -> str:
    return coarser(*(full(parameter).storage for parameter in parameters.values()))


def _placed(rounding: Rounding, matching: Matching) -> Rounded:
    names = matching.image.get(rounding.value, ())
    maker = next((matching.makers[name].layer for name in names if name in matching.makers), None)
    return Rounded(node=rounding.node, layer=maker, precision=rounding.precision)


def _rounding_differences(file: FileGraph, rounded: Sequence[Rounded], precision: Precision | None) -> list[Difference]:
    rows = []
    for rounding, place in zip(file.roundings, rounded, strict=True):
        layer = place.layer or rounding.node
        if rounding.problem:
            rows.append(
                Difference(
                    layer=layer, what=f"quantization ({rounding.node})", expected="valid", found=rounding.problem
                )
            )
        elif precision is not None and not _allowed(rounding.precision, precision):
            found = f"rounded to {rounding.precision} by {rounding.node}"
            rows.append(Difference(layer=layer, what="precision", expected=precision, found=found))
    return rows


def _stored(stored: dict[str, str], precision: Precision | None) -> list[Difference]:
    return [
        Difference(layer=layer, what="precision of the weights", expected=str(precision), found=storage)
        for layer, storage in stored.items()
        if precision is not None and not _allowed(PRECISION_OF.get(storage, "int8"), precision)
    ]


def _allowed(found: str, precision: Precision) -> bool:
    """fp16 and bf16 are different precisions, not a finer and a coarser one; int8 files keep some layers in float."""
    return found in ("fp32", precision) or (precision == "int8" and found == "fp16")


def _unaccounted(matching: Matching) -> list[Unrecognized]:
    named = {row.layer for row in matching.unrecognized}
    return [
        Unrecognized(side="file", layer=op.title, reason="no layer of the network accounts for it")
        for op in matching.free(matching.file.ops)
        if op.title not in named
    ]
