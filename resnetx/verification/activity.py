"""Records which channels of a PyTorch network each sample reaches."""

import math
from collections.abc import Callable, Sequence
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
SeePart: TypeAlias = Callable[[Layer, Tensor, int], None]


class Activity:
    """What each sample reaches in each layer."""

    def __init__(self) -> None:
        # Of an activation: whether the sample reaches the piece in the channel, (samples, pieces, channels).
        self.reached: dict[Layer, list[Tensor]] = {}
        # Of a weighted layer: the least and greatest output, (samples, channels, 2).
        self.ranges: dict[Layer, list[Tensor]] = {}

    def see(self, layer: Layer, tensor: Tensor) -> None:
        values = tensor.detach()
        if layer.pieces:
            pieces = [((values > low) & (values < high)).any(-1) for low, high in layer.pieces]
            self.reached.setdefault(layer, []).append(torch.stack(pieces, 1))
        else:
            ranges = torch.stack([values.amin(-1), values.amax(-1)], -1)
            self.ranges.setdefault(layer, []).append(ranges)

    def coverage(self) -> Coverage:
        """The channels that all samples together reach."""
        uncovered: list[Uncovered] = []
        total = covered = 0
        masks = [
            (layer.name, _never(piece), mask)
            for layer, reached in self.reached.items()
            for piece, mask in zip(layer.pieces, torch.cat(reached).any(0), strict=True)
        ]
        masks += [(layer.name, "do not vary", _varies(torch.cat(ranges))) for layer, ranges in self.ranges.items()]
        for name, never, mask in masks:
            total += len(mask)
            covered += int(mask.sum())
            if not mask.all():
                channels = tuple(int(channel) for channel in torch.nonzero(~mask).flatten())
                uncovered.append(Uncovered(layer=name, channels=channels, never=never))
        return Coverage(total=total, covered=covered, uncovered=tuple(uncovered))

    def add(self, other: "Activity") -> None:
        """Add the samples of another run of the same network."""
        for mine, theirs in ((self.reached, other.reached), (self.ranges, other.ranges)):
            for layer, parts in theirs.items():
                mine.setdefault(layer, []).extend(parts)

    def only(self, sample: int) -> "Activity":
        """What one sample reaches."""
        one = Activity()
        one.reached = {layer: [torch.cat(parts)[sample : sample + 1]] for layer, parts in self.reached.items()}
        one.ranges = {layer: [torch.cat(parts)[sample : sample + 1]] for layer, parts in self.ranges.items()}
        return one

    def missing(self) -> list[tuple[Layer, int, int]]:
        """The channels and pieces of activations that no sample reaches, in the order of the network."""
        found = []
        for layer, reached in self.reached.items():
            for piece, channel in torch.nonzero(~torch.cat(reached).any(0)).tolist():
                found.append((layer, piece, channel))
        return found

    def gains(self, other: "Activity") -> Tensor:
        """How many channels and pieces each sample of `other` reaches that none here does."""
        new = [
            (torch.cat(other.reached[layer]) & ~torch.cat(reached).any(0)).flatten(1).sum(1)
            for layer, reached in self.reached.items()
            if layer in other.reached
        ]
        return torch.stack(new).sum(0) if new else torch.zeros(0)

    def largest(self) -> Tensor:
        """The largest magnitude that each sample causes in any weighted layer; NaN where one is NaN."""
        layers = [torch.cat(ranges).abs().amax((1, 2)) for ranges in self.ranges.values()]
        return torch.stack(layers).amax(0) if layers else torch.zeros(1)


def _varies(ranges: Tensor) -> Tensor:
    low, high = ranges[..., 0].amin(0), ranges[..., 1].amax(0)
    return high - low > VARIES * torch.maximum(low.abs(), high.abs())


def _never(piece: Piece) -> str:
    low, high = piece
    if math.isinf(high):
        return f"are never above {low:g}"
    return f"are never below {high:g}" if math.isinf(low) else f"are never between {low:g} and {high:g}"


@torch.no_grad()
def observe(module: nn.Module, inputs: Sequence[Tensor], *, wrapper: str = "", also: SeePart | None = None) -> Activity:
    """Run all samples, a few at a time, and record what they reach.

    `also` sees every layer too, with the number of the first sample in its tensor.
    """
    activity = Activity()
    first = 0

    def see(layer: Layer, tensor: Tensor) -> None:
        activity.see(layer, tensor)
        if also is not None:
            also(layer, tensor, first)

    pixels = max(tensor[0].numel() for tensor in inputs) // 3
    size = min(CHUNK, samples_at_once(pixels))
    for first in range(0, len(inputs[0]), size):
        chunk = [tensor[first : first + size] for tensor in inputs]
        with observed(module, len(chunk[0]), see, wrapper=wrapper):
            module(*in_type_of(module, chunk))
    return activity


def in_type_of(module: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The inputs with floats in the type of the module's parameters."""
    types = (parameter.dtype for parameter in module.parameters() if parameter.is_floating_point())
    dtype = next(types, torch.float32)
    return [tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in inputs]
