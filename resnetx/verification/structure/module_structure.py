"""Compares a file with a torch module, operation by operation and weight by weight."""

from collections.abc import Sequence

import torch
from onnx import ModelProto
from torch import Tensor, nn

from resnetx.base.precisions import Precision
from resnetx.verification.structure.canonical import make_canonical
from resnetx.verification.structure.compare import compare_graphs, declared_shapes
from resnetx.verification.structure.graph import Graph
from resnetx.verification.structure.recording import record
from resnetx.verification.structure.result import StructureComparison
from resnetx.verification.structure.sketch import Sketch, sketch_graphs

# One image can't be told from a batch that was flattened with it, two can.
RECORDED_BATCH = 2


def compare_structure(
    model: ModelProto, module: nn.Module, example: Sequence[Tensor], *, precision: Precision | None = None
) -> StructureComparison:
    """Compare `model` with `module`, which is in evaluation mode and float32. `example` is what it takes.

    The module runs once, on a batch of the size that the file declares, or of two.
    """
    fitted = [_fitted(tensor, dims) for tensor, dims in zip(example, declared_shapes(model), strict=False)]
    return compare_graphs(module_graph(module, fitted or example), model, precision=precision)


def module_graph(module: nn.Module, example: Sequence[Tensor]) -> Graph:
    """What `module` does, in its canonical form."""
    graph = record(module, example)
    make_canonical(graph)
    return graph


def _fitted(tensor: Tensor, dims: Sequence[int | None]) -> Tensor:
    """The example with as many samples as the file takes."""
    if not tensor.dim():
        return tensor
    count = dims[0] if dims and dims[0] else RECORDED_BATCH
    return with_samples(tensor, count)


def with_samples(tensor: Tensor, count: int) -> Tensor:
    """The example with `count` samples, repeated where it has fewer."""
    repeats = -(-count // max(tensor.shape[0], 1))
    return torch.cat([tensor] * repeats)[:count] if repeats > 1 else tensor[:count]


def parameter_sketch(module: nn.Module, example: Sequence[Tensor]) -> Sketch:
    """What a machine without torch needs to compare a file with `module`, which runs on one and on two samples."""
    one, two = (module_graph(module, [with_samples(tensor, count) for tensor in example]) for count in (1, 2))
    return sketch_graphs(one, two)
