"""PyTorch as the reference: the same inputs in float64 (the truth) and in lower precisions (honest noise)."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

TORCH_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class References:
    """Outputs in the module's order, for each batch; `noisy` by precision."""

    truth: list[list[np.ndarray]]
    noisy: dict[str, list[list[np.ndarray]]]

    def noise(self, precision: str) -> list[list[np.ndarray]]:
        """Outputs in `precision`; int8 has no counterpart in torch, and is measured beside fp32."""
        return self.noisy.get(precision) or self.noisy["fp32"]

    def rearranged(self, batches: Sequence[Sequence[int]]) -> "References":
        """The references of batches made of the samples of the one batch that was run."""

        def pick(results: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
            return [[output[list(batch)] for output in results[0]] for batch in batches]

        return References(truth=pick(self.truth), noisy={name: pick(runs) for name, runs in self.noisy.items()})


def run_references(
    module: nn.Module, batches: Sequence[Sequence[np.ndarray]], *, precisions: Sequence[str] = ("fp32",)
) -> References:
    """Run every batch of inputs in float64 and in each of `precisions`."""

    def run(dtype: torch.dtype) -> list[list[np.ndarray]]:
        converted = module if dtype == torch.float32 else copy.deepcopy(module).to(dtype)
        return [_run(converted, feeds, dtype) for feeds in batches]

    return References(
        truth=run(torch.float64), noisy={precision: run(TORCH_TYPES[precision]) for precision in precisions}
    )


@torch.no_grad()
def _run(module: nn.Module, feeds: Sequence[np.ndarray], dtype: torch.dtype) -> list[np.ndarray]:
    tensors = [torch.from_numpy(feed) for feed in feeds]
    result = module(*(tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in tensors))
    leaves = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
    return [leaf.double().numpy() if leaf.is_floating_point() else leaf.numpy() for leaf in leaves]
