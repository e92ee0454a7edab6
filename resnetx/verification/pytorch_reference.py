"""PyTorch as the reference: the same inputs in float64 (the truth) and in lower precisions (the expected noise)."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from resnetx.base.precisions import EPSILON
from resnetx.verification.long_sums import OneByOne
from resnetx.verification.network_trace import largest_magnitude, outputs_of, tensors_of, trace_network
from resnetx.verification.reference_outputs import Outputs, References, Trace, Traces

TORCH_TYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# Perturbed runs for the movement of single elements, and their size: what a correct runtime may be off by.
SWAYS = 3
SWAY_ROUNDINGS = 8.0
Feeds = Sequence[np.ndarray]


@dataclass(frozen=True)
class Network:
    """A trusted network in float32; `wrapper` is a prefix of its paths that the file's names don't have.

    `weight_bits` are those of weights in INT8: 7 for processors whose sums of 8-bit products overflow.
    """

    module: nn.Module
    wrapper: str = ""
    weight_bits: int = 8
    _traces: Traces = field(default_factory=Traces)

    def outputs(self, feeds: Feeds, precision: str | None = None) -> Outputs:
        """The outputs in float64, or in `precision`."""
        if precision is None:
            return self.exact(feeds)[0]
        if precision == "int8":
            return _run(fake_quantized(self.module, bits=self.weight_bits), feeds, torch.float32)
        dtype = TORCH_TYPES[precision]
        module = self.module if dtype == torch.float32 else copy.deepcopy(self.module).to(dtype)
        return _run(module, feeds, dtype)

    def largest(self, feeds: Feeds) -> float:
        """The largest magnitude of an inner tensor, in float32."""
        return largest_magnitude(self.module, feeds)

    def noisy(self, feeds: Feeds, precision: str, truth: Outputs) -> Outputs:
        """The outputs in `precision`; in float32, the worse of the two honest orders of adding long sums."""
        if precision != "fp32":
            return self.outputs(feeds, precision)
        with OneByOne() as mode:
            chain = self.outputs(feeds, precision)
        if not mode.found:
            return chain
        tree = self.outputs(feeds, precision)
        return [_farther(exact, a, b) for exact, a, b in zip(truth, tree, chain, strict=True)]

    def exact(self, feeds: Feeds) -> Trace:
        """The outputs and the inner tensors in float64."""

        def compute() -> Trace:
            return trace_network(copy.deepcopy(self.module).double(), feeds, wrapper=self.wrapper)

        return self._traces.get(feeds, "exact", compute)

    def rounded(self, feeds: Feeds) -> Trace:
        """As `exact`, in float32."""
        return trace_network(self.module, feeds, wrapper=self.wrapper, dtype=torch.float32)

    def perturbed(self, feeds: Feeds, precision: str) -> Trace:
        """As `exact`, but each parameter, or the inputs without any, is off by up to a rounding of `precision`."""
        inputs = not any(True for _ in self.module.parameters())
        return self._traces.get(feeds, precision, lambda: self.moved(feeds, precision, inputs=inputs))

    def moved(self, feeds: Feeds, precision: str, *, inputs: bool, factor: float = 1.0, seed: int = 0) -> Trace:
        """As `perturbed`, by up to `factor` roundings, and each input too if `inputs`."""
        generator = torch.Generator().manual_seed(seed)
        size = factor * EPSILON[precision]
        if precision == "int8":
            module = fake_quantized(self.module, bits=self.weight_bits, steps=False).double()
        else:
            module = copy.deepcopy(self.module).double()
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.is_floating_point():
                    tensor.data.mul_(_near_one(tensor.shape, size, generator))
        if inputs:
            feeds = [
                np.asarray(feed * _near_one(feed.shape, size, generator).numpy()) if feed.dtype.kind == "f" else feed
                for feed in feeds
            ]
        return trace_network(module, feeds, wrapper=self.wrapper)


def run_references(network: Network, batches: Sequence[Feeds], *, precisions: Sequence[str] = ("fp32",)) -> References:
    """Run every batch in float64 and in each of `precisions`."""
    truth = [network.outputs(feeds) for feeds in batches]
    noisy = {
        name: [network.noisy(feeds, name, exact) for feeds, exact in zip(batches, truth, strict=True)]
        for name in precisions
    }
    return References(
        truth=truth,
        noisy=noisy,
        perturbed=lambda index: network.perturbed(batches[index], "fp32")[0],
        sway=lambda index: sway(network, batches[index], truth[index]),
    )


def sway(network: Network, feeds: Feeds, truth: Outputs) -> Outputs:
    """How far each element moves if parameters and inputs are off by a few roundings.

    Where a step rounds, compares or selects, an element near a tie moves by the whole step; others hardly move.
    """
    moved = [np.zeros(exact.shape) for exact in truth]
    for seed in range(SWAYS):
        outputs, _ = network.moved(feeds, "fp32", inputs=True, factor=SWAY_ROUNDINGS, seed=seed)
        for far, output, exact in zip(moved, outputs, truth, strict=True):
            with np.errstate(invalid="ignore"):
                np.fmax(far, np.abs(output.astype(np.float64) - exact), out=far)
    return moved


def _near_one(shape: tuple[int, ...], size: float, generator: torch.Generator) -> Tensor:
    return 1 + size * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)


def _farther(exact: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(second - exact) > np.abs(first - exact), second, first)


@torch.no_grad()
def fake_quantized(module: nn.Module, *, bits: int = 8, steps: bool = True) -> nn.Module:
    """A copy that rounds like a correct INT8 network: weights per channel and, with `steps`, the inputs of layers.

    Ranges are those of the actual inputs, as from a perfect calibration.
    """
    converted, most = copy.deepcopy(module), 2 ** (bits - 1) - 1
    for child in converted.modules():
        if isinstance(child, nn.Conv2d | nn.Linear):
            across = tuple(range(1, child.weight.dim()))
            scale = child.weight.abs().amax(across, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / most
            child.weight.copy_((child.weight / scale).round() * scale)
            if steps:
                child.register_forward_pre_hook(lambda _, inputs: (_in_256_steps(inputs[0]),))
    return converted


def _in_256_steps(x: Tensor) -> Tensor:
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low).clamp(min=torch.finfo(torch.float32).tiny) / 255
    return ((x - low) / scale).round() * scale + low


@torch.no_grad()
def _run(module: nn.Module, feeds: Feeds, dtype: torch.dtype) -> Outputs:
    return outputs_of(module(*tensors_of(feeds, dtype)))
