"""Compares a file with another file, operation by operation and weight by weight."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from onnx import ModelProto

from resnetx.base.precisions import Precision
from resnetx.inputs.batch_dimension import batched_shape
from resnetx.verification.structure.canonical import make_canonical
from resnetx.verification.structure.compare import compare_for_batches
from resnetx.verification.structure.graph import Graph, Shape
from resnetx.verification.structure.onnx_reader import read_file
from resnetx.verification.structure.result import Difference, StructureComparison, Unrecognized

# Quantizers other than ours choose the better one of the two steps around a weight, not always the nearest.
STEPS = 1.5


def compare_with_file(
    model: ModelProto, reference: ModelProto, feeds: Sequence[np.ndarray], *, precision: Precision | None = None
) -> StructureComparison:
    """Compare `model` with `reference`, which stores float32. `feeds` are what both take.

    In INT8, other tools correct biases for the mean error of the weights: a bias that differs is left to the numbers.
    """
    shapes = [array.shape for array in feeds]
    found = compare_for_batches(lambda batch: _graph(reference, shapes, batch), model, precision=precision)
    if precision != "int8":
        return found
    corrected = [each for each in found.differences if each.what == "bias" or _next_step(each)]
    return replace(
        found,
        differences=tuple(each for each in found.differences if each not in corrected),
        unrecognized=(
            *found.unrecognized,
            *(Unrecognized(side="file", layer=each.layer, reason=str(each)) for each in corrected),
        ),
    )


def _graph(reference: ModelProto, shapes: Sequence[Shape], batch: int) -> Graph:
    """The operations of the reference for this number of samples, in their canonical form."""
    size = batched_shape(shapes)[:1]
    graph = read_file(reference, [(batch, *shape[1:]) if shape[:1] == size else shape for shape in shapes]).graph
    make_canonical(graph)
    return graph


def _next_step(difference: Difference) -> bool:
    return difference.unit not in (None, "float32") and (difference.roundings or 0) <= STEPS
