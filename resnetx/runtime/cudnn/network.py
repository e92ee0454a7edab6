"""A graph as a list of calls, in which a convolution takes along the addition and the ReLU that follow it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from resnetx.base.text import readable
from resnetx.errors import GraphError
from resnetx.runtime.cudnn.convolutions import Ways
from resnetx.runtime.cudnn.operators import OPERATORS, SEARCHED, SETTINGS, Compute, convolution
from resnetx.runtime.file_boundary import real_inputs

FUSED = {(False, False): "convolution", (False, True): "convolution + ReLU", (True, True): "convolution + Add + ReLU"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call: its kind, the names of what it reads and writes, and constant lists in the places of some inputs."""

    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    compute: Compute
    settings: Mapping[int, list[int]]


class Network:
    """The calls of a graph, in its order, and its weights on the device."""

    def __init__(self, graph: onnx.GraphProto, device: torch.device, *, search: bool) -> None:
        self.inputs = [value.name for value in real_inputs(graph)]
        self.outputs = [value.name for value in graph.output]
        constants = _constants(graph)
        self.ways = Ways(search=search)
        self.steps = _plan(graph, constants, self.ways)
        used = {name for step in self.steps for name in step.reads} | set(self.outputs)
        self._weights = {name: _weight(array, device) for name, array in constants.items() if name in used}

    def __call__(self, images: Sequence[Tensor]) -> list[Tensor]:
        values: dict[str, Tensor | None] = {"": None, **self._weights}
        values |= dict(zip(self.inputs, images, strict=True))
        for step in self.steps:
            inputs: list[object] = [values[name] for name in step.reads]
            for place, setting in step.settings.items():
                inputs[place] = setting
            result = step.compute(*inputs)
            found = (result,) if isinstance(result, Tensor) else result
            values.update(zip(step.writes, found, strict=False))
        return [tensor for name in self.outputs if (tensor := values[name]) is not None]

    def kinds(self) -> Counter[str]:
        """How many convolutions take along what."""
        return Counter(step.kind for step in self.steps if step.kind in FUSED.values())


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            value = next(helper.get_attribute_value(each) for each in node.attribute)
            tensor = isinstance(value, onnx.TensorProto)
            found[node.output[0]] = numpy_helper.to_array(value) if tensor else np.asarray(value)
    return found


def _weight(array: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.from_numpy(np.array(array)).to(device)
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _plan(graph: onnx.GraphProto, constants: Mapping[str, np.ndarray], ways: Ways) -> list[Step]:
    nodes = [node for node in graph.node if node.op_type != "Constant"]
    uses = Counter(name for node in nodes for name in node.input)
    # An output of the graph is read from outside.
    uses.update(value.name for value in graph.output)
    only_reader = {name: node for node in nodes for name in node.input if uses[name] == 1}
    place = {name: number for number, node in enumerate(nodes) for name in node.output}
    inside: set[int] = set()
    steps: dict[int, Step] = {}
    for number, node in enumerate(nodes):
        if node.op_type != "Conv":
            continue
        last, other = node, None
        after = only_reader.get(node.output[0])
        if after is not None and after.op_type == "Add":
            name = next((name for name in after.input if name != node.output[0]), "")
            # Of two convolutions that are added, the later one takes the other along: only then it is there.
            if name and name not in constants and place.get(name, -1) < number:
                relu = only_reader.get(after.output[0])
                if relu is not None and relu.op_type == "Relu":
                    last, other = relu, name
                    inside.add(place[after.output[0]])
        elif after is not None and after.op_type == "Relu":
            last = after
        inside |= {number, place[last.output[0]]}
        steps[place[last.output[0]]] = _convolution(node, last, other, ways)
    return [
        steps.get(number) or _single(node, constants, ways)
        for number, node in enumerate(nodes)
        if number in steps or number not in inside
    ]


def _convolution(node: onnx.NodeProto, last: onnx.NodeProto, other: str | None, ways: Ways) -> Step:
    weights = [*node.input, ""][:3]
    relu = last is not node
    return Step(
        kind=FUSED[other is not None, relu],
        reads=(*weights, *(() if other is None else (other,))),
        writes=(last.output[0],),
        compute=_supported(node, lambda: convolution(_attributes(node), ways, relu=relu)),
        settings={},
    )


def _single(node: onnx.NodeProto, constants: Mapping[str, np.ndarray], ways: Ways) -> Step:
    searched = SEARCHED.get(node.op_type)
    make = OPERATORS.get(node.op_type) if searched is None else lambda has: searched(has, ways)
    if make is None or node.domain not in ("", "ai.onnx"):
        raise GraphError(
            f"cudnn runs convolutional networks only: it does not know the operator {readable(node.op_type[:40])} of "
            f"the node {readable(node.name[:60])!r}. Choose the provider cuda"
        )
    settings = {}
    for index in SETTINGS.get(node.op_type, ()):
        if index < len(node.input):
            if node.input[index] not in constants:
                raise GraphError(f"the node {readable(node.name[:60])!r} computes a shape while it runs")
            settings[index] = [int(size) for size in constants[node.input[index]].reshape(-1)]
    return Step(
        kind=node.op_type,
        reads=tuple("" if place in settings else name for place, name in enumerate(node.input)),
        writes=tuple(node.output),
        compute=_supported(node, lambda: make(_attributes(node))),
        settings=settings,
    )


def _supported(node: onnx.NodeProto, make: Callable[[], Compute]) -> Compute:
    try:
        return make()
    except KeyError as error:
        raise GraphError(f"the node {readable(node.name[:60])!r} lacks the attribute {error}") from error


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}
