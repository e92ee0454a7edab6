"""Sketches of inner tensors: a few random projections per channel, which compare tensors without keeping them."""

import hashlib
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# The squared difference of two sketches of a channel estimates that of the channels themselves, with so many degrees
# of freedom; a sketch of a ResNet-50's tensors for one image takes 3 MB, the tensors 300.
PROJECTIONS = 4
# Float32 rounds by 6e-8, and a sum of projections by a few of these.
ROUNDINGS = 1e-6


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A tensor's shape, and its projections by sample and channel: (N, C, projections)."""

    shape: tuple[int, ...]
    values: np.ndarray

    @property
    def form(self) -> tuple[int, int, int]:
        return canonical_shape(self.shape)

    @property
    def moves(self) -> bool:
        """Whether any sample differs from the first by more than roundings."""
        values = np.nan_to_num(self.values, nan=0.0, posinf=0.0, neginf=0.0)
        change = np.abs(values - values[:1]).max(initial=0.0)
        return bool(change > ROUNDINGS * np.abs(values).max(initial=0.0))

    def first(self, count: int) -> "Sketch":
        """The sketch of the first samples."""
        return Sketch(shape=(count, *self.shape[1:]), values=self.values[:count])

    @property
    def energy(self) -> np.ndarray:
        """The sum of squares of each sample's channels, (N, C)."""
        return squares(self.values)


@dataclass(frozen=True, kw_only=True)
class NamedSketch:
    """An inner tensor by the name of the module, call or node that computes it, and the operator's name."""

    name: str
    sketch: Sketch
    op: str = ""


def joined(batches: Sequence[Sequence[NamedSketch]]) -> tuple[NamedSketch, ...]:
    """The same tensors of several batches as those of one; a tensor that is not in all of them is left out."""
    result = []
    others = [_numbered(batch) for batch in batches[1:]]
    for key, first in _numbered(batches[0]).items():
        group = [first, *(batch[key] for batch in others if key in batch)]
        if len(group) == len(batches) and len({each.sketch.form[1:] for each in group}) == 1:
            values = np.concatenate([each.sketch.values for each in group])
            whole = Sketch(shape=(len(values), *first.sketch.shape[1:]), values=values)
            result.append(NamedSketch(name=first.name, sketch=whole, op=first.op))
    return tuple(result)


def paired(first: Sequence[NamedSketch], second: Sequence[NamedSketch]) -> list[tuple[NamedSketch, NamedSketch]]:
    """The tensors that are in both of two runs. A weight may look like a batch of one size, and not of another."""
    others = _numbered(second)
    pairs = [(each, others[key]) for key, each in _numbered(first).items() if key in others]
    return [(one, other) for one, other in pairs if one.sketch.form == other.sketch.form]


def _numbered(batch: Sequence[NamedSketch]) -> dict[tuple[str, str, int], NamedSketch]:
    """By name, operator and how often these came before: a batch of another size may take other views."""
    seen: Counter[tuple[str, str]] = Counter()
    numbered = {}
    for each in batch:
        kind = (each.name, each.op)
        numbered[(*kind, seen[kind])] = each
        seen[kind] += 1
    return numbered


def sketch(tensor: np.ndarray) -> Sketch:
    """Project each channel; a channel of few elements is kept as it is."""
    form = canonical_shape(tensor.shape)
    flat = tensor.reshape(form).astype(np.float64, copy=False)
    if form[2] > PROJECTIONS:
        flat = _product(flat, _signs(form[2]))
    return Sketch(shape=tuple(tensor.shape), values=np.ascontiguousarray(flat))


def _product(values: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """By torch where it is loaded: NumPy's threads spin after each product and take a fifth of torch's speed."""
    torch = sys.modules.get("torch")
    if torch is None:
        with np.errstate(all="ignore"):  # infinities and NaN stay visible in the projections
            product: np.ndarray = values @ signs
            return product
    count, channels, rest = values.shape
    matrix = torch.from_numpy(np.require(values.reshape(-1, rest), requirements=["C", "W"]))
    found: np.ndarray = (matrix @ torch.from_numpy(signs)).numpy()
    return found.reshape(count, channels, signs.shape[1])


def canonical_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Samples, channels and the rest: a pooled map (N, C, 1, 1) is the same as (N, C)."""
    if len(shape) < 2:
        return (shape[0] if shape else 1, 1, 1)
    return (shape[0], shape[1], math.prod(shape[2:]))


def squares(values: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        result: np.ndarray = np.square(values).sum(axis=2)
    return result


@lru_cache(maxsize=64)
def _signs(count: int) -> np.ndarray:
    """Random signs, the same on every machine and with every version of numpy."""
    raw = hashlib.shake_128(str(count).encode()).digest(-(-count * PROJECTIONS // 8))
    bits = np.unpackbits(np.frombuffer(raw, np.uint8))[: count * PROJECTIONS]
    signs: np.ndarray = (bits.reshape(count, PROJECTIONS) * 2.0 - 1.0) / np.sqrt(PROJECTIONS)
    return signs
