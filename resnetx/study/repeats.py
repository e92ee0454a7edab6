"""What a study measures with several seeds: at which steps, and a line of the median with the range of all seeds."""

from collections.abc import Sequence
from statistics import median

from resnetx.errors import UsageError
from resnetx.study.result import Line, finite

FEWEST_SEEDS, MOST_SEEDS = 3, 100
FEWEST_STEPS, MOST_STEPS = 10, 100_000


def check_repeats(*, seeds: int, steps: int) -> None:
    """Enough seeds for a spread, and a number of steps that ends."""
    if not FEWEST_SEEDS <= seeds <= MOST_SEEDS:
        raise UsageError(f"--seeds takes {FEWEST_SEEDS} to {MOST_SEEDS}; found {seeds}.")
    if not FEWEST_STEPS <= steps <= MOST_STEPS:
        raise UsageError(f"--steps takes {FEWEST_STEPS} to {MOST_STEPS}; found {steps}.")


def measured_steps(steps: int, *, growth: float) -> tuple[int, ...]:
    """The numbers of training steps after which a network is measured, from 0 to `steps`.

    Every step at first, and then each time that their number has grown by this share.
    """
    found, step = [], 0
    while step < steps:
        found.append(step)
        step += max(1, int(step * growth))
    return (*found, steps)


def median_line(
    name: str, x: Sequence[float], curves: Sequence[Sequence[float]], *, colour: int, dashed: bool = False
) -> Line:
    """The median of the curves of all seeds, and their range; infinite where a training did not get there."""
    columns = list(zip(*curves, strict=True))
    low, middle, high = (tuple(finite(of(column)) for column in columns) for of in (min, median, max))
    return Line(name=name, x=tuple(x), y=middle, low=low, high=high, colour=colour, dashed=dashed)
