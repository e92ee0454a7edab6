"""The study of the identity: a block whose last scale is 0 is the identity, and how soon blocks learn to be it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnetx.base.progress import OnProgress, Steps, ignore
from resnetx.errors import UsageError
from resnetx.model.config import EXPANSION, Block, ResNetConfig
from resnetx.model.network import BasicBlock, Bottleneck
from resnetx.study.networks import INITIALIZATION, initialize, share_weights
from resnetx.study.repeats import check_repeats, measured_steps, median_line
from resnetx.study.result import Column, Panel, Study, Value, finite, in_digits, judged, repeat_command
from resnetx.study.training import MOMENTUM, one_thread, train

CLAIM = (
    "A residual block whose last BatchNorm scale is 0 is exactly the identity, and a residual block learns the "
    "identity in fewer steps than a plain one."
)
CHANNELS, SIDE, BATCH = 16, 8, 32
GROWTH = 0.05
# Two, because one learning rate could suit one of the networks only.
RATES = (0.1, 1.0)
# Batches, of values from a thousandth to a thousand, for which a block with a last scale of 0 must be the identity.
SCALES = tuple(10.0**power for power in range(-3, 4))
COLUMNS = (
    Column(title="block", numeric=False),
    Column(title="", numeric=False),
    *(Column(title=title) for title in ("learning rate", "steps: median", "fewest", "most", "final error")),
    Column(title="error with last scale 0"),
)
NOTES = (
    "Steps: until the relative error on inputs that were not trained on, |block(x) - x| / |x| in evaluation mode, is "
    "small enough; a dash: not within the steps. Final error: the median of all seeds. Last scale 0: with a bias of 0.",
    "A plain bottleneck cannot be the identity, however long it is trained: it has to bring all channels through a "
    "quarter of them.",
)


@dataclass(frozen=True, kw_only=True)
class IdentityOptions:
    """The relative `error` to reach within so many `steps`, with as many `seeds`, of which the first is `seed`."""

    error: float = 0.01
    steps: int = 500
    seeds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_repeats(seeds=self.seeds, steps=self.steps)
        if not 0 < self.error < 1:
            raise UsageError(f"--error takes a relative error between 0 and 1, such as 0.01; found {self.error:g}.")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """The relative errors of a block at the measured steps, one curve for each seed; infinite after a divergence."""

    block: Block
    plain: bool
    rate: float
    curves: tuple[tuple[float, ...], ...]

    def steps_to(self, error: float, at: Sequence[int]) -> list[float]:
        """The first measured step of each seed at which the error is reached; infinite if it never is."""
        pairs = [zip(at, curve, strict=True) for curve in self.curves]
        return [next((step for step, found in pair if found <= error), math.inf) for pair in pairs]


def study_identity(options: IdentityOptions | None = None, *, progress: OnProgress = ignore) -> Study:
    options = options or IdentityOptions()
    at = measured_steps(options.steps, growth=GROWTH)
    blocks: tuple[Block, ...] = tuple(EXPANSION)
    tell = Steps(progress, 1 + len(blocks) * len(RATES) * 2)
    with one_thread():
        tell.begin("blocks with a last scale of 0")
        with_zero = {
            (block, plain): identity_error(block, plain=plain, seed=options.seed)
            for block, plain in product(blocks, (False, True))
        }
        learned = [
            _learn(block, plain, rate, at, options, tell)
            for block, rate, plain in product(blocks, RATES, (False, True))
        ]
    held, verdict = judge_identity(learned, with_zero, at, options.error)
    return Study(
        name="identity",
        title="How soon a block learns to be the identity",
        claim=CLAIM,
        held=held,
        verdict=verdict,
        seed=options.seed,
        command=repeat_command("identity", options),
        settings={
            "blocks": f"resnetx's basic block and bottleneck, {CHANNELS} channels in and out, {SIDE}x{SIDE} pixels",
            "inputs": "normal random numbers, the negative ones set to 0; new ones at each step, others to measure",
            "initialization": INITIALIZATION,
            "training": f"SGD, mean squared error, batches of {BATCH}, momentum {MOMENTUM:g}; the same for all blocks",
            "seeds": options.seeds,
            "steps": options.steps,
        },
        columns=COLUMNS,
        rows=tuple(_row(each, with_zero[each.block, each.plain], at, options.error) for each in learned),
        panels=tuple(_panel(learned, block, rate, at) for block, rate in product(blocks, RATES)),
        notes=NOTES,
    )


def build_block(block: Block, *, plain: bool, seed: int) -> BasicBlock | Bottleneck:
    """One of the twins, in training mode; both have the same weights."""
    build = BasicBlock if block == "basic" else Bottleneck
    width = CHANNELS // EXPANSION[block]
    residual, twin = (
        build(CHANNELS, width, 1, ResNetConfig(block=block, width=width, plain=each)) for each in (False, True)
    )
    initialize(residual, seed)
    share_weights(residual, twin)
    return twin if plain else residual


@torch.no_grad()
def identity_error(block: Block, *, plain: bool, seed: int) -> float:
    """The largest relative error, in training and in evaluation mode, of a block whose last BatchNorm scale is 0."""
    network = build_block(block, plain=plain, seed=seed)
    last = network.bn2 if isinstance(network, BasicBlock) else network.bn3
    last.weight.zero_()
    inputs = random_inputs(seed)
    return max(relative_error(network.train(mode), scale * next(inputs)) for mode in (True, False) for scale in SCALES)


def relative_error(network: nn.Module, x: Tensor) -> float:
    return float((network(x) - x).norm() / x.norm())


def random_inputs(seed: int) -> Iterator[Tensor]:
    """Endless batches of non-negative inputs, as a block has them behind a ReLU."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(BATCH, CHANNELS, SIDE, SIDE, generator=generator).relu()


def judge_identity(
    learned: Sequence[Learning], with_zero: dict[tuple[Block, bool], float], at: Sequence[int], error: float
) -> tuple[bool, str]:
    """Exact in every residual block; and with every block and rate, the slowest seed of the residual block reaches the
    error before the fastest of the plain one.
    """
    exact = all(found == 0 for (_, plain), found in with_zero.items() if not plain)
    largest = max(found for (_, plain), found in with_zero.items() if not plain)
    sooner, told = True, []
    for residual, plain in _twins(learned):
        ours, theirs = residual.steps_to(error, at), plain.steps_to(error, at)
        ahead = max(ours) < min(theirs)
        sooner &= ahead
        told.append(
            f"{residual.block}, rate {residual.rate:g}: {_span(ours, at)} steps against {_span(theirs, at)}"
            f"{'' if ahead else ' (against the claim)'}"
        )
    zero = "exactly the identity" if exact else f"not the identity, with an error of {in_digits(largest)},"
    return exact and sooner, judged(
        exact and sooner,
        f"a residual block with a last scale of 0 is {zero} (a plain one has an error of "
        f"{in_digits(max(found for (_, plain), found in with_zero.items() if plain))}), and to learn the identity to "
        f"an error of {error:g} residual blocks took, over all seeds, {'; '.join(told)}",
    )


def _twins(learned: Sequence[Learning]) -> Iterator[tuple[Learning, Learning]]:
    plain = {(each.block, each.rate): each for each in learned if each.plain}
    return ((each, plain[each.block, each.rate]) for each in learned if not each.plain)


def _span(steps: Sequence[float], at: Sequence[int]) -> str:
    """How many steps the seeds took, from the fastest to the slowest."""
    fewest, most = min(steps), max(steps)
    if fewest == math.inf:
        return f"more than {at[-1]}"
    return f"{fewest} to {most if most < math.inf else f'more than {at[-1]}'}"


def _learn(
    block: Block, plain: bool, rate: float, at: Sequence[int], options: IdentityOptions, tell: Steps
) -> Learning:
    tell.begin(f"{'plain' if plain else 'residual'} {block} block, learning rate {rate:g}")
    curves = []
    for place in range(options.seeds):
        tell.detail(f"seed {place + 1} of {options.seeds}", place / options.seeds)
        curves.append(learn_identity(block, plain=plain, rate=rate, at=at, seed=options.seed + place))
    return Learning(block=block, plain=plain, rate=rate, curves=tuple(curves))


def learn_identity(block: Block, *, plain: bool, rate: float, at: Sequence[int], seed: int) -> tuple[float, ...]:
    """The relative error after each of these numbers of steps."""
    network = build_block(block, plain=plain, seed=seed)
    inputs = random_inputs(seed)
    held_out = next(inputs)
    training = train(network, ((x, x) for x in inputs), rate=rate, loss=functional.mse_loss)
    errors, done = [], 0
    for step in at:
        while done < step and next(training, None) is not None:
            done += 1
        with torch.no_grad():
            found = relative_error(network.eval(), held_out)
        network.train()
        errors.append(found if done == step and math.isfinite(found) else math.inf)
    return tuple(errors)


def _row(learning: Learning, with_zero: float, at: Sequence[int], error: float) -> tuple[Value, ...]:
    steps = learning.steps_to(error, at)
    final = finite(median(curve[-1] for curve in learning.curves))
    return (
        *(learning.block, "plain" if learning.plain else "residual", learning.rate),
        *(finite(of(steps)) for of in (median, min, max)),
        *(final, with_zero),
    )


def _panel(learned: Sequence[Learning], block: Block, rate: float, at: Sequence[int]) -> Panel:
    return Panel(
        title=f"{'Basic block' if block == 'basic' else 'Bottleneck'}, learning rate {rate:g}",
        x_label="training step",
        y_label="relative error",
        lines=tuple(
            median_line("plain" if each.plain else "residual", at, each.curves, colour=each.plain, dashed=each.plain)
            for each in learned
            if (each.block, each.rate) == (block, rate)
        ),
        log_y=True,
    )
