"""An exported file held against the module that it came from, on several batch sizes and distinct inputs."""

from collections.abc import Sequence

import numpy as np

from resnetx.errors import GraphError
from resnetx.measure.inputs import network_input, synthetic_images
from resnetx.measure.parity import MAX_MULTIPLE, OutputParity, Parity, judge_exact, judge_floats, judge_top_k
from resnetx.model.preprocessing import Preprocessing, top_k
from resnetx.runtime.reference import References
from resnetx.runtime.session import Session

# One, two and an odd number: a batch dimension that was fixed or dropped shows in one of them.
DYNAMIC_BATCHES = (1, 2, 3)

Feeds = list[list[np.ndarray]]


def batch_sizes(fixed: int | None) -> tuple[int, ...]:
    """Each size is run with other inputs than the rest; a fixed size is run twice."""
    return DYNAMIC_BATCHES if fixed is None else (fixed, fixed)


def image_batches(sizes: Sequence[int]) -> list[list[int]]:
    """Which images each batch holds: as many as the largest has, every batch with another one first.

    A classifier's answer to an image does not depend on its neighbours, so each is computed in PyTorch once.
    """
    count = max(max(sizes), 2)
    return [[(index + first) % count for index in range(size)] for first, size in enumerate(sizes)]


def images_for(sizes: Sequence[int], *, image_size: int, preprocessing: Preprocessing, pixels: bool) -> np.ndarray:
    """The images that `image_batches` counts, raw or preprocessed."""
    images = synthetic_images(max(max(sizes), 2), image_size)
    return images if pixels else network_input(images, preprocessing)


def example_feeds(sizes: Sequence[int], example: Sequence[np.ndarray], *, seed: int = 0) -> Feeds:
    """Inputs like the example's: floats of its spread, integers drawn from its own elements."""
    generator = np.random.default_rng(seed)
    return [[_like(tensor, size, generator) for tensor in example] for size in sizes]


def _like(example: np.ndarray, batch: int, generator: np.random.Generator) -> np.ndarray:
    shape = (batch, *example.shape[1:])
    if np.issubdtype(example.dtype, np.floating):
        spread = float(example.std()) or 1.0
        return (generator.standard_normal(shape) * spread + float(example.mean())).astype(example.dtype)
    return generator.choice(example.reshape(-1), shape)


def run_batches(session: Session, feeds: Feeds) -> list[dict[str, np.ndarray]]:
    names = [tensor.name for tensor in session.inputs]
    return [session.run(dict(zip(names, batch, strict=True))) for batch in feeds]


def verify_module(
    runs: Sequence[dict[str, np.ndarray]], references: References, *, names: Sequence[str], precision: str
) -> tuple[OutputParity, ...]:
    """Every output of a module, floats against the noise floor, all else exactly."""
    if any(len(batch) != len(names) for batch in references.truth):
        raise GraphError(f"The module has {len(references.truth[0])} outputs, and its file has {len(names)}.")
    verdicts = []
    for index, name in enumerate(names):
        truth = [batch[index] for batch in references.truth]
        actual = [run[name] for run in runs]
        wrong = next(((a.shape, t.shape) for a, t in zip(actual, truth, strict=True) if a.shape != t.shape), None)
        if wrong:
            verdicts.append(judge_exact(name, truth=np.empty(wrong[1]), actual=np.empty(wrong[0])))
        elif np.issubdtype(truth[0].dtype, np.floating):
            noisy = [batch[index] for batch in references.noisy[precision]]
            verdicts.append(
                judge_floats(name, truth=_flat(truth), noisy=_flat(noisy), actual=_flat(actual), precision=precision)
            )
        else:
            verdicts.append(judge_exact(name, truth=_flat(truth), actual=_flat(actual)))
    return tuple(verdicts)


def verify_classifier(
    runs: Sequence[dict[str, np.ndarray]],
    logits: Sequence[np.ndarray],
    references: References,
    *,
    output: str,
    precision: str,
) -> tuple[OutputParity, ...]:
    """A classifier's logits, and what the file makes of them. Softmax hides errors, so logits are always compared."""
    truth = np.concatenate([batch[0] for batch in references.truth])
    noisy = np.concatenate([batch[0] for batch in references.noisy[precision]])
    verdicts = [
        judge_floats("logits", truth=truth, noisy=noisy, actual=np.concatenate(list(logits)), precision=precision)
    ]
    if output == "logits":
        return tuple(verdicts)
    actual = {name: np.concatenate([run[name] for run in runs]) for name in runs[0]}
    truth, noisy = _softmax(truth), _softmax(noisy)
    k = top_k(output)
    if not k:
        verdicts.append(judge_floats(output, truth=truth, noisy=noisy, actual=actual[output], precision=precision))
        return tuple(verdicts)
    scores = judge_floats(
        "scores",
        truth=-np.sort(-truth, axis=1)[:, :k],
        noisy=-np.sort(-noisy, axis=1)[:, :k],
        actual=actual["scores"],
        precision=precision,
    )
    tolerance = 2 * scores.max_abs_error + float(np.finfo(np.float32).eps)
    indices = judge_top_k("indices", truth=truth, indices=actual["indices"], k=k, tolerance=tolerance)
    return (*verdicts, indices, scores)


def parity_of(outputs: tuple[OutputParity, ...], *, precision: str, sizes: Sequence[int]) -> Parity:
    return Parity(precision=precision, batches=tuple(sizes), max_multiple=MAX_MULTIPLE, outputs=outputs)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: np.ndarray = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.reshape(-1) for array in arrays])
