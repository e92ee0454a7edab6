"""Whether a reference's outputs move with its inputs: where none does, any file with the same constants agrees."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import onnx

from resnetx.graph.layers import unused_inputs
from resnetx.inputs.batch_dimension import batched_shape
from resnetx.verification.metrics import rms_per_row
from resnetx.verification.noise import Noise, expected_noise
from resnetx.verification.parity import MAX_MULTIPLE, Tolerance, element_spread
from resnetx.verification.reference_outputs import Samples

T = TypeVar("T")
# Fewer distinct samples than this, and one that differs is no rarity.
FEW = 3


@dataclass(frozen=True, kw_only=True)
class Movement:
    """An output of a reference: for `alike` of its `samples`, it is the same within the error that would be allowed.

    `finite`: it has a finite value for any of them.
    """

    output: str
    samples: int
    alike: int
    finite: bool

    @property
    def moves(self) -> bool:
        return self.alike < self.samples

    @property
    def remark(self) -> str | None:
        """What a reader must know of an output beside others that move."""
        if not self.finite:
            return f"{self.output} has no finite value for any of the {self.samples} inputs"
        if not self.moves:
            return f"{self.output} is the same for all {self.samples} inputs: only its constant was compared"
        rare = self.samples > FEW and self.alike == self.samples - 1
        return f"{self.output} is the same for all but one of the {self.samples} inputs" if rare else None


def why_nothing_is_proven(found: Sequence[Movement], *, tolerance: Tolerance | None = None) -> str | None:
    """Why agreement with the reference proves nothing, if that is so."""
    if not found or any(each.moves for each in found):
        return None
    which = f"the output '{found[0].output}'" if len(found) == 1 else "every output"
    what = "is the same for all" if any(each.finite for each in found) else "has no finite value for any of the"
    within = "" if tolerance is None else f", within atol {tolerance.atol:g} and rtol {tolerance.rtol:g}"
    return (
        f"{which} of the reference {what} {found[0].samples} inputs{within}, so any file with that constant "
        "would agree. Verify with trained weights, or on inputs that the outputs depend on."
    )


def remarks(found: Sequence[Movement], model: onnx.ModelProto) -> tuple[str, ...]:
    """What else a reader must know of what was compared."""
    same = () if found else ("all inputs are the same, so that no output was seen to depend on them",)
    unused = (f"no output of the file depends on the input {name}" for name in unused_inputs(model))
    told = [each.remark for each in found if each.remark is not None] if any(each.moves for each in found) else []
    return (*same, *told, *unused)


def movements(samples: Samples, names: Sequence[str], *, tolerance: Tolerance | None = None) -> tuple[Movement, ...]:
    """How each output of the reference moves, by more than float32 may be off or than a `tolerance` of the user allows.

    Nothing is known where all inputs are the same.
    """
    sizes = [next(iter(batched_shape([each.shape for each in group])), 1) for group in samples.groups]

    def rows(arrays: Sequence[Sequence[np.ndarray]], place: int) -> list[np.ndarray]:
        return [_rows(group[place], size) for group, size in zip(arrays, sizes, strict=True)]

    if not any(_varies(rows(samples.groups, place)) for place in range(len(samples.groups[0]))):
        return ()
    truth, noisy = samples.outputs.truth, samples.outputs.noisy.get("fp32", samples.outputs.truth)
    return tuple(_movement(name, rows(truth, place), rows(noisy, place), tolerance) for place, name in enumerate(names))


def _rows(array: np.ndarray, size: int) -> np.ndarray:
    """One row for each sample of the batch; what has no batch dimension is one row."""
    return array if array.ndim and len(array) == size else array[None]


def _varies(groups: Sequence[np.ndarray]) -> bool:
    return any(bool((rows != rows[:1]).any()) for rows in map(np.concatenate, _by_shape(groups, groups).values()))


def _movement(
    name: str, truth: Sequence[np.ndarray], noisy: Sequence[np.ndarray], tolerance: Tolerance | None
) -> Movement:
    floats = truth[0].dtype.kind == "f"
    known = expected_noise(truth, noisy, None, precision="fp32") if floats else [None] * len(truth)
    alike = 0
    for groups in _by_shape(truth, list(zip(truth, known, strict=True))).values():
        rows = np.concatenate([each for each, _ in groups])
        noise = _joined([own for _, own in groups if own is not None])
        # If all but one are alike, they are like the first or like the second.
        alike += max(int(_like(rows, noise, other, tolerance).sum()) for other in range(min(2, len(rows))))
    return Movement(
        output=name,
        samples=sum(map(len, truth)),
        alike=alike,
        finite=not floats or any(bool(np.isfinite(rows).any()) for rows in truth),
    )


def _by_shape(rows: Sequence[np.ndarray], values: Sequence[T]) -> dict[tuple[int, ...], list[T]]:
    """The values by the shape of their rows: only rows of one shape can be compared."""
    found: dict[tuple[int, ...], list[T]] = defaultdict(list)
    for each, value in zip(rows, values, strict=True):
        if len(each):
            found[each.shape[1:]].append(value)
    return found


def _joined(noises: Sequence[Noise]) -> Noise | None:
    if not noises:
        return None
    samples, elements, like = zip(*((each.samples, each.elements, each.like) for each in noises), strict=True)
    return Noise(samples=np.concatenate(samples), elements=np.concatenate(elements), like=np.concatenate(like))


def _like(rows: np.ndarray, noise: Noise | None, other: int, tolerance: Tolerance | None) -> np.ndarray:
    """Which samples have the answer of another one: it would pass in their place. (N,)"""
    with np.errstate(invalid="ignore"):
        error = np.abs(rows.astype(np.float64) - rows[other])
    same: np.ndarray = (rows == rows[other]) | (np.isnan(rows) & np.isnan(rows[other]))
    if noise is None:
        return _each(same)
    known = np.isfinite(error)
    error = np.where(known & ~same, error, 0.0)
    if tolerance is not None:
        size = np.where(known, np.abs(rows), 0.0)
        near, whole = error <= tolerance.atol + tolerance.rtol * size, np.ones(len(rows), bool)
    else:
        near = error <= MAX_MULTIPLE * element_spread(error[0].size) * noise.elements
        whole = rms_per_row(error) <= MAX_MULTIPLE * noise.samples
    passes: np.ndarray = whole & _each(same | (known & near))
    return passes


def _each(elements: np.ndarray) -> np.ndarray:
    """Whether it holds for all elements of a row. (N,)"""
    return np.asarray(elements.reshape(len(elements), -1).all(axis=1))
