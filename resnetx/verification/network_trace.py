"""Records what a torch module computes, operator by operator, as sketches."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnetx.inputs.batch_dimension import batched_shape
from resnetx.model.results import named_tensors
from resnetx.verification.evaluation.by_sample import by_sample
from resnetx.verification.operator_mode import OperatorMode
from resnetx.verification.sketch import NamedSketch, sketch


@torch.no_grad()
def trace_network(
    module: nn.Module, feeds: Sequence[np.ndarray], *, wrapper: str = "", dtype: torch.dtype = torch.float64
) -> tuple[list[np.ndarray], tuple[NamedSketch, ...]]:
    """The outputs of a module of this type, and all inner floating tensors with a batch dimension, in order.

    Functional calls are recorded like modules. `wrapper` is a prefix of paths that the file's names don't have.
    """
    tensors = tensors_of(feeds, dtype)
    recorded: list[NamedSketch] = []
    with _stack_of_modules(module, wrapper) as stack:

        def record(op: str, output: Tensor) -> None:
            path, leaf = stack[-1]
            name = path if leaf else f"{path}.{op}".strip(".")
            recorded.append(NamedSketch(name=name, sketch=sketch(output.double().numpy()), op=op))

        with _Recorder(record, batch=_batch_of(tensors)):
            result = module(*tensors)
    return outputs_of(result), tuple(recorded)


@torch.no_grad()
def largest_magnitude(module: nn.Module, feeds: Sequence[np.ndarray]) -> float:
    """The largest magnitude of any tensor that the module computes in float32."""
    tensors = tensors_of(feeds, torch.float32)
    largest = [float(tensor.abs().max()) for tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    with _Recorder(lambda _, output: largest.append(float(output.abs().max())), batch=_batch_of(tensors)):
        module(*tensors)
    return max(largest, default=0.0)


def tensors_of(feeds: Sequence[np.ndarray], dtype: torch.dtype) -> list[Tensor]:
    tensors = [torch.from_numpy(feed) for feed in feeds]
    return [tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors]


def _batch_of(tensors: Sequence[Tensor]) -> int:
    return next(iter(batched_shape([tensor.shape for tensor in tensors])), 1)


def outputs_of(result: object) -> list[np.ndarray]:
    """The tensors of a module's result, in order; floats in float64."""
    leaves = named_tensors(result).values()
    return [leaf.double().numpy() if leaf.is_floating_point() else leaf.numpy() for leaf in leaves]


class _Recorder(OperatorMode):  # type: ignore[no-untyped-call]
    def __init__(self, record: Callable[[str, Tensor], None], *, batch: int) -> None:
        super().__init__()
        self._record = record
        self._batch = batch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        convolves = func is torch.ops.aten.convolution.default
        result = by_sample(func, *args) if convolves else func(*args, **(kwargs or {}))
        first = result[0] if isinstance(result, tuple | list) and result else result
        if isinstance(first, Tensor) and self._is_batch(first):
            # Views of a tensor are that tensor; an operator that changes its input in place is recorded after it.
            self._record(func.__name__.partition(".")[0].strip("_"), first.detach())
        return result

    def _is_batch(self, tensor: Tensor) -> bool:
        floats = tensor.is_floating_point() and tensor.numel() > 0
        return floats and tensor.dim() > 0 and len(tensor) == self._batch


@contextmanager
def _stack_of_modules(module: nn.Module, wrapper: str) -> Iterator[list[tuple[str, bool]]]:
    stack: list[tuple[str, bool]] = [("", False)]
    prefix = f"{wrapper}." if wrapper else ""

    def listen(path: str, child: nn.Module) -> list[torch.utils.hooks.RemovableHandle]:
        entry = (path.removeprefix(prefix), not any(True for _ in child.children()))
        before = child.register_forward_pre_hook(lambda *_: stack.append(entry))
        # Always called, so that an exception inside does not leave the stack too high.
        after = child.register_forward_hook(lambda *_: void(stack.pop()), always_call=True)
        return [before, after]

    handles = [handle for path, child in module.named_modules() if path for handle in listen(path, child)]
    try:
        yield stack
    finally:
        for handle in handles:
            handle.remove()


def void(_: object) -> None:
    """A hook that returns a value would replace the output."""
