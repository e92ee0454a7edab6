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
        relative, absolute = HALF_STEPS.get(self.storage, (0.0, 0.0))
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


def computed(
    name: str, value: np.ndarray, *, magnitude: np.ndarray, error: np.ndarray, storage: str, foldings: int
) -> Parameter:
    """A parameter that is a sum of terms."""
    return constant(
        name,
        value,
        magnitude=np.broadcast_to(magnitude, value.shape),
        error=np.broadcast_to(error, value.shape),
        storage=storage,
        foldings=foldings,
    )


def error_of(parameter: Parameter) -> np.ndarray:
    """What the stored format allows, for every element."""
    if parameter.error is not None:
        return parameter.error
    with np.errstate(all="ignore"):
        allowed = parameter.allowed(parameter.value(), parameter.factor, parameter.step)
    return np.broadcast_to(np.asarray(allowed), parameter.shape)


def coarser(*storages: str) -> str:
    """The coarsest of some stored formats."""
    order = ("float32", "float16", "bfloat16")
    return max(storages, key=lambda name: order.index(name) if name in order else len(order))


def scaled(parameter: Parameter, factor: np.ndarray) -> Parameter:
    """The parameter times a factor that broadcasts to its shape; nothing is computed yet."""
    if parameter.magnitude is not None or parameter.error is not None:
        size = np.abs(factor)
        return computed(
            parameter.name,
            parameter.value() * factor,
            magnitude=parameter.size_of_terms() * size,
            error=error_of(parameter) * size,
            storage=parameter.storage,
            foldings=parameter.foldings + 1,
        )
    own = factor if parameter.factor is None else parameter.factor * factor
    return replace(parameter, factor=own, foldings=parameter.foldings + 1)


def sum_of(name: str, first: Parameter | None, factor: np.ndarray | None, second: Parameter | None) -> Parameter | None:
    """first * factor + second, where either may be missing."""
    if first is not None and factor is not None:
        first = scaled(first, factor)
    if first is None or second is None:
        return first or second
    with np.errstate(invalid="ignore", over="ignore"):
        return computed(
            name,
            first.value() + second.value(),
            magnitude=first.size_of_terms() + second.size_of_terms(),
            error=error_of(first) + error_of(second),
            storage=coarser(first.storage, second.storage),
            foldings=max(first.foldings, second.foldings) + 1,
        )


def reshaped(parameter: Parameter, shape: tuple[int, ...]) -> Parameter:
    """The same numbers in another shape."""

    def turned(array: np.ndarray | None) -> np.ndarray | None:
        if array is None or (parameter.shape and not array.ndim):
            return array
        return np.broadcast_to(array, parameter.shape).reshape(shape)

    return replace(
        parameter,
        shape=shape,
        read=lambda: parameter.read().reshape(shape),
        factor=turned(parameter.factor),
        step=turned(parameter.step),
        magnitude=turned(parameter.magnitude),
        error=turned(parameter.error),
    )


def transposed(parameter: Parameter, order: tuple[int, ...]) -> Parameter:
    """The same numbers with the axes in another order."""

    def turned(array: np.ndarray | None) -> np.ndarray | None:
        if array is None or not array.ndim:
            return array
        return np.transpose(array.reshape((1,) * (len(order) - array.ndim) + array.shape), order)

    return replace(
        parameter,
        shape=tuple(parameter.shape[axis] for axis in order),
        read=lambda: np.transpose(parameter.read(), order),
        factor=turned(parameter.factor),
        step=turned(parameter.step),
        magnitude=turned(parameter.magnitude),
        error=turned(parameter.error),
    )


def zeros(name: str, shape: tuple[int, ...]) -> Parameter:
    return constant(name, np.zeros(shape, np.float32))
