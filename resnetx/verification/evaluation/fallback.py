"""Rare operators, one node at a time through onnx's own reference implementation, in float64."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from resnetx.verification.evaluation.call import Call, integers_in
from resnetx.verification.evaluation.limits import refuse_large


def _input(index: int) -> Callable[[Call, Sequence[Tensor | None]], list[int]]:
    """The numbers of an input as a shape."""

    def shape(call: Call, inputs: Sequence[Tensor | None]) -> list[int]:
        tensor = inputs[index] if index < len(inputs) else None
        return [] if tensor is None else integers_in(tensor)

    return shape


def _no_growth(call: Call, inputs: Sequence[Tensor | None]) -> list[int]:
    return []


def _regions(call: Call, inputs: Sequence[Tensor | None]) -> list[int]:
    regions = 1 if len(inputs) < 2 or inputs[1] is None else inputs[1].shape[0]
    channels = 1 if inputs[0] is None else inputs[0].shape[1]
    samples = max(call.integer("sampling_ratio", 0), 1)
    return [regions, channels, call.integer("output_height", 1), call.integer("output_width", 1), samples, samples]


def _grid(call: Call, inputs: Sequence[Tensor | None]) -> list[int]:
    x, grid = inputs[0], inputs[1]
    return [] if x is None or grid is None else [*x.shape[:2], *grid.shape[1:-1]]


def _scores(call: Call, inputs: Sequence[Tensor | None]) -> list[int]:
    query, key = inputs[0], inputs[1]
    return [] if query is None or key is None else [*query.shape[:-1], key.shape[-2]]


# Operators that are deterministic and read nothing but their inputs, with a bound of the largest shape that they make.
REFERENCE: dict[str, Callable[[Call, Sequence[Tensor | None]], list[int]]] = {
    "AffineGrid": _input(1),
    "Attention": _scores,
    "CenterCropPad": _input(1),
    "Col2Im": _input(1),
    "DeformConv": _no_growth,
    "Det": _no_growth,
    "GRU": _no_growth,
    "GridSample": _grid,
    "LSTM": _no_growth,
    "NonMaxSuppression": _no_growth,
    "RNN": _no_growth,
    "RoiAlign": _regions,
    "RotaryEmbedding": _no_growth,
    "SwiGLU": _no_growth,
    "TensorScatter": _no_growth,
    "Unique": _no_growth,
}


def evaluate_by_reference(call: Call, *inputs: Tensor | None) -> tuple[Tensor, ...]:
    refuse_large(REFERENCE[call.node.op_type](call, inputs))
    node = call.node
    feeds = {
        name: tensor.detach().to(torch.float64).numpy() if tensor.is_floating_point() else tensor.detach().numpy()
        for name, tensor in zip(node.input, inputs, strict=True)
        if name and tensor is not None
    }
    evaluator = ReferenceEvaluator(node, opsets={"": call.opset})
    # Absurd numbers are the graph's affair, and no reason for a warning here.
    with np.errstate(all="ignore"):
        results = evaluator.run(None, feeds)
    return tuple(torch.from_numpy(np.array(result)) for result in results)
