"""Simulated latencies of two equally fast cases that run interleaved, in worlds where machine and processes differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

USUAL_MS = 10.0
RUNS = 30


@dataclass(frozen=True, kw_only=True)
class World:
    """All sizes are relative. What a process has, it keeps for its life; the next process of the case draws anew.

    `offset` is the standard deviation of processes, `slow_share` how many of them are slower by `slow_by`, `wander` the
    standard deviation of a slow wander that each process has of its own. `rounds` is the standard deviation of rounds.
    The rest is the machine's, and affects both cases: `drift` from the first round to the last, `shared_wander`,
    `two_speeds` between which it switches. Bursts of other programs hit single rounds of one case. `finds` says whether
    20 rounds in 10 processes should suffice to find a slowdown of 5 % almost always.
    """

    name: str
    rounds: float = 0.006
    offset: float = 0.0
    slow_share: float = 0.0
    slow_by: float = 0.0
    wander: float = 0.0
    drift: float = 0.0
    shared_wander: float = 0.0
    two_speeds: float = 0.0
    bursts: float = 0.0
    finds: bool = True

    @property
    def stationary(self) -> bool:
        """Whether there is a true median: not if the machine's speed during the run is the result of chance."""
        return self.drift == self.shared_wander == 0


WORLDS = (
    World(name="quiet"),
    World(name="noisy rounds of 1.5 %", rounds=0.015),
    World(name="drift of 15 %, shared", drift=0.15),
    World(name="wander of 2 %, shared", shared_wander=0.02),
    World(name="two speeds, shared", two_speeds=0.08),
    World(name="bursts of other programs", bursts=0.3),
    World(name="processes differ by 0.5 %", offset=0.005),
    World(name="processes differ by 1 %", offset=0.01),
    World(name="1 process in 10 is 10 % slower", slow_share=0.1, slow_by=0.1),
    # Ten processes leave a standard error of 0.9 %, too much to find 5 % beyond the limit of 2 % every time.
    World(name="each process wanders by 2 %", wander=0.02, finds=False),
)

Case = list[list[np.ndarray]]


def simulate(world: World, rng: np.random.Generator, *, rounds_of: Sequence[int]) -> tuple[Case, Case]:
    """The samples of two cases by process and round; `rounds_of` is the number of rounds of each process."""
    first, second = _levels(world, rng, rounds_of)
    return _samples(first, rng), _samples(second, rng)


def _levels(world: World, rng: np.random.Generator, rounds_of: Sequence[int]) -> list[list[np.ndarray]]:
    total = sum(rounds_of)
    # A case has its turn first in every other round.
    moments = _machine(world, rng, 2 * total).reshape(total, 2)
    moments[1::2] = moments[1::2, ::-1]
    levels = moments.T + rng.normal(0, world.rounds, (2, total))
    levels += np.where(rng.random(levels.shape) < world.bursts, rng.exponential(0.6, levels.shape), 0)
    ends = np.cumsum(rounds_of)[:-1]
    return [[part + _process(world, rng, part.size) for part in np.split(own, ends)] for own in levels]


def _machine(world: World, rng: np.random.Generator, moments: int) -> np.ndarray:
    found = np.linspace(0, rng.normal(0, world.drift), moments)
    found = found + autocorrelated(rng, (moments,), 0.95, world.shared_wander)
    # Switched between rounds, so that both cases meet the same speed.
    return np.asarray(found + world.two_speeds * np.repeat(rng.random(moments // 2) < 0.5, 2))


def _process(world: World, rng: np.random.Generator, rounds: int) -> np.ndarray:
    whole = rng.normal(0, world.offset) + world.slow_by * (rng.random() < world.slow_share)
    return whole + autocorrelated(rng, (rounds,), 0.9, world.wander)


def _samples(levels: Sequence[np.ndarray], rng: np.random.Generator) -> Case:
    """Runs of a round resemble their neighbours, and now and then one is much longer."""
    total = sum(level.size for level in levels)
    inside = autocorrelated(rng, (total, RUNS), 0.7, 0.014)
    spikes = np.where(rng.random(inside.shape) < 0.02, rng.exponential(0.5, inside.shape), 0)
    times = iter(USUAL_MS * np.exp(np.concatenate(levels)[:, None] + inside + spikes))
    return [[next(times) for _ in range(level.size)] for level in levels]


def autocorrelated(rng: np.random.Generator, shape: tuple[int, ...], memory: float, size: float) -> np.ndarray:
    """AR(1) along the last axis, with the standard deviation `size` throughout."""
    shocks = rng.normal(0, size, shape)
    for index in range(1, shape[-1]):
        shocks[..., index] = memory * shocks[..., index - 1] + math.sqrt(1 - memory**2) * shocks[..., index]
    return np.asarray(shocks)
