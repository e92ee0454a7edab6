"""If, Loop and Scan: nodes that evaluate subgraphs."""

from collections.abc import Callable, Sequence

import torch
from onnx import GraphProto, TensorProto
from torch import Tensor

from resnetx.verification.evaluation.call import Call, normal_axis
from resnetx.verification.evaluation.limits import MAX_ITERATIONS, refuse_large
from resnetx.verification.evaluation.scope import Value
from resnetx.verification.evaluation.unsupported import UnsupportedGraph

# Evaluates a subgraph with values for its inputs, in order.
Evaluate = Callable[[GraphProto, Sequence[Value]], list[Value]]


class Iterations:
    """How many a run may still make, all its loops together."""

    def __init__(self) -> None:
        self.left = MAX_ITERATIONS

    def take(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise UnsupportedGraph(f"more than {MAX_ITERATIONS:,} iterations")


def branch(call: Call, inputs: Sequence[Value | None], evaluate: Evaluate, iterations: Iterations) -> list[Value]:
    condition = _required(inputs, 0)
    chosen = "then_branch" if bool(condition.tensor.reshape(())) else "else_branch"
    results = evaluate(call.attribute(chosen).g, [])
    return [Value(each.tensor, each.element_type, each.from_data or condition.from_data) for each in results]


def loop(call: Call, inputs: Sequence[Value | None], evaluate: Evaluate, iterations: Iterations) -> list[Value]:
    body = call.attribute("body").g
    limit = None if inputs[0] is None else int(inputs[0].tensor)
    go_on = inputs[1] is None or bool(inputs[1].tensor)
    carried = [_required(inputs, index) for index in range(2, len(inputs))]
    collected: list[list[Value]] = [[] for _ in range(len(body.output) - 1 - len(carried))]
    count = 0
    while go_on and (limit is None or count < limit):
        iterations.take()
        number = Value(torch.tensor(count, dtype=torch.int64), TensorProto.INT64)
        condition = Value(torch.tensor(True), TensorProto.BOOL)
        going, *results = evaluate(body, [number, condition, *carried])
        go_on = bool(going.tensor)
        carried = results[: len(carried)]
        for kept, each in zip(collected, results[len(carried) :], strict=True):
            kept.append(each)
        count += 1
    return [*carried, *(_joined(values, 0) for values in collected)]


def scan(call: Call, inputs: Sequence[Value | None], evaluate: Evaluate, iterations: Iterations) -> list[Value]:
    if call.opset < 9:
        raise NotImplementedError("Scan before opset 9")
    body = call.attribute("body").g
    scanned = call.integer("num_scan_inputs", 0)
    values = [_required(inputs, index) for index in range(len(inputs))]
    state, sequences = values[: len(values) - scanned], values[len(values) - scanned :]
    axes = call.integers("scan_input_axes") or [0] * scanned
    backwards = call.integers("scan_input_directions") or [0] * scanned
    rows = [
        Value(each.tensor.movedim(normal_axis(axis, each.tensor.dim()), 0), each.element_type, each.from_data)
        for each, axis in zip(sequences, axes, strict=True)
    ]
    collected: list[list[Value]] = [[] for _ in range(len(body.output) - len(state))]
    length = rows[0].tensor.shape[0]
    for index in range(length):
        iterations.take()
        items = [
            Value(each.tensor[length - 1 - index if back else index], each.element_type, each.from_data)
            for each, back in zip(rows, backwards, strict=True)
        ]
        results = evaluate(body, [*state, *items])
        state = results[: len(state)]
        for kept, each in zip(collected, results[len(state) :], strict=True):
            kept.append(each)
    out_axes = call.integers("scan_output_axes") or [0] * len(collected)
    out_backwards = call.integers("scan_output_directions") or [0] * len(collected)
    outputs = [
        _joined(kept[::-1] if back else kept, axis)
        for kept, axis, back in zip(collected, out_axes, out_backwards, strict=True)
    ]
    return [*state, *outputs]


def _joined(values: list[Value], axis: int) -> Value:
    if not values:
        raise NotImplementedError("a loop without iterations collects nothing, of an unknown shape")
    refuse_large([len(values), *values[0].tensor.shape])
    tensors: list[Tensor] = [each.tensor for each in values]
    axis = normal_axis(axis, tensors[0].dim() + 1)
    return Value(torch.stack(tensors, axis), values[0].element_type, any(each.from_data for each in values))


def _required(inputs: Sequence[Value | None], index: int) -> Value:
    value = inputs[index]
    if value is None:
        raise ValueError(f"the input {index} is left out")
    return value


CONTROL = {"If": branch, "Loop": loop, "Scan": scan}
