"""How far an INT8 file agrees with the float network, and how well both classify labelled images."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from resnetx.base.validation import Count, Positive
from resnetx.errors import UsageError
from resnetx.runtime.runner import Runner

Share = float
# Of a normal distribution, 95 % lie within so many deviations.
DEVIATIONS = 1.959964
# Scores that differ by less than this, relative to the largest, are the same in float32.
ROUNDINGS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """On samples that calibration did not see: the shares on which the best class is the same, and on which the best
    class of the float network is among the five best; and the ratio of signal to error in dB, None if there is none."""

    samples: Positive
    top1: Share
    top5: Share
    sqnr_db: float | None


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """On labelled images: the shares that are right, before and after, and the drop of top-1 with its 95 % interval."""

    images: Positive
    before_top1: Share
    after_top1: Share
    before_top5: Share
    after_top5: Share
    low: float
    high: float
    skipped: Count = 0

    @property
    def drop(self) -> float:
        return self.before_top1 - self.after_top1


@dataclass
class Scores:
    """The outputs of one file: a score for each class, or the best classes in order."""

    best: np.ndarray
    numbers: np.ndarray


def scores(runner: Runner, feeds: Iterable[np.ndarray], step: Callable[[int], None] = lambda number: None) -> Scores:
    """Run every sample, and read what the file says of its classes."""
    (info,) = runner.inputs
    best, numbers = [], []
    for number, feed in enumerate(feeds):
        step(number)
        outputs = list(runner.run({info.name: feed}).values())
        indices = next((array for array in outputs if array.dtype.kind in "iu" and array.ndim == 2), None)
        floats = next((array for array in outputs if array.dtype.kind == "f" and array.ndim >= 2), None)
        if floats is None:
            raise UsageError("The file has no scores of classes as an output; resnetx quantize is for classifiers.")
        rows = floats.reshape(len(floats), -1)
        numbers.append(rows)
        best.append(np.argsort(-rows, axis=1, kind="stable")[:, :5] if indices is None else indices[:, :5])
    return Scores(best=np.concatenate(best), numbers=np.concatenate(numbers))


def compare_scores(before: Scores, after: Scores) -> Agreement:
    numbers = before.numbers
    if len(numbers) > 1 and np.ptp(numbers, axis=0).max() <= ROUNDINGS * np.abs(numbers).max():
        raise UsageError(
            f"Nothing could be proven: the scores of the float network are the same for all {len(numbers)} samples, so "
            "any INT8 file with that constant would agree. Take a network with trained weights."
        )
    first = before.best[:, :1]
    return Agreement(
        samples=len(first),
        top1=float((after.best[:, :1] == first).mean()),
        top5=float((after.best == first).any(axis=1).mean()),
        sqnr_db=sqnr_db(before.numbers, after.numbers),
    )


def sqnr_db(exact: np.ndarray, found: np.ndarray) -> float | None:
    """The ratio of signal to error in decibels; None if there is no error, or no signal."""
    signal = float(np.square(exact.astype(np.float64)).sum())
    return decibels(signal, float(np.square(found.astype(np.float64) - exact).sum()))


def decibels(signal: float, error: float) -> float | None:
    return 10 * math.log10(signal / error) if signal and error else None


def measured_accuracy(before: Scores, after: Scores, labels: Sequence[int], *, skipped: int) -> Accuracy:
    """Both files on the same labelled images, so that the drop is a mean of differences of pairs."""
    truth = np.asarray(labels)[:, None]
    right = [each.best[:, :1] == truth for each in (before, after)]
    in_five = [(each.best == truth).any(axis=1) for each in (before, after)]
    low, high = paired_interval(
        lost=int((right[0] & ~right[1]).sum()), won=int((~right[0] & right[1]).sum()), n=len(truth)
    )
    return Accuracy(
        images=len(truth),
        before_top1=float(right[0].mean()),
        after_top1=float(right[1].mean()),
        before_top5=float(in_five[0].mean()),
        after_top5=float(in_five[1].mean()),
        low=low,
        high=high,
        skipped=skipped,
    )


def paired_interval(*, lost: int, won: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a difference of paired shares, by Agresti and Min: half a pair added to each of the cells.

    Unlike Wald's it does not collapse where no image changed sides.
    """
    total = n + 2
    b, c = lost + 0.5, won + 0.5
    middle = (b - c) / total
    half = DEVIATIONS * math.sqrt(b + c - (b - c) ** 2 / total) / total
    return max(-1.0, middle - half), min(1.0, middle + half)
