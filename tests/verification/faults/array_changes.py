"""What goes wrong with the numbers of one weight: rounding, order, a bit."""

from collections.abc import Callable, Sequence

import numpy as np

Change = Callable[[np.ndarray], np.ndarray]


def typical(array: np.ndarray) -> int:
    """The flat index of an element of middling magnitude: neither one that stands out nor one that hardly counts."""
    return int(np.argsort(np.abs(array).reshape(-1), kind="stable")[array.size // 2])


def one(change: Callable[[np.float32], object]) -> Change:
    """Change one element of middling magnitude."""

    def edit(array: np.ndarray) -> np.ndarray:
        index = typical(array)
        array.reshape(-1)[index] = change(array.reshape(-1)[index])
        return array

    return edit


def flip_bit(bit: int) -> Change:
    return one(lambda value: (np.float32(value).view(np.uint32) ^ np.uint32(1 << bit)).view(np.float32))


def mantissa(bits: int) -> Change:
    """Round to `bits` bits of mantissa, ties to even: 7 is bfloat16, 10 is what TF32 multiplies."""

    def edit(array: np.ndarray) -> np.ndarray:
        dropped = 23 - bits
        raw = array.astype(np.float32).view(np.uint32)
        rounded = raw + np.uint32((1 << (dropped - 1)) - 1) + (raw >> np.uint32(dropped) & np.uint32(1))
        result: np.ndarray = (rounded & ~np.uint32((1 << dropped) - 1)).view(np.float32)
        return result

    return edit


def half(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float16).astype(np.float32)


def int8(*, factor: float = 1.0, per_channel: bool = True) -> Change:
    """Symmetric int8 and back, the way back by a scale that is off by `factor`."""

    def edit(array: np.ndarray) -> np.ndarray:
        axes = tuple(range(1, array.ndim)) if per_channel else None
        scale = np.abs(array).max(axis=axes, keepdims=True) / 127
        return np.asarray(np.rint(array / scale) * scale * factor)

    return edit


def permuted(axis: int, order: Callable[[int], Sequence[int]]) -> Change:
    return lambda array: np.take(array, order(array.shape[axis]), axis=axis)


def pair(first: int, second: int) -> Callable[[int], Sequence[int]]:
    """All in order but two, which have changed places."""
    return lambda count: [{first: second, second: first}.get(index, index) for index in range(count)]


def zeroed(row: int) -> Change:
    def edit(array: np.ndarray) -> np.ndarray:
        array[row] = 0
        return array

    return edit


def tiny_steps(array: np.ndarray) -> np.ndarray:
    """Where one more step of training would have left the weights."""
    return np.asarray(array * (1 + 1e-3 * np.random.default_rng(array.size).uniform(-1, 1, array.shape)))
