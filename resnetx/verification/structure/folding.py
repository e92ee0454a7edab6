"""Parameters made of others: scaled, added, with other shapes, as an exporter folds them."""

from dataclasses import replace

import numpy as np

from resnetx.verification.structure.parameters import Parameter, constant


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
