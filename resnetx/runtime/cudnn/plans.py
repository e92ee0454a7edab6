"""Convolutions as graphs of cuDNN, which need no addend where nothing is added, and all the plans it has for each.

PyTorch does not offer them: they are built by NVIDIA's package `cudnn` (nvidia-cudnn-frontend), where it is installed.
"""

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from resnetx.runtime.cudnn.windows import Geometry

# cuDNN orders its plans by what it expects of them.
MOST_PLANS = 20
IMAGE, WEIGHT, BIAS, ADDED, RESULT = range(1, 6)


@cache
def library() -> ModuleType | None:
    """The package, or None where it is missing or finds no cuDNN that it can use."""
    try:
        return import_module("cudnn")
    except Exception:  # it looks for cuDNN itself, and fails in ways of its own
        return None


def version() -> str:
    """That of the package, for the facts of a session."""
    module = library()
    return "not installed" if module is None else str(module.__version__)


@cache
def _handle() -> Any:
    module = library()
    assert module is not None
    return module.create_handle()


def plans(
    geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None
) -> dict[str, Callable[..., Tensor]]:
    """The plans of cuDNN for such a convolution in float16, by their names; none where it cannot be had."""
    module = library()
    if module is None:
        return {}
    refusals = (RuntimeError, module.cudnnGraphNotSupportedError)
    try:
        graph = _graph(module, geometry, x, weight, bias, added)
        count = graph.get_execution_plan_count()
    except refusals:  # cuDNN has no kernel for it
        return {}
    found: dict[str, Callable[..., Tensor]] = {}
    for index in range(min(count, MOST_PLANS)):
        try:
            graph.build_plan_at_index(index)
        except refusals:
            continue
        found[f"cuDNN, plan {index}"] = partial(_run, module, graph, index, geometry.shape(x, weight))
    return found


def _graph(
    module: ModuleType, geometry: Geometry, x: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None
) -> Any:
    half, single = module.data_type.HALF, module.data_type.FLOAT
    graph = module.pygraph(handle=_handle(), io_data_type=half, intermediate_data_type=single, compute_data_type=single)

    def tensor(uid: int, shape: tuple[int, ...]) -> Any:
        return graph.tensor(uid=uid, dim=list(shape), stride=_strides(shape), data_type=half)

    result = graph.conv_fprop(
        image=tensor(IMAGE, tuple(x.shape)),
        weight=tensor(WEIGHT, tuple(weight.shape)),
        padding=list(geometry.pads),
        stride=list(geometry.strides),
        dilation=list(geometry.dilations),
    )
    if added is not None:
        result = graph.add(a=result, b=tensor(ADDED, tuple(added.shape)))
    if bias is not None:
        result = graph.bias(input=result, bias=tensor(BIAS, (1, len(bias), 1, 1)))
    if geometry.relu:
        result = graph.relu(input=result)
    shape = geometry.shape(x, weight)
    result.set_output(True).set_data_type(half).set_uid(RESULT).set_dim(list(shape)).set_stride(_strides(shape))
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([module.heur_mode.A, module.heur_mode.FALLBACK])
    graph.check_support()
    return graph


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Those of channels last."""
    _, channels, height, width = shape
    return [channels * height * width, 1, channels * width, channels]


def _run(
    module: ModuleType,
    graph: Any,
    index: int,
    shape: tuple[int, ...],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    added: Tensor | None,
) -> Tensor:
    last = torch.channels_last
    result = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=last)
    size = max(1, graph.get_workspace_size_plan_at_index(index))
    workspace = torch.empty(size, dtype=torch.uint8, device=x.device)
    tensors = {IMAGE: x.contiguous(memory_format=last), WEIGHT: weight, RESULT: result}
    if bias is not None:
        tensors[BIAS] = bias
    if added is not None:
        tensors[ADDED] = added.contiguous(memory_format=last)
    handle = _handle()
    module.set_stream(handle=handle, stream=torch.cuda.current_stream(x.device).cuda_stream)
    graph.execute_plan_at_index(tensors, workspace, index, handle=handle)
    return result
