"""Records which channels of a PyTorch network each sample reaches."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from resnetx.inputs.sampling import samples_at_once
from resnetx.verification.channels import Layer, Piece, observed
from resnetx.verification.coverage_result import Coverage, Uncovered

# A channel varies if its range is more than so many times its largest magnitude: float32 rounds by 6e-8.
VARIES = 1e-6
# Run together at most.
CHUNK = 8
# A piece of a channel: the layer, the index of the piece, the channel.
Unit: TypeAlias = tuple[Layer, int, int]
SeePart: TypeAlias = Callable[[Layer, Tensor, int], None]


@dataclass(frozen=True)
class Activity:
    """What each sample of a run reaches in each layer."""

    # Of an activation: whether the sample reaches the piece in the channel, (samples, pieces, channels).
    reached: dict[Layer, Tensor]
    # Of a weighted layer: the least and greatest output, (samples, channels, 2).
    ranges: dict[Layer, Tensor]

    def only(self, sample: int) -> "Activity":
        one = slice(sample, sample + 1)
        return Activity(
            {layer: mask[one] for layer, mask in self.reached.items()},
            {layer: limits[one] for layer, limits in self.ranges.items()},
        )

    def largest(self) -> Tensor:
        """The largest magnitude that each sample causes in any weighted layer; NaN where one is NaN."""
        layers = [limits.abs().amax((1, 2)) for limits in self.ranges.values()]
        return torch.stack(layers).amax(0) if layers else torch.zeros(1)


class Reached:
    """What all samples so far reach together."""

    def __init__(self, activity: Activity) -> None:
        self.masks = {layer: mask.any(0) for layer, mask in activity.reached.items()}
        self.ranges = {layer: _joined(limits) for layer, limits in activity.ranges.items()}

    def copy(self) -> "Reached":
        other = Reached(Activity({}, {}))
        other.masks, other.ranges = dict(self.masks), dict(self.ranges)
        return other

    def add(self, activity: Activity) -> None:
        for layer, mask in activity.reached.items():
            self.masks[layer] = self.masks[layer] | mask.any(0)
        for layer, limits in activity.ranges.items():
            self.ranges[layer] = _joined(torch.cat([self.ranges[layer][None], limits]))

    def gains(self, activity: Activity) -> Tensor:
        """How many channels and pieces each of other samples reaches that none here does."""
        return torch.stack(
            [(mask & ~self.masks[layer]).flatten(1).sum(1) for layer, mask in activity.reached.items()]
        ).sum(0)

    def missing(self) -> list[Unit]:
        """What no sample reaches, in the order of the network."""
        return [
            (layer, piece, channel)
            for layer, mask in self.masks.items()
            for piece, channel in torch.nonzero(~mask).tolist()
        ]

    def coverage(self) -> Coverage:
        uncovered: list[Uncovered] = []
        total = covered = 0
        masks = [
            (layer.name, _state(piece), mask)
            for layer, reached in self.masks.items()
            for piece, mask in zip(layer.pieces, reached, strict=True)
        ]
        masks += [(layer.name, "constant", _varies(limits)) for layer, limits in self.ranges.items()]
        for name, state, mask in masks:
            total += len(mask)
            covered += int(mask.sum())
            if not mask.all():
                channels = tuple(int(channel) for channel in torch.nonzero(~mask).flatten())
                uncovered.append(Uncovered(layer=name, channels=channels, state=state))
        return Coverage(total=total, covered=covered, uncovered=tuple(uncovered))


def _joined(limits: Tensor) -> Tensor:
    """The range of all samples, (channels, 2), without those that overflow."""
    finite = limits.isfinite().all(-1)
    low, high = limits[..., 0].where(finite, math.inf), limits[..., 1].where(finite, -math.inf)
    return torch.stack([low.amin(0), high.amax(0)], -1)


def _varies(limits: Tensor) -> Tensor:
    low, high = limits.T
    varies: Tensor = (low < high) & (high - low > VARIES * limits.abs().amax(1))
    return varies


def _state(piece: Piece) -> str:
    low, high = piece
    if math.isinf(high):
        return f"never above {low:g}"
    return f"never below {high:g}" if math.isinf(low) else f"never between {low:g} and {high:g}"


@torch.no_grad()
def observe(module: nn.Module, inputs: Sequence[Tensor], *, wrapper: str = "", also: SeePart | None = None) -> Activity:
    """Run all samples, a few at a time, and record what each reaches.

    `also` sees every layer too, with the number of the first sample in its tensor.
    """
    reached: dict[Layer, list[Tensor]] = {}
    ranges: dict[Layer, list[Tensor]] = {}
    first = 0

    def see(layer: Layer, values: Tensor) -> None:
        if layer.pieces:
            pieces = [((values > low) & (values < high)).any(-1) for low, high in layer.pieces]
            reached.setdefault(layer, []).append(torch.stack(pieces, 1))
        else:
            ranges.setdefault(layer, []).append(torch.stack([values.amin(-1), values.amax(-1)], -1))
        if also is not None:
            also(layer, values, first)

    pixels = max(tensor[0].numel() for tensor in inputs) // 3
    size = min(CHUNK, samples_at_once(pixels))
    for first in range(0, len(inputs[0]), size):
        chunk = [tensor[first : first + size] for tensor in inputs]
        with observed(module, len(chunk[0]), see, wrapper=wrapper):
            module(*in_type_of(module, chunk))
    return Activity(
        {layer: torch.cat(parts) for layer, parts in reached.items()},
        {layer: torch.cat(parts) for layer, parts in ranges.items()},
    )


def in_type_of(module: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The inputs with floats in the type of the module's parameters."""
    types = (parameter.dtype for parameter in module.parameters() if parameter.is_floating_point())
    dtype = next(types, torch.float32)
    return [tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in inputs]
