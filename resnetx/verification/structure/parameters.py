"""Constants of an operation: read when needed, folded in float64, compared to the last rounding of their format."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np

FLOAT32 = 2.0**-23
# Folding in float32 takes an addition, a square root, a division and a multiplication, each half a rounding off.
OWN_ROUNDINGS, FOLDING_ROUNDINGS = 1.0, 4.0
# A processor may flush what is smaller than float32's smallest normal number.
SMALLEST = 2.0**-126
# By stored format: half a step, as a part of the number and absolute (denormal numbers). bfloat16 is also truncated;
# ONNX Runtime's float16 converter moves numbers too small for it by a whole step.
HALF_STEPS = {"float16": (2.0**-11, 2.0**-24), "bfloat16": (2.0**-8, 2.0**-133)}
# Rows of a weight that are in float64 at the same time.
CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """The element that differs most, by how many roundings of float32 (or of the file's own), how many elements differ,
    and the ratio of found to expected, if it is the same for all."""

    index: tuple[int, ...]
    expected: float
    found: float
    roundings: float
    unit: str
    count: int
    total: int
    ratio: float | None = None


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """`read` gives the numbers as stored, decoded; times `factor`, they are the parameter.

    A sum of terms has the `magnitude` that its roundings are relative to, and the `error` that the stored formats of
    its terms allow. `step` is the distance of two neighbours of an integer format, in the scale of what `read` gives.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]
    storage: str = "float32"
    factor: np.ndarray | None = None
    step: np.ndarray | None = None
    magnitude: np.ndarray | None = None
    error: np.ndarray | None = None
    foldings: int = 0
    from_shape: bool = False

    def value(self) -> np.ndarray:
        """The parameter in float64."""
        with np.errstate(all="ignore"):
            array = self.read().astype(np.float64)
            return array if self.factor is None else array * self.factor

    def size_of_terms(self) -> np.ndarray:
        return np.abs(self.value()) if self.magnitude is None else self.magnitude

    def allowed(self, value: np.ndarray, factor: np.ndarray | None, step: np.ndarray | None) -> np.ndarray | float:
        """How far rounding to the stored format moves `value`, a part of the parameter with its `factor` and `step`."""
        size = 1.0 if factor is None else np.abs(factor)
        if step is not None:
            return np.asarray(step * size * 0.5005)
        if self.storage not in HALF_STEPS:
            return 0.0
        relative, absolute = HALF_STEPS[self.storage]
        return np.asarray(np.abs(value) * relative + absolute * size)

    def rows(self) -> Iterator[tuple[int, np.ndarray, np.ndarray | float]]:
        """The parameter in float64, some rows at a time: the first row's number, the values, and their errors."""
        array = self.read()
        if not array.ndim:
            yield from self._part(0, array, self.factor, self.step)
            return
        count = max(1, CHUNK * array.shape[0] // max(array.size, 1))

        def part(scale: np.ndarray | None, start: int) -> np.ndarray | None:
            whole = scale is None or not scale.ndim or scale.ndim < array.ndim or scale.shape[0] == 1
            return scale if whole or scale is None else scale[start : start + count]

        for start in range(0, array.shape[0], count):
            yield from self._part(
                start, array[start : start + count], part(self.factor, start), part(self.step, start), count
            )

    def _part(
        self, start: int, array: np.ndarray, factor: np.ndarray | None, step: np.ndarray | None, count: int = 1
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray | float]]:
        with np.errstate(all="ignore"):
            value = array.astype(np.float64)
            if factor is not None:
                value = value * factor
            error = self.allowed(value, factor, step)
            if self.error is not None:
                error = self.error[start : start + count] if self.error.ndim else self.error
        yield start, value, error

    def mismatch(self, found: "Parameter") -> Mismatch | None:
        """Where `found`, of a file, is not this parameter of the network."""
        if self.shape != found.shape:
            raise ValueError(f"{self.shape} and {found.shape} can't be compared")
        relative = (OWN_ROUNDINGS + FOLDING_ROUNDINGS * self.foldings) * FLOAT32
        worst: Mismatch | None = None
        count = 0
        for (start, expected, _), (_, other, error) in zip(self.rows(), found.rows(), strict=True):
            part = slice(start, start + len(expected)) if expected.ndim else ()
            size = np.abs(expected) if self.magnitude is None else self.magnitude[part]
            with np.errstate(invalid="ignore", over="ignore"):
                allowed = relative * size + error + SMALLEST
                difference = np.abs(expected - other)
                same = (difference <= allowed) | (expected == other) | (np.isnan(expected) & np.isnan(other))
            if same.all():
                continue
            count += int(np.size(same) - np.count_nonzero(same))
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                excess = np.where(same, -1.0, np.nan_to_num(difference / allowed, nan=np.inf, posinf=np.inf))
            place = np.unravel_index(int(np.argmax(excess)), expected.shape) if expected.shape else ()
            coarse = found.storage != "float32"
            unit = np.broadcast_to(2 * np.asarray(error) if coarse else FLOAT32 * size, expected.shape)[place]
            moved = float(difference[place])
            roundings = moved / max(float(unit), SMALLEST) if np.isfinite(moved) else float("inf")
            if worst is None or roundings > worst.roundings:
                index = tuple(int(number) for number in place)
                worst = Mismatch(
                    index=(index[0] + start, *index[1:]) if index else (),
                    expected=float(expected[place]),
                    found=float(other[place]),
                    roundings=roundings,
                    unit=found.storage,
                    count=0,
                    total=int(np.prod(self.shape)),
                )
        return worst and replace(worst, count=count, ratio=_ratio(self.value(), found.value()))

    def same(self, found: "Parameter") -> bool:
        """Whether there is no mismatch; most other weights are told by their first filter."""
        if self.shape != found.shape:
            return False
        if len(self.shape) > 1 and self.shape[0] > 1 and self.first().mismatch(found.first()) is not None:
            return False
        return self.mismatch(found) is None

    def first(self) -> "Parameter":
        """The first filter alone."""

        def part(array: np.ndarray | None) -> np.ndarray | None:
            return array[:1] if array is not None and array.ndim == len(self.shape) else array

        return replace(
            self,
            shape=(1, *self.shape[1:]),
            read=lambda: self.read()[:1],
            factor=part(self.factor),
            step=part(self.step),
            magnitude=part(self.magnitude),
            error=part(self.error),
        )


def _ratio(expected: np.ndarray, found: np.ndarray) -> float | None:
    """By what all numbers are multiplied, to six digits; None if that differs among them."""
    with np.errstate(all="ignore"):
        ratios = (found / expected)[expected != 0]
        low, high = ratios.min(initial=np.inf), ratios.max(initial=-np.inf)
    constant = low > 0 and high - low <= 1e-6 * high and not found[expected == 0].any()
    return float(low) if constant else None


class NetworkParameter(Protocol):
    """A parameter of the network: the numbers themselves, or what a golden bundle keeps of them."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def from_shape(self) -> bool: ...

    def mismatch(self, found: Parameter) -> Mismatch | None: ...

    def same(self, found: Parameter) -> bool: ...


def full(parameter: NetworkParameter) -> Parameter:
    """A parameter whose numbers are all there, as those of a file and of a recorded network are."""
    return cast(Parameter, parameter)


def constant(name: str, array: np.ndarray, **fields: object) -> Parameter:
    """A parameter whose numbers are at hand."""
    return Parameter(name=name, shape=array.shape, read=lambda: array, **fields)  # type: ignore[arg-type]


def zeros(name: str, shape: tuple[int, ...]) -> Parameter:
    return constant(name, np.zeros(shape, np.float32))
