"""PyTorch as the reference: the same inputs in float64 (the truth) and in lower precisions (the expected noise)."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from resnetx.verification.reference_outputs import LayerAnswers, References

TORCH_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def run_references(
    module: nn.Module, batches: Sequence[Sequence[np.ndarray]], *, precisions: Sequence[str] = ("fp32",)
) -> References:
    """Run every batch of inputs in float64 and in each of `precisions`."""

    def run(dtype: torch.dtype) -> list[list[np.ndarray]]:
        converted = module if dtype == torch.float32 else copy.deepcopy(module).to(dtype)
        return [_run(converted, feeds, dtype) for feeds in batches]

    def run_int8() -> list[list[np.ndarray]]:
        converted = fake_quantized(module)
        return [_run(converted, feeds, torch.float32) for feeds in batches]

    return References(
        truth=run(torch.float64),
        noisy={name: run_int8() if name == "int8" else run(TORCH_TYPES[name]) for name in precisions},
    )


@torch.no_grad()
def fake_quantized(module: nn.Module) -> nn.Module:
    """A copy that rounds like a correct INT8 network: weights per channel, the inputs of layers per tensor.

    Ranges are those of the actual inputs, as from a perfect calibration.
    """
    converted = copy.deepcopy(module)
    for child in converted.modules():
        if isinstance(child, nn.Conv2d | nn.Linear):
            across = tuple(range(1, child.weight.dim()))
            scale = child.weight.abs().amax(across, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
            child.weight.copy_((child.weight / scale).round() * scale)
            child.register_forward_pre_hook(lambda _, inputs: (_in_256_steps(inputs[0]),))
    return converted


def _in_256_steps(x: Tensor) -> Tensor:
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low).clamp(min=torch.finfo(torch.float32).tiny) / 255
    return ((x - low) / scale).round() * scale + low


@torch.no_grad()
def _run(module: nn.Module, feeds: Sequence[np.ndarray], dtype: torch.dtype) -> list[np.ndarray]:
    tensors = [torch.from_numpy(feed) for feed in feeds]
    result = module(*(tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors))
    leaves = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
    return [leaf.double().numpy() if leaf.is_floating_point() else leaf.numpy() for leaf in leaves]


@torch.no_grad()
def trace_layers(module: nn.Module, feeds: Sequence[np.ndarray], *, wrapper: str = "") -> LayerAnswers:
    """The outputs of every module without children, for each call, in float64 and float32.

    `wrapper` is a path prefix that the file's names don't have.
    """
    truth, folded = _trace(copy.deepcopy(module).double(), feeds, torch.float64, wrapper)
    noisy, _ = _trace(module, feeds, torch.float32, wrapper)
    return LayerAnswers(truth=truth, noisy=noisy, folded=folded)


def _trace(
    module: nn.Module, feeds: Sequence[np.ndarray], dtype: torch.dtype, wrapper: str
) -> tuple[dict[str, list[np.ndarray]], dict[str, str]]:
    answers: dict[str, list[np.ndarray]] = {}
    folded: dict[str, str] = {}
    # The tensors are kept, not only their ids: the id of a freed tensor can be reused.
    made: list[tuple[Tensor, str]] = []

    def listen(path: str, child: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if not isinstance(output, Tensor):
                return
            answers.setdefault(path, []).append(output.numpy().copy())
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                source = next((name for tensor, name in made if tensor is inputs[0]), None)
                if source is not None:
                    folded[source] = path
            elif not isinstance(child, nn.ReLU):
                made.append((output, path))
                del made[:-8]

        return child.register_forward_hook(hook)

    prefix = f"{wrapper}." if wrapper else ""
    leaves = [
        (path, child) for path, child in module.named_modules() if path and not any(True for _ in child.children())
    ]
    handles = [listen(path.removeprefix(prefix), child) for path, child in leaves]
    try:
        _run(module, feeds, dtype)
    finally:
        for handle in handles:
            handle.remove()
    return answers, folded
