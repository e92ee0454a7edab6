"""Compares an exported file with its reference, on several batch sizes and distinct inputs."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import repeat
from operator import itemgetter
from typing import Concatenate, ParamSpec

import numpy as np

from resnetx.base.precisions import EPSILON
from resnetx.errors import GraphError
from resnetx.model.preprocessing import top_k
from resnetx.runtime.runner import Runner
from resnetx.verification.noise import FLOOR_ROUNDINGS, Noise, after_softmax, expected_noise
from resnetx.verification.parity import Check, Sway, Tolerance, judge_exact, judge_floats, judge_top_k
from resnetx.verification.reference_outputs import PERTURBED, Feeds, References


def run_batches(
    runner: Runner, feeds: Feeds, run: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]] | None = None
) -> list[dict[str, np.ndarray]]:
    """Run each batch on the runner, or with `run` instead."""
    names = [tensor.name for tensor in runner.inputs]
    return [(run or runner.run)(dict(zip(names, batch, strict=True))) for batch in feeds]


Rest = ParamSpec("Rest")
Verify = Callable[Concatenate[References, Rest], tuple[Check, ...]]


def _completed_in_doubt(verify: Verify[Rest]) -> Verify[Rest]:
    """Check with what the references have at hand. The perturbed outputs add to the noise: what passes needs none."""

    @wraps(verify)
    def checked(references: References, /, *args: Rest.args, **kwargs: Rest.kwargs) -> tuple[Check, ...]:
        checks = verify(references, *args, **kwargs)
        if references.perturbed is None or all(each.passed for each in checks):
            return checks
        return verify(references.complete(), *args, **kwargs)

    return checked


@_completed_in_doubt
def verify_module(
    references: References,
    runs: Sequence[dict[str, np.ndarray]],
    *,
    names: Sequence[str],
    precision: str,
    tolerance: Tolerance | None = None,
    floor: float = FLOOR_ROUNDINGS,
) -> tuple[Check, ...]:
    """Check every output on every batch: floats against the noise floor, other types exactly."""
    if any(len(batch) != len(names) for batch in references.truth):
        raise GraphError(f"The module has {len(references.truth[0])} outputs, but its file has {len(names)}.")
    checks = []
    for index, name in enumerate(names):
        truth = [batch[index] for batch in references.truth]
        actual = [run[name] for run in runs]
        sways = [_sway_of(references, batch, index) for batch in range(len(truth))]
        if np.issubdtype(truth[0].dtype, np.floating):
            noise = _noise(references, precision, itemgetter(index), floor)
            checks += _judge_batches(name, truth, noise, actual, precision, tolerance, sways)
        else:
            noisy = references.noise(precision) or references.noisy.get("fp32")
            likes = repeat(None, len(truth)) if noisy is None else [batch[index] for batch in noisy]
            checks += [
                judge_exact(name, truth=exact, actual=answer, like=like, sway=sway)
                for exact, answer, like, sway in zip(truth, actual, likes, sways, strict=True)
            ]
    return tuple(checks)


@_completed_in_doubt
def verify_classifier(
    references: References,
    runs: Sequence[dict[str, np.ndarray]],
    logits: Sequence[np.ndarray],
    *,
    output: str,
    precision: str,
    tolerance: Tolerance | None = None,
    floor: float = FLOOR_ROUNDINGS,
) -> tuple[Check, ...]:
    """Check a classifier's logits and its output. Softmax hides errors, so logits are always compared."""
    truth = [batch[0] for batch in references.truth]
    noise = _noise(references, precision, itemgetter(0), floor)
    sways = [_sway_of(references, batch, 0) for batch in range(len(truth))]
    checks = _judge_batches("logits", truth, noise, logits, precision, tolerance, sways)
    if output == "logits":
        return tuple(checks)
    truth = [softmax(batch) for batch in truth]
    k = top_k(output)
    known = _noise(
        references, precision, lambda batch: best_of(softmax(batch[0]), k) if k else softmax(batch[0]), floor
    )
    if known is not None and noise is not None:
        known = [after_softmax(*each, best=k) for each in zip(known, noise, truth, strict=True)]
    if not k:
        answers = [run[output] for run in runs]
        return (*checks, *_judge_batches(output, truth, known, answers, precision, tolerance))
    scores, best = [run["scores"] for run in runs], [best_of(batch, k) for batch in truth]
    checks += _judge_batches("scores", best, known, scores, precision, tolerance)
    for probabilities, run, own in zip(truth, runs, logits, strict=True):
        scored = run["scores"] - best_of(probabilities, k) if run["scores"].shape[1:] == (k,) else np.ones(1)
        # Classes that change places hide each other's errors in the sorted scores, but not in the logits.
        moved = softmax(own) - probabilities if own.shape == probabilities.shape else np.zeros(1)
        allowed = 2 * float(max(np.abs(scored).max(), np.abs(moved).max())) + float(np.finfo(np.float32).eps)
        checks.append(judge_top_k("indices", truth=probabilities, indices=run["indices"], k=k, tolerance=allowed))
    return tuple(checks)


def _sway_of(references: References, batch: int, output: int) -> Sway | None:
    own = references.sway
    return None if own is None else lambda: own(batch)[output]


def _judge_batches(
    name: str,
    truth: Sequence[np.ndarray],
    noise: Sequence[Noise] | None,
    actual: Sequence[np.ndarray],
    precision: str,
    tolerance: Tolerance | None,
    sways: Sequence[Sway | None] | None = None,
) -> list[Check]:
    return [
        judge_floats(name, truth=exact, actual=answer, noise=own, precision=precision, tolerance=tolerance, sway=sway)
        for exact, answer, own, sway in zip(
            truth, actual, noise or repeat(None, len(truth)), sways or repeat(None, len(truth)), strict=True
        )
    ]


def _noise(
    references: References, precision: str, pick: Callable[[list[np.ndarray]], np.ndarray], floor: float
) -> list[Noise] | None:
    """PyTorch's error in `precision`; without outputs in it, the float32 error scaled to that precision's rounding.

    INT8 rounds by ranges and not by magnitudes, so its error is unknown without outputs.
    """
    noisy, factor = references.noise(precision), 1.0
    if noisy is None:
        if precision == "int8":
            return None
        noisy, factor = references.noisy["fp32"], EPSILON[precision] / EPSILON["fp32"]
    truth, answers = ([pick(batch) for batch in side] for side in (references.truth, noisy))
    perturbed = references.noisy.get(PERTURBED)
    response = None if perturbed is None else [pick(batch) for batch in perturbed]
    return expected_noise(truth, answers, response, precision=precision, factor=factor, floor=floor)


def best_of(probabilities: np.ndarray, k: int) -> np.ndarray:
    return -np.sort(-probabilities, axis=1)[:, :k]


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result
