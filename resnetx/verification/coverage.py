"""Measures which channels of a PyTorch network the inputs of a verification reach, and adds inputs for the others."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from resnetx.inputs.samples import KINDS, generator_of
from resnetx.inputs.signature_feeds import as_image
from resnetx.verification.activity import Activity, Reached, Unit, in_type_of, observe
from resnetx.verification.channels import Layer, observed
from resnetx.verification.coverage_result import Coverage

SHARE = 0.99
# Forward passes of one sample beyond the measurement; one with a gradient counts as three. About twice the samples of
# a verification, so that the search takes no longer than the rest.
BUDGET = 96
MOST_ADDED = 4
# The search for a group of channels: so many images, so many channels for each, so many steps.
IMAGES = 2
UNITS = 64
STEPS = 3
# Tries of a channel, each from another sample.
TRIES = 3
# So many lengths of a step are tried, from half the spread of an ordinary sample up to the largest element.
LENGTHS = 4
# How far beyond the edge of its piece a value should come, in mean magnitudes of its layer.
MARGIN = 0.05
# Random inputs are tried first, because one of them can reach many channels.
RANDOM_FIRST = 8
FORWARD_AND_BACKWARD = 3


def measure_coverage(module: nn.Module, inputs: Sequence[np.ndarray], *, wrapper: str = "") -> Coverage:
    """The channels of a network in evaluation mode that its inputs reach; an array of samples for each of its inputs.

    `wrapper` is a path prefix that the names of layers don't have.
    """
    return Reached(observe(module, [torch.from_numpy(array) for array in inputs], wrapper=wrapper)).coverage()


def cover(
    module: nn.Module,
    inputs: Sequence[np.ndarray],
    *,
    share: float = SHARE,
    budget: int = BUDGET,
    most_added: int = MOST_ADDED,
    limit: float = 1e30,
    seed: int = 0,
    wrapper: str = "",
) -> tuple[list[np.ndarray], Coverage]:
    """Add samples until `share` of the channels is reached, or the budget ends.

    Samples are searched at random and along the gradients of channels that no sample reaches. Their elements are not
    larger than the largest of `inputs`, and those that cause a magnitude above `limit` in the network are not used.
    """
    search = _Search(module, [torch.from_numpy(array) for array in inputs], wrapper, share, budget, limit, seed)
    search.run()
    chosen, coverage = search.best(most_added)
    arrays = [
        np.concatenate([array, *(sample[place].numpy() for sample in chosen)]) for place, array in enumerate(inputs)
    ]
    return arrays, coverage


@dataclass(frozen=True)
class _Found:
    """A sample that reaches something new."""

    inputs: list[Tensor]
    activity: Activity


class _Search:
    def __init__(
        self,
        module: nn.Module,
        inputs: list[Tensor],
        wrapper: str,
        share: float,
        budget: int,
        limit: float,
        seed: int,
    ) -> None:
        self.module = module
        self.inputs = inputs
        self.wrapper = wrapper
        self.share = share
        self.passes_left = budget
        self.limit = limit
        self.generator = generator_of(seed, len(KINDS))
        self.before = Reached(observe(module, inputs, wrapper=wrapper))
        # With what was found.
        self.reached = self.before.copy()
        self.found: list[_Found] = []
        # The mean magnitude of each layer, so that the distances of different layers compare.
        self.magnitudes: dict[Layer, Tensor] = {}

    def run(self) -> None:
        self._explore(RANDOM_FIRST)
        self._climb()
        while self._goes_on(1):
            self._explore(min(RANDOM_FIRST, self.passes_left))

    def best(self, most: int) -> tuple[list[list[Tensor]], Coverage]:
        """The samples that reach the most, and the coverage with them."""
        reached = self.before.copy()
        chosen: list[list[Tensor]] = []
        rest = list(self.found)
        while rest and len(chosen) < most and reached.coverage().share < self.share:
            gains = [int(reached.gains(found.activity)) for found in rest]
            best = int(np.argmax(gains))
            if not gains[best]:
                break
            found = rest.pop(best)
            reached.add(found.activity)
            chosen.append(found.inputs)
        return chosen, replace(reached.coverage(), added=len(chosen))

    def _goes_on(self, cost: int) -> bool:
        return cost <= self.passes_left and bool(self.reached.missing()) and self.reached.coverage().share < self.share

    def _try(self, candidates: Sequence[Tensor], groups: Sequence[Sequence[Unit]] = ()) -> Tensor:
        """Run candidates and keep those that reach something new. Returns their distances from their units."""
        distances = torch.zeros(len(candidates[0]), dtype=torch.float64)

        def measure(layer: Layer, tensor: Tensor, first: int) -> None:
            part = slice(first, first + len(tensor))
            distances[part] += self._distances(layer, tensor, groups[part])

        activity = observe(self.module, candidates, wrapper=self.wrapper, also=measure if groups else None)
        self.passes_left -= len(candidates[0])
        allowed = activity.largest() <= self.limit  # false for NaN
        while True:
            gains = self.reached.gains(activity) * allowed
            best = int(gains.argmax())
            if not gains[best]:
                return torch.where(allowed, distances, math.inf)
            one = activity.only(best)
            self.reached.add(one)
            self.found.append(_Found([tensor[best : best + 1] for tensor in candidates], one))

    # Along gradients.

    def _climb(self) -> None:
        tries: Counter[Unit] = Counter()
        cost = IMAGES * (FORWARD_AND_BACKWARD + LENGTHS)
        while self._goes_on(cost):
            # The first layers first: what they pass on decides what later ones can reach.
            units = sorted((unit for unit in self.reached.missing() if tries[unit] < TRIES), key=tries.__getitem__)
            if not units:
                return
            start = tries[units[0]] % len(self.inputs[0])
            units = units[: IMAGES * UNITS]
            tries.update(units)
            each = -(-len(units) // IMAGES)
            groups = [units[first : first + each] for first in range(0, len(units), each)]
            samples = [torch.stack([tensor[start]] * len(groups)) for tensor in self.inputs]
            for _ in range(STEPS):
                if not self._goes_on(cost):
                    return
                gradients = self._gradients(samples, groups)
                if gradients is None:
                    return
                steps = [self._step(samples, gradients, length) for length in range(LENGTHS)]
                candidates = [torch.cat(parts) for parts in zip(*steps, strict=True)]
                distances = self._try(candidates, groups * LENGTHS).view(LENGTHS, -1)
                nearest = distances.argmin(0) * len(groups) + torch.arange(len(groups))
                samples = [tensor[nearest] for tensor in candidates]
                missing = set(self.reached.missing())
                groups = [[unit for unit in group if unit in missing] for group in groups]
                if not any(groups):
                    break

    def _gradients(self, samples: Sequence[Tensor], groups: Sequence[Sequence[Unit]]) -> list[Tensor | None] | None:
        """What takes each sample away from its units, by input; None if nothing does or there are no gradients."""
        self.passes_left -= FORWARD_AND_BACKWARD * len(samples[0])
        # Pixels as floats, which the normalization in a network takes as well.
        leaves = [tensor.float().clone().requires_grad_() if _is_continuous(tensor) else tensor for tensor in samples]
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        distances: list[Tensor] = []

        def see(layer: Layer, tensor: Tensor) -> None:
            distances.append(self._distances(layer, tensor, groups).sum())

        try:
            with torch.enable_grad(), observed(self.module, len(samples[0]), see, wrapper=self.wrapper):
                # Not the leaves themselves, which the network may not change in place.
                self.module(*in_type_of(self.module, [leaf * 1 if leaf.requires_grad else leaf for leaf in leaves]))
            total = torch.stack(distances).sum()
            gradients = iter(torch.autograd.grad(total, wanted, allow_unused=True))
        except (RuntimeError, TypeError):
            return None
        found = [next(gradients) if leaf.requires_grad else None for leaf in leaves]
        return found if any(gradient is not None and gradient.any() for gradient in found) else None

    def _distances(self, layer: Layer, tensor: Tensor, groups: Sequence[Sequence[Unit]]) -> Tensor:
        """How far each sample is from its units of this layer, at the nearest place of each."""
        rows = [(sample, *unit[1:]) for sample, group in enumerate(groups) for unit in group if unit[0] == layer]
        total = tensor.new_zeros(len(tensor))
        if not rows:
            return total
        samples, pieces, channels = torch.tensor(rows).T
        scale = self.magnitudes.setdefault(layer, tensor.detach().abs().mean() + torch.finfo(tensor.dtype).tiny)
        low, high = tensor.new_tensor(layer.pieces)[pieces].T[..., None]
        margin = MARGIN * scale
        values = tensor[samples, channels]
        distances = (low + margin - values).relu() + (values - high + margin).relu()
        return total.index_add(0, samples, distances.amin(1) / scale)

    def _step(self, samples: Sequence[Tensor], gradients: Sequence[Tensor | None], length: int) -> list[Tensor]:
        moved = []
        for tensor, gradient, ordinary in zip(samples, gradients, self.inputs, strict=True):
            if gradient is None:
                moved.append(tensor)
                continue
            spread = _spread(ordinary)
            lengths = np.geomspace(spread / 2, max(spread, _largest(ordinary)), LENGTHS)
            moved.append(_within(tensor.double() - lengths[length] * gradient.sign().double(), ordinary))
        return moved

    # At random.

    def _explore(self, count: int) -> None:
        if self._goes_on(count):
            self._try([torch.stack([self._random(tensor) for _ in range(count)]) for tensor in self.inputs])

    def _random(self, ordinary: Tensor) -> Tensor:
        """A sample with a random pattern, colours and magnitude; indices and flags are those of another sample."""
        sample = ordinary[int(self.generator.integers(len(ordinary)))]
        if not _is_continuous(ordinary):
            return sample
        shape, axes = as_image(tuple(sample.shape))
        kind = KINDS[int(self.generator.integers(len(KINDS)))]
        gain, colour = self.generator.uniform(-1, 1, (2, shape[-1]))
        pattern = gain * kind.pattern(shape, self.generator) + colour * self.generator.integers(0, 2)
        spread = _spread(ordinary)
        loudest = math.log10(max(1.0, _largest(ordinary) / spread))
        values = float(ordinary[0].double().mean()) + spread * 10 ** self.generator.uniform(0, loudest) * pattern
        return _within(torch.from_numpy(values.transpose(axes).reshape(sample.shape)), ordinary)


def _is_continuous(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.dtype in (torch.uint8, torch.int8)


def _spread(ordinary: Tensor) -> float:
    """The standard deviation of the first sample, which is an ordinary one."""
    return float(ordinary[0].double().std(correction=0)) or 1.0


def _largest(ordinary: Tensor) -> float:
    return float(ordinary.double().abs().max())


def _within(values: Tensor, ordinary: Tensor) -> Tensor:
    """Values in the type and range of the input."""
    if ordinary.is_floating_point():
        bound = _largest(ordinary)
        return values.clamp(-bound, bound).to(ordinary.dtype)
    limits = torch.iinfo(ordinary.dtype)
    return values.round().clamp(limits.min, limits.max).to(ordinary.dtype)
