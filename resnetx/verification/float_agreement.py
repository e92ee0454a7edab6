"""How an INT8 file as a whole agrees with the float network: signal to error, and the best classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from resnetx.verification.exact_graph import ExactGraph
from resnetx.verification.metrics import measure, rms, sqnr_db
from resnetx.verification.reference_outputs import Outputs, Samples

# Ranges that methods cut off, for other images than these, took a file to 8.6 times what its steps and weights explain.
MOST_TIMES_EXPECTED = 12.0
# Providers that move or leave out roundings were off by 0.91 to 1.11 times what the file itself is off.
MOST_TIMES_SIMULATED = 1.5
# A class that becomes the best, although random errors of that size would put it before the true best less often than
# this, has a cause. Of 1000 classes and 1000 samples, not one does by chance.
UNLIKELY = 1e-8
# The median magnitude of normal numbers of deviation 1.
MEDIAN_OF_NORMAL = 0.6745


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """A few samples' logits in float64: of the float network, and of the file with all its roundings.

    `least` is the RMS of the error to expect: of the file's own steps, each with the smallest range that these samples
    need, and of weights that are rounded as correct INT8 rounds them.
    """

    exact: np.ndarray
    simulated: np.ndarray
    least: float


@dataclass(frozen=True, kw_only=True)
class FloatAgreement:
    """On distinct samples: the signal to error of the logits, and the shares of best classes in common.

    Of the `flips`, best classes that are others, random errors of that size explain all but the `unlikely_flips`. On
    the first `rehearsed` samples: the signal to error of the provider, of the file in exact arithmetic, and the one to
    expect of a file with such steps.
    """

    samples: int
    sqnr_db: float
    top1: float
    top5: float
    flips: int
    unlikely_flips: int
    rehearsed: int = 0
    provider_db: float | None = None
    simulated_db: float | None = None
    expected_db: float | None = None
    reason: str | None = None

    @property
    def passed(self) -> bool:
        return self.reason is None


def rehearse(graph: ExactGraph, logits: str, feeds: Sequence[np.ndarray], exact: Outputs, moved: Outputs) -> Rehearsal:
    """Run the graph on a few samples; `moved` are the network's `exact` outputs with its weights rounded to INT8."""
    place = graph.outputs.index(logits)
    simulated, whole, fitted = (graph.run(feeds, steps=steps)[0][place] for steps in ("kept", "ignored", "fitted"))
    least = math.hypot(rms(fitted - whole), rms(moved[0] - exact[0]))
    return Rehearsal(exact=exact[0], simulated=simulated, least=least)


def compare_with_float(
    samples: Samples, batches: Sequence[np.ndarray], rehearsal: Rehearsal | None
) -> FloatAgreement | None:
    """Compare the logits of each sample; None if they are not comparable, which the checks of outputs say."""
    exact = _distinct_rows(samples, [outputs[0] for outputs in samples.references.truth])
    actual = _distinct_rows(samples, batches)
    if exact is None or actual is None or actual.shape != exact.shape or not np.isfinite(actual).all():
        return None
    metrics = measure(actual, exact)
    flipped = actual.argmax(axis=1) != exact.argmax(axis=1)
    unlikely = flipped & (flip_probability(exact, actual, _typical_error(actual - exact)) < UNLIKELY)
    found = FloatAgreement(
        samples=len(exact),
        sqnr_db=metrics.sqnr_db,
        top1=1 - float(flipped.mean()),
        top5=metrics.top5 or 0.0,
        flips=int(flipped.sum()),
        unlikely_flips=int(unlikely.sum()),
    )
    reasons = []
    if rehearsal is not None:
        few = len(rehearsal.exact)
        provider, simulated = (rms(rows - rehearsal.exact) for rows in (actual[:few], rehearsal.simulated))
        found = replace(
            found,
            rehearsed=few,
            provider_db=_decibels(rehearsal.exact, provider),
            simulated_db=_decibels(rehearsal.exact, simulated),
            expected_db=_decibels(rehearsal.exact, rehearsal.least),
        )
        if simulated > MOST_TIMES_EXPECTED * rehearsal.least:
            reasons.append(
                f"the file itself, in exact arithmetic, is off by {simulated / rehearsal.least:.3g} times what its "
                f"steps and weights explain, and {MOST_TIMES_EXPECTED:g} are allowed"
            )
        if provider > MOST_TIMES_SIMULATED * max(simulated, rehearsal.least):
            reasons.append(
                f"the provider is off by {provider / max(simulated, rehearsal.least):.3g} times what the file is in "
                f"exact arithmetic, and {MOST_TIMES_SIMULATED:g} are allowed"
            )
    if found.unlikely_flips:
        reasons.append(
            f"{found.unlikely_flips} of {len(exact)} best classes are others by more than random errors of that size "
            "explain"
        )
    return replace(found, reason="; ".join(reasons) or None)


def _distinct_rows(samples: Samples, batches: Sequence[np.ndarray]) -> np.ndarray | None:
    """The output for each sample once, from outputs in batches; None if these are not scores of classes."""
    rows: dict[tuple[int, int], np.ndarray] = {}
    for (group, members), output in zip(samples.arrangement, batches, strict=True):
        if output.ndim != 2 or len(output) != len(members) or output.shape[1] < 2:
            return None
        rows |= {(group, member): row for member, row in zip(members, output, strict=True)}
    return np.stack([rows[key] for key in sorted(rows)])


def flip_probability(exact: np.ndarray, actual: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """How probably independent normal errors, of a deviation for each sample, put its found best class first."""
    rows = np.arange(len(exact))
    margins = exact.max(axis=1) - exact[rows, actual.argmax(axis=1)]
    # Two classes differ by the errors of both.
    spread = 2 * np.maximum(deviation, np.finfo(np.float64).tiny)
    return np.array([math.erfc(margin) / 2 for margin in np.minimum(margins / spread, 26.0)])


def _typical_error(error: np.ndarray) -> np.ndarray:
    """The deviation of each sample's errors by their median, to which a few wrong classes add nothing.

    It is not below that of all samples: of few classes, the median is small by chance.
    """
    sizes = np.abs(error)
    deviations: np.ndarray = np.maximum(np.median(sizes, axis=1), np.median(sizes)) / MEDIAN_OF_NORMAL
    return deviations


def _decibels(signal: np.ndarray, error: float) -> float:
    return sqnr_db(signal, np.array([error]))
