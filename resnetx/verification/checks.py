"""Compares an exported file with its reference, on several batch sizes and distinct inputs."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

import numpy as np

from resnetx.base.precisions import EPSILON
from resnetx.errors import GraphError
from resnetx.model.preprocessing import top_k
from resnetx.runtime.runner import Runner
from resnetx.verification.parity import Check, Tolerance, judge_exact, judge_floats, judge_top_k, noise_level
from resnetx.verification.reference_outputs import References

# One, two and an odd number: one of them detects a batch dimension that was fixed or dropped.
DYNAMIC_BATCHES = (1, 2, 3)

Feeds = list[list[np.ndarray]]


def batch_sizes(fixed: int | None) -> tuple[int, ...]:
    """Each size is run on different inputs; a fixed size is run twice."""
    return DYNAMIC_BATCHES if fixed is None else (fixed, fixed)


def image_batches(sizes: Sequence[int]) -> list[list[int]]:
    """The images of each batch: as many as the largest contains, and each batch starts with a different one.

    A classifier's output for an image does not depend on the others in the batch, so PyTorch computes each image once.
    """
    count = max(max(sizes), 2)
    return [[(index + first) % count for index in range(size)] for first, size in enumerate(sizes)]


def example_feeds(sizes: Sequence[int], example: Sequence[np.ndarray], *, seed: int = 0) -> Feeds:
    """Inputs like the example: floats with its mean and deviation, integers drawn from its elements."""
    generator = np.random.default_rng(seed)
    return [[_like(tensor, size, generator) for tensor in example] for size in sizes]


def _like(example: np.ndarray, batch: int, generator: np.random.Generator) -> np.ndarray:
    shape = (batch, *example.shape[1:])
    if np.issubdtype(example.dtype, np.floating):
        spread = float(example.std()) or 1.0
        return (generator.standard_normal(shape) * spread + float(example.mean())).astype(example.dtype)
    return generator.choice(example.reshape(-1), shape)


def run_batches(
    runner: Runner, feeds: Feeds, run: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]] | None = None
) -> list[dict[str, np.ndarray]]:
    """Run each batch on the runner, or with `run` instead."""
    names = [tensor.name for tensor in runner.inputs]
    return [(run or runner.run)(dict(zip(names, batch, strict=True))) for batch in feeds]


def verify_module(
    runs: Sequence[dict[str, np.ndarray]],
    references: References,
    *,
    names: Sequence[str],
    precision: str,
    tolerance: Tolerance | None = None,
) -> tuple[Check, ...]:
    """Check every output on every batch: floats against the noise floor, other types exactly."""
    if any(len(batch) != len(names) for batch in references.truth):
        raise GraphError(f"The module has {len(references.truth[0])} outputs, but its file has {len(names)}.")
    checks = []
    for index, name in enumerate(names):
        truth = [batch[index] for batch in references.truth]
        actual = [run[name] for run in runs]
        if np.issubdtype(truth[0].dtype, np.floating):
            noise = _noise(references, precision, itemgetter(index), truth)
            checks += _judge_batches(name, truth, noise, actual, precision, tolerance)
        else:
            checks += [judge_exact(name, truth=a, actual=b) for a, b in zip(truth, actual, strict=True)]
    return tuple(checks)


def verify_classifier(
    runs: Sequence[dict[str, np.ndarray]],
    logits: Sequence[np.ndarray],
    references: References,
    *,
    output: str,
    precision: str,
    tolerance: Tolerance | None = None,
) -> tuple[Check, ...]:
    """Check a classifier's logits and its output. Softmax hides errors, so logits are always compared."""
    truth = [batch[0] for batch in references.truth]
    noise = _noise(references, precision, itemgetter(0), truth)
    checks = _judge_batches("logits", truth, noise, logits, precision, tolerance)
    if output == "logits":
        return tuple(checks)
    truth = [softmax(batch) for batch in truth]
    k = top_k(output)
    if not k:
        noise = _noise(references, precision, lambda batch: softmax(batch[0]), truth)
        return (*checks, *_judge_batches(output, truth, noise, [run[output] for run in runs], precision, tolerance))
    scores, best = [run["scores"] for run in runs], [_best(batch, k) for batch in truth]
    noise = _noise(references, precision, lambda batch: _best(softmax(batch[0]), k), best)
    checks += _judge_batches("scores", best, noise, scores, precision, tolerance)
    for probabilities, run in zip(truth, runs, strict=True):
        error = np.abs(run["scores"] - _best(probabilities, k)) if run["scores"].shape[1:] == (k,) else np.ones(1)
        allowed = 2 * float(error.max()) + float(np.finfo(np.float32).eps)
        checks.append(judge_top_k("indices", truth=probabilities, indices=run["indices"], k=k, tolerance=allowed))
    return tuple(checks)


def _judge_batches(
    name: str,
    truth: Sequence[np.ndarray],
    noise: float | None,
    actual: Sequence[np.ndarray],
    precision: str,
    tolerance: Tolerance | None,
) -> list[Check]:
    return [
        judge_floats(name, truth=exact, actual=answer, noise=noise, precision=precision, tolerance=tolerance)
        for exact, answer in zip(truth, actual, strict=True)
    ]


def _noise(
    references: References,
    precision: str,
    pick: Callable[[list[np.ndarray]], np.ndarray],
    truth: Sequence[np.ndarray],
) -> float | None:
    """PyTorch's error in `precision`; without outputs in it, the float32 error scaled to that precision's rounding.

    INT8 rounds by ranges and not by magnitudes, so its error is unknown without outputs.
    """
    noisy = references.noise(precision)
    if noisy is not None:
        return noise_level(truth, [pick(batch) for batch in noisy], precision=precision)
    if precision == "int8":
        return None
    level = noise_level(truth, [pick(batch) for batch in references.noisy["fp32"]], precision="fp32")
    return level * EPSILON[precision] / EPSILON["fp32"]


def _best(probabilities: np.ndarray, k: int) -> np.ndarray:
    return -np.sort(-probabilities, axis=1)[:, :k]


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result
