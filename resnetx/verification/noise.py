"""The error to expect of a correct runtime: PyTorch's own in that precision, for each sample and element."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnetx.base.precisions import EPSILON
from resnetx.verification.metrics import rms, rms_per_row

# The minimum noise, in roundings of the output, for networks so small that torch makes almost no error.
FLOOR_ROUNDINGS = 2.0


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The expected absolute error in one batch: of each sample as RMS (N,), and of each element.

    `like` are PyTorch's answers in the precision: where they are infinite or NaN, a runtime's may be as well.
    """

    samples: np.ndarray
    elements: np.ndarray
    like: np.ndarray


def expected_noise(
    truth: Sequence[np.ndarray],
    noisy: Sequence[np.ndarray],
    response: Sequence[np.ndarray] | None,
    *,
    precision: str,
    factor: float = 1.0,
    floor: float = FLOOR_ROUNDINGS,
) -> list[Noise]:
    """The noise of each batch, from PyTorch's answers in a precision and, if known, with perturbed parameters.

    The level is common to all samples, relative to each sample's own magnitude, and never below a few roundings. Where
    an output cancels to almost nothing, its magnitude says little about its error: there it is the reaction to
    perturbed parameters that counts. `factor` scales the error of another precision to this one.
    """
    errors = [finite_error(answer, exact) * factor for exact, answer in zip(truth, noisy, strict=True)]
    scales = [_scales(exact) for exact in truth]
    level = max(_pooled(errors, scales), floor * EPSILON[precision])
    samples = [level * scale for scale in scales]
    if response is not None:
        reactions = [
            rms_per_row(finite_error(moved, exact)) if exact.ndim else np.abs(finite_error(moved, exact)).reshape(1)
            for exact, moved in zip(truth, response, strict=True)
        ]
        gain = _gain([rms_per_row(error) if error.ndim else np.abs(error).reshape(1) for error in errors], reactions)
        samples = [np.maximum(own, gain * reaction) for own, reaction in zip(samples, reactions, strict=True)]
    usual = _by_element(errors, samples)
    return [
        Noise(samples=own, elements=_column(own, exact) * usual, like=answer)
        for own, exact, answer in zip(samples, truth, noisy, strict=True)
    ]


def after_softmax(own: Noise, logits: Noise, probabilities: np.ndarray, *, best: int = 0) -> Noise:
    """At least the noise that the logits' own makes in their softmax; with `best`, in so many of the largest.

    Where few classes share a sample, its error depends on one or two of the logits' errors, which are small in
    PyTorch's answer by chance.
    """
    share = np.sum(np.square(probabilities), axis=-1, keepdims=True)
    gain = probabilities * np.sqrt(np.maximum(1 - 2 * probabilities + share, 0.0))
    elements = np.broadcast_to(logits.elements, gain.shape) * gain
    if best:
        elements = np.take_along_axis(elements, np.argsort(-probabilities, axis=-1)[..., :best], axis=-1)
    return Noise(
        samples=np.maximum(own.samples, rms_per_row(elements)),
        elements=np.maximum(own.elements, elements),
        like=own.like,
    )


def finite_error(actual: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The error; zero where either is infinite or NaN, which is compared otherwise."""
    with np.errstate(invalid="ignore", over="ignore"):
        error = actual.astype(np.float64) - truth
    return np.where(np.isfinite(truth) & np.isfinite(actual), error, 0.0)


def _scales(truth: np.ndarray) -> np.ndarray:
    finite = np.where(np.isfinite(truth), truth, 0.0)
    rows = rms_per_row(finite) if truth.ndim else np.abs(finite).reshape(1)
    return np.where(rows > 0, rows, rms(finite) or 1.0)


def _pooled(errors: Sequence[np.ndarray], scales: Sequence[np.ndarray]) -> float:
    levels = [
        (rms_per_row(error) if error.ndim else np.abs(error).reshape(1)) / scale
        for error, scale in zip(errors, scales, strict=True)
    ]
    return rms(np.concatenate(levels or [np.zeros(1)]))


def _gain(errors: Sequence[np.ndarray], reactions: Sequence[np.ndarray]) -> float:
    """PyTorch's error in multiples of the reaction: the median, because single samples cancel by chance."""
    error, reaction = np.concatenate(list(errors)), np.concatenate(list(reactions))
    known = reaction > 0
    return float(np.median(error[known] / reaction[known])) if known.any() else 0.0


def _by_element(errors: Sequence[np.ndarray], samples: Sequence[np.ndarray]) -> np.ndarray:
    """How much larger than the sample's the error of an element usually is; at least 1."""
    shapes = {error.shape[1:] for error in errors}
    if len(shapes) != 1 or not errors[0].ndim:
        return np.ones(())
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.concatenate([error / _column(own, error) for error, own in zip(errors, samples, strict=True)])
    usual: np.ndarray = np.sqrt(np.mean(np.square(np.nan_to_num(ratios, posinf=0.0, neginf=0.0)), axis=0))
    larger: np.ndarray = np.maximum(usual, 1.0)
    return larger


def _column(samples: np.ndarray, like: np.ndarray) -> np.ndarray:
    column: np.ndarray = samples.reshape(-1, *[1] * (like.ndim - 1)) if like.ndim else samples.reshape(())
    return column
