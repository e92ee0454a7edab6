"""The judgement of one output: laws that hold whatever the network."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetx.base.precisions import EPSILON
from resnetx.verification.checks import softmax, verify_classifier, verify_module
from resnetx.verification.noise import Noise
from resnetx.verification.parity import MAX_MULTIPLE, Check, judge_floats
from resnetx.verification.reference_outputs import References

LEVEL = 4 * EPSILON["fp32"]
seeds = st.integers(0, 2**32 - 1)


def truth_of(seed: int, *, samples: int = 3, classes: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(samples, classes))


def judged(truth: np.ndarray, actual: np.ndarray, like: np.ndarray | None = None) -> Check:
    scale = np.sqrt(np.mean(np.where(np.isfinite(truth), truth, 0) ** 2, axis=1)) * LEVEL
    noise = Noise(
        samples=scale, elements=scale[:, None] * np.ones_like(truth), like=(truth if like is None else like).copy()
    )
    return judge_floats("logits", truth=truth, actual=actual, noise=noise)


def off_by(truth: np.ndarray, multiple: float, seed: int) -> np.ndarray:
    size = np.sqrt(np.mean(truth**2, axis=1, keepdims=True)) * LEVEL * multiple
    moved: np.ndarray = truth + size * np.random.default_rng(seed).choice([-1.0, 1.0], size=truth.shape)
    return moved


@given(seed=seeds, size=st.floats(1e-20, 1e20))
@settings(max_examples=50, deadline=None)
def test_errors_count_in_multiples_of_the_noise_whatever_the_magnitude(seed: int, size: float) -> None:
    truth = truth_of(seed) * size
    check = judged(truth, off_by(truth, 3, seed))
    assert check.passed and check.multiple == pytest.approx(3, rel=1e-3)
    assert not judged(truth, off_by(truth, 1.1 * MAX_MULTIPLE, seed)).passed


@given(seed=seeds, sample=st.integers(0, 2))
@settings(max_examples=50, deadline=None)
def test_one_wrong_sample_is_not_hidden_by_louder_ones(seed: int, sample: int) -> None:
    truth = truth_of(seed) * np.array([[1.0], [1e6], [1e-6]])
    actual = truth.copy()
    actual[sample] = off_by(truth, 2 * MAX_MULTIPLE, seed)[sample]
    assert not judged(truth, actual).passed


@given(seed=seeds, place=st.integers(0, 149))
@settings(max_examples=50, deadline=None)
def test_one_wrong_element_is_not_hidden_by_the_others(seed: int, place: int) -> None:
    truth = truth_of(seed)
    actual = truth.copy()
    actual.flat[place] += 30 * np.sqrt(np.mean(truth[place // 50] ** 2)) * LEVEL
    check = judged(truth, actual)
    assert not check.passed and check.reason is not None
    assert str([place // 50, place % 50]) in check.reason


INFINITE = (np.nan, np.inf, -np.inf)


@given(seed=seeds, place=st.integers(0, 149), value=st.sampled_from(INFINITE))
@settings(max_examples=50, deadline=None)
def test_the_same_infinities_as_pytorch_pass_and_others_fail(seed: int, place: int, value: float) -> None:
    truth = truth_of(seed)
    like = truth.copy()
    like.flat[place] = value  # float32 overflows where float64 does not
    assert judged(truth, like.copy(), like).passed
    assert judged(truth, truth.copy(), like).passed
    assert not judged(truth, like.copy()).passed
    both = like.copy()
    assert judged(both, both.copy(), both).passed
    for other in INFINITE:
        if str(other) != str(value):
            wrong = truth.copy()
            wrong.flat[place] = other
            assert not judged(both, wrong, both).passed


@pytest.mark.parametrize("value", INFINITE)
def test_what_is_finite_is_compared_beside_what_is_not(value: float) -> None:
    truth = truth_of(0)
    like = truth.copy()
    like[1, 7] = value
    actual = off_by(truth, 2 * MAX_MULTIPLE, 1)
    actual[1, 7] = value
    assert not judged(truth, actual, like).passed


@pytest.mark.parametrize("change", [lambda y: y[:2], lambda y: y[..., None], lambda y: y.ravel()])
def test_another_shape_is_refused(change: Callable[[np.ndarray], np.ndarray]) -> None:
    truth = truth_of(0)
    check = judged(truth, change(truth))
    assert not check.passed and check.reason is not None and "shape" in check.reason


def test_a_tie_explains_a_difference_only_as_far_as_the_perturbed_network_moves() -> None:
    truth = truth_of(0)
    noise = Noise(samples=np.full(3, LEVEL), elements=np.full(truth.shape, LEVEL), like=truth)
    actual, moved = truth.copy(), np.zeros(truth.shape)
    actual[0, 0] += 1.0
    moved[0, 0] = 1.0
    explained = judge_floats("y", truth=truth, actual=actual, noise=noise, sway=lambda: moved)
    assert explained.passed and explained.explained == 1
    assert not judge_floats("y", truth=truth, actual=actual, noise=noise, sway=lambda: moved / 4).passed
    assert not judge_floats("y", truth=truth, actual=actual, noise=noise, sway=lambda: np.roll(moved, 1)).passed


def test_the_perturbed_outputs_are_computed_only_in_doubt() -> None:
    truth, asked = truth_of(0), []

    def perturbed(batch: int) -> list[np.ndarray]:
        asked.append(batch)
        return [truth]

    references = References(truth=[[truth]], noisy={"fp32": [[off_by(truth, 1, 1)]]}, perturbed=perturbed)
    for multiple, passes in ((2, True), (50, False)):
        runs = [{"y": off_by(truth, multiple, 2)}]
        (check,) = verify_module(references, runs, names=["y"], precision="fp32")
        assert check.passed is passes and bool(asked) is not passes


@pytest.mark.parametrize(("like", "passes"), [([4, 1, 2], True), ([4, 0, 1], False), (None, False)])
def test_indices_that_the_precision_decides_may_be_any(like: list[int] | None, passes: bool) -> None:
    noisy = {} if like is None else {"fp32": [[np.array([like])]]}
    references = References(truth=[[np.array([[4, 0, 1]])]], noisy=noisy)
    (check,) = verify_module(references, [{"best": np.array([[4, 2, 3]])}], names=["best"], precision="fp32")
    assert check.passed is passes


def noisy_logits(truth: np.ndarray, size: float, seed: int) -> np.ndarray:
    scale = np.sqrt(np.mean(truth**2, axis=1, keepdims=True)) * size * EPSILON["fp32"]
    moved: np.ndarray = truth + scale * np.random.default_rng(seed).normal(size=truth.shape)
    return moved


def judged_classifier(output: str, seed: int, *, wrong: float = 1.0) -> list[Check]:
    """A runtime with twice PyTorch's error in the logits, whose softmax is right if `wrong` is 1.

    The second sample is loud: two classes share it, so that its probabilities depend on two of the logits' errors.
    """
    truth = truth_of(seed, samples=4, classes=100)
    truth[1] *= 1000
    truth[1, :2] = truth[1].max() + 5 + np.random.default_rng(seed).uniform(0, 2, 2)
    own, found = noisy_logits(truth, 3, seed + 1), noisy_logits(truth, 6, seed + 2)
    probabilities = softmax(found) * wrong
    order = np.argsort(-probabilities, axis=1)[:, :3]
    run = {
        "probabilities": probabilities,
        "scores": np.take_along_axis(probabilities, order, axis=1),
        "indices": order,
    }
    references = References(truth=[[truth]], noisy={"fp32": [[own]]})
    return list(verify_classifier(references, [run], [found], output=output, precision="fp32"))


@given(seed=seeds, output=st.sampled_from(["probabilities", "top3"]))
@settings(max_examples=200, deadline=None)
def test_the_error_of_a_probability_is_that_of_its_logits(seed: int, output: str) -> None:
    assert [check.reason for check in judged_classifier(output, seed) if not check.passed] == []


@given(seed=seeds, output=st.sampled_from(["probabilities", "top3"]))
@settings(max_examples=50, deadline=None)
def test_a_wrong_softmax_is_still_found(seed: int, output: str) -> None:
    checks = judged_classifier(output, seed, wrong=1 + 1e-2)
    assert [check.output for check in checks if not check.passed] in (["probabilities"], ["scores"])
