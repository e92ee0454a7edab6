"""Compares a file with a torch module, operation by operation and weight by weight."""

from collections.abc import Sequence

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn

from resnetx.base.precisions import Precision
from resnetx.inputs.batch_dimension import batched_shape
from resnetx.verification.structure.canonical import make_canonical
from resnetx.verification.structure.compare import compare_for_batches
from resnetx.verification.structure.graph import Graph
from resnetx.verification.structure.recording import record
from resnetx.verification.structure.result import StructureComparison
from resnetx.verification.structure.sketch import StructureSketch, sketch_graphs


def compare_structure(
    model: ModelProto, module: nn.Module, example: Sequence[Tensor | np.ndarray], *, precision: Precision | None = None
) -> StructureComparison:
    """Compare `model` with `module`, which is in evaluation mode and float32. `example` is what it takes.

    The module runs once, on a batch of the size that the file declares, or of two.
    """
    tensors = [torch.as_tensor(each) for each in example]
    tensors = [each.float() if each.is_floating_point() else each for each in tensors]
    return compare_for_batches(
        lambda batch: module_graph(module, with_samples(tensors, batch)),
        model,
        precision=precision,
    )


def module_graph(module: nn.Module, example: Sequence[Tensor]) -> Graph:
    """What `module` does, in its canonical form."""
    graph = record(module, example)
    make_canonical(graph)
    return graph


def with_samples(example: Sequence[Tensor], count: int) -> list[Tensor]:
    """The example with `count` samples, repeated where it has fewer; what has no batch dimension remains as it is."""
    size = batched_shape([tensor.shape for tensor in example])[:1]
    repeats = -(-count // max(*size, 1)) if size else 1
    return [
        torch.cat([tensor] * repeats)[:count] if tensor.dim() and tensor.shape[:1] == size else tensor
        for tensor in example
    ]


def parameter_sketch(module: nn.Module, example: Sequence[Tensor]) -> StructureSketch:
    """What a machine without torch needs to compare a file with `module`, which runs on one and on two samples."""
    one, two = (module_graph(module, with_samples(example, count)) for count in (1, 2))
    return sketch_graphs(one, two)
