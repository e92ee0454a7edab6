"""A ResNet's file run by cuDNN's fused kernels: convolution, bias, addition and ReLU in one.

ONNX Runtime's CUDA provider has such kernels for float32 only. This says how fast cuDNN would be with them in float16;
it runs the operators of ResNets, through PyTorch, which exposes these kernels.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch.nn import functional

Values = dict[str, torch.Tensor]
Step = Callable[[Values], None]


class FusedNetwork(torch.nn.Module):
    """The graph as a list of calls; a ReLU behind a convolution, and an addition between them, are one call with it."""

    def __init__(self, model: onnx.ModelProto, device: str, dtype: torch.dtype) -> None:
        super().__init__()
        graph = model.graph
        self._weights: Values = {}
        for tensor in graph.initializer:
            array = numpy_helper.to_array(tensor)
            value = torch.from_numpy(np.array(array))
            # Shapes are read on the processor.
            value = value.to(device, dtype) if value.is_floating_point() else value
            layout = torch.channels_last if value.dim() == 4 else torch.contiguous_format
            self._weights[tensor.name] = value.contiguous(memory_format=layout)
        self._input = graph.input[0].name
        self._output = graph.output[0].name
        self._steps = self._plan(list(graph.node))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values = {**self._weights, self._input: images}
        for step in self._steps:
            step(values)
        return values[self._output]

    def _plan(self, nodes: list[onnx.NodeProto]) -> list[Step]:
        uses = Counter(name for node in nodes for name in node.input)
        maker = {name: node for node in nodes for name in node.output}
        relu = {node.input[0]: node for node in nodes if node.op_type == "Relu" and uses[node.input[0]] == 1}
        inside: set[str] = set()
        steps: dict[str, Step] = {}
        for node in reversed(nodes):
            if node.op_type != "Add" or node.output[0] not in relu:
                continue
            # Of a block's two branches, the convolution that comes last takes the other one along.
            last = max(node.input, key=lambda name: _place(nodes, maker.get(name)))
            convolution = maker[last]
            if convolution.op_type == "Conv" and uses[last] == 1:
                other = next(name for name in node.input if name != last)
                after = relu[node.output[0]]
                steps[after.output[0]] = _convolution(convolution, after.output[0], other=other, relu=True)
                inside |= {last, node.output[0], after.output[0]}
        for node in nodes:
            name = node.output[0]
            if node.op_type == "Conv" and name in relu and name not in inside:
                after = relu[name].output[0]
                steps[after] = _convolution(node, after, other=None, relu=True)
                inside |= {name, after}
        plan = []
        for node in nodes:
            name = node.output[0]
            if name in steps:
                plan.append(steps[name])
            elif name not in inside:
                plan.append(_plain(node))
        return plan


def _place(nodes: list[onnx.NodeProto], node: onnx.NodeProto | None) -> int:
    return -1 if node is None else nodes.index(node)


def _attributes(node: onnx.NodeProto) -> dict[str, object]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _convolution(node: onnx.NodeProto, output: str, *, other: str | None, relu: bool) -> Step:
    has = _attributes(node)
    pads = list(has.get("pads", [0, 0, 0, 0]))  # type: ignore[call-overload]
    strides = list(has.get("strides", [1, 1]))  # type: ignore[call-overload]
    groups = int(has.get("group", 1))  # type: ignore[call-overload]
    source, weight, bias = node.input

    def run(values: Values) -> None:
        x, w, b = values[source], values[weight], values[bias]
        if other is not None:
            values[output] = torch.cudnn_convolution_add_relu(
                x, w, values[other], 1.0, b, strides, pads[:2], [1, 1], groups
            )
        elif relu:
            values[output] = torch.cudnn_convolution_relu(x, w, b, strides, pads[:2], [1, 1], groups)
        else:
            values[output] = functional.conv2d(x, w, b, strides, pads[:2], 1, groups)

    return run


def _plain(node: onnx.NodeProto) -> Step:
    """A node that is a call of its own."""
    has, output = _attributes(node), node.output[0]
    if node.op_type == "Conv":
        return _convolution(node, output, other=None, relu=False)

    def pooled(x: torch.Tensor) -> torch.Tensor:
        sizes = {"kernel_size": has["kernel_shape"], "stride": has["strides"], "padding": has["pads"][0]}  # type: ignore[index]
        return functional.max_pool2d(x, **sizes)  # type: ignore[arg-type]

    calls: dict[str, Callable[..., torch.Tensor]] = {
        "Relu": torch.relu,
        "Add": torch.add,
        "MaxPool": pooled,
        "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
        "ReduceMean": lambda x, *_: x.mean((2, 3), keepdim=bool(has.get("keepdims", 1))),
        "Flatten": lambda x: x.flatten(1),
        "Reshape": lambda x, shape: x.reshape([int(size) for size in shape]),
        "Cast": lambda x: x,  # floats are all of one type here
        "Identity": lambda x: x,
        "Gemm": lambda x, w, b: functional.linear(x, w if has.get("transB") else w.t(), b),
    }
    call = calls[node.op_type]

    def run(values: Values) -> None:
        values[output] = call(*(values[name] for name in node.input))

    return run


def recorded(network: torch.nn.Module, images: torch.Tensor) -> tuple[Callable[[torch.Tensor], None], torch.Tensor]:
    """A CUDA graph of the network: what copies new images to it and replays it, and the output that it writes."""
    still = images.clone(memory_format=torch.channels_last)
    with torch.inference_mode():
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                network(still)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = network(still)

    def replay(new: torch.Tensor) -> None:
        still.copy_(new)
        graph.replay()
        torch.cuda.synchronize()

    return replay, output
