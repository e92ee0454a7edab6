"""Inner tensors compared by their sketches: what is noise, what is wrong, and what cannot be known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetx.base.precisions import EPSILON
from resnetx.verification.layers import Expected, deviation, expected
from resnetx.verification.sketch import sketch

FLOOR = EPSILON["fp32"]
SHAPE = (3, 8, 6, 6)


def tensor(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SHAPE)


def known(exact: np.ndarray, *, level: float = 3 * FLOOR) -> Expected:
    return expected(sketch(exact), sketch(exact * (1 + level * np.random.default_rng(1).normal(size=exact.shape))))


@given(seed=st.integers(0, 2**32 - 1), size=st.floats(1e-20, 1e20))
@settings(max_examples=50, deadline=None)
def test_noise_is_small_and_a_filter_a_thousandth_too_large_is_not(seed: int, size: float) -> None:
    exact = tensor(seed) * size
    wanted = known(exact)
    again = exact * (1 + 3 * FLOOR * np.random.default_rng(seed).normal(size=SHAPE))
    for loose in (False, True):
        assert deviation(sketch(again), wanted, floor=FLOOR, loose=loose).small
        wrong = exact.copy()
        wrong[:, seed % 8] *= 1.001
        found = deviation(sketch(wrong), wanted, floor=FLOOR, loose=loose)
        assert not found.small and found.channels == pytest.approx(1 / 8)


def test_a_channel_that_overflows_in_the_precision_is_not_known_and_the_others_are() -> None:
    exact = tensor(0)
    exact[2, 3] *= 1e100
    with np.errstate(over="ignore"):
        noisy = (exact * (1 + FLOOR)).astype(np.float32)
    wanted = expected(sketch(exact), sketch(noisy))
    assert deviation(sketch(noisy), wanted, floor=FLOOR, loose=True).small
    assert deviation(sketch(exact), wanted, floor=FLOOR, loose=True).small
    for sample, channel in ((2, 4), (1, 3)):
        wrong = noisy.copy()
        wrong[sample, channel] *= 1.01
        assert not deviation(sketch(wrong), wanted, floor=FLOOR, loose=True).small
        wrong[sample, channel] = np.inf
        assert deviation(sketch(wrong), wanted, floor=FLOOR, loose=True).multiple == np.inf


def test_another_form_is_no_deviation_but_a_difference() -> None:
    exact = tensor(0)
    assert deviation(sketch(exact[:2]), known(exact), floor=FLOOR).multiple == np.inf
    pooled = exact.mean(axis=(2, 3), keepdims=True)
    assert deviation(sketch(pooled[:, :, 0, 0]), known(pooled), floor=FLOOR).small
