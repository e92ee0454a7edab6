"""Whether outputs of a reference move with its inputs: laws, and what is unusual."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetx.verification.movement import Movement, movements, why_nothing_is_proven
from resnetx.verification.noise import expected_noise
from resnetx.verification.parity import Tolerance, judge_floats
from resnetx.verification.reference_outputs import References, Samples

COUNT = 8
seeds = st.integers(0, 2**32 - 1)
# Rows of classes, maps, and single numbers.
shapes = st.sampled_from([(10,), (2, 5, 5), (), (1,)])
sizes = st.floats(1e-12, 1e12)


def samples_of(*outputs: np.ndarray, inputs: np.ndarray | None = None) -> Samples:
    """As from a reference whose float32 is off by a few roundings."""
    random = np.random.default_rng(0)
    noisy = [
        each * (1 + 1e-7 * random.standard_normal(each.shape)) if each.dtype.kind == "f" else each for each in outputs
    ]
    given = np.arange(COUNT, dtype=np.float32) if inputs is None else inputs
    return Samples(
        groups=[[given]],
        outputs=References(truth=[list(outputs)], noisy={"fp32": [noisy]}),
        arrangement=((0, tuple(range(len(given)))),),
    )


def movement(output: np.ndarray) -> Movement:
    (found,) = movements(samples_of(output), ["y"])
    return found


def constant(seed: int, shape: tuple[int, ...], size: float) -> np.ndarray:
    row = np.asarray(size * np.random.default_rng(seed).standard_normal(shape))
    return np.repeat(row[None], COUNT, axis=0)


@given(seeds, shapes, sizes)
@settings(deadline=None)
def test_a_constant_does_not_move_whatever_it_is(seed: int, shape: tuple[int, ...], size: float) -> None:
    for rows in (constant(seed, shape, size), 0 * constant(seed, shape, size)):
        found = movement(rows)
        assert not found.moves and found.alike == found.samples == COUNT and found.finite
        assert why_nothing_is_proven([found]) is not None


@given(seeds, shapes, sizes, st.floats(1e-4, 1e4), st.integers(0, COUNT - 1))
@settings(deadline=None)
def test_one_sample_that_differs_is_movement_wherever_it_stands(
    seed: int, shape: tuple[int, ...], size: float, change: float, place: int
) -> None:
    rows = constant(seed, shape, size)
    rows[place] *= 1 + change
    found = movement(rows)
    assert found.moves and found.alike == COUNT - 1
    assert found.remark is not None and "all but one" in found.remark
    assert why_nothing_is_proven([found]) is None


@given(seeds, shapes, st.floats(1e-12, 1.0))
@settings(deadline=None)
def test_what_does_not_move_passes_with_the_answer_of_another_sample(
    seed: int, shape: tuple[int, ...], change: float
) -> None:
    """It is called a constant only if a file that computes a constant would have passed."""
    rows = constant(seed, shape, 1.0)
    rows = rows * (1 + change * np.random.default_rng(seed).standard_normal(rows.shape))
    if not movement(rows).moves:
        samples = samples_of(rows).outputs
        (noise,) = expected_noise([rows], [samples.noisy["fp32"][0][0]], None, precision="fp32")
        answers = [np.broadcast_to(rows[other], rows.shape) for other in (0, 1)]
        checks = [judge_floats("y", truth=rows, actual=answer, noise=noise) for answer in answers]
        assert any(check.passed for check in checks)


@given(seeds, st.floats(1e-6, 1e6), st.booleans())
@settings(deadline=None)
def test_a_tolerance_that_lets_another_samples_answer_pass_proves_nothing(seed: int, limit: float, wide: bool) -> None:
    rows = constant(seed, (10,), 1.0)
    rows[seed % COUNT, 3] += limit
    tolerance = Tolerance(atol=limit * (1.01 if wide else 0.99))
    found = movements(samples_of(rows), ["y"], tolerance=tolerance)
    assert found[0].moves is not wide
    assert ("within atol" in str(why_nothing_is_proven(found, tolerance=tolerance))) is wide


@given(seeds)
@settings(deadline=None)
def test_integers_move_if_any_is_another(seed: int) -> None:
    classes = np.full(COUNT, seed % 1000)
    assert not movement(classes).moves
    classes[seed % COUNT] += 1
    assert movement(classes).moves


def test_what_is_never_finite_does_not_move_and_another_place_of_nan_does() -> None:
    rows = np.full((COUNT, 4), np.nan)
    found = movement(rows)
    assert not found.moves and not found.finite
    assert "no finite value" in str(found.remark) and "no finite value" in str(why_nothing_is_proven([found]))
    masked = np.ones((COUNT, 4))
    masked[:, 1] = -np.inf
    assert not movement(masked).moves
    masked[3, 2] = np.nan
    assert movement(masked).moves


def test_a_constant_among_moving_outputs_is_told_and_is_no_reason() -> None:
    anchors = np.arange(12.0).reshape(3, 4)  # without a batch dimension
    moving = np.random.default_rng(0).standard_normal((COUNT, 5))
    found = movements(samples_of(anchors, moving), ["anchors", "scores"])
    assert [each.moves for each in found] == [False, True]
    assert why_nothing_is_proven(found) is None
    assert [each.remark is None for each in found] == [False, True]


def test_nothing_is_known_where_the_inputs_are_all_the_same() -> None:
    rows = constant(0, (5,), 1.0)
    assert movements(samples_of(rows, inputs=np.ones((COUNT, 3), np.float32)), ["y"]) == ()
    assert why_nothing_is_proven(()) is None


@pytest.mark.parametrize("moves", [False, True])
def test_batches_of_other_sizes_are_seen_together(moves: bool) -> None:
    """Outputs that depend on the whole batch: each batch is a group of its own."""
    inputs = [np.arange(size, dtype=np.float32) + size for size in (1, 2, 3)]
    truth = [[np.float64(batch.sum() if moves else 7.0)[None][0].reshape(())] for batch in inputs]
    samples = Samples(
        groups=[[batch] for batch in inputs],
        outputs=References(truth=truth, noisy={"fp32": truth}),
        arrangement=tuple((group, tuple(range(len(batch)))) for group, batch in enumerate(inputs)),
        whole=frozenset(range(3)),
    )
    (found,) = movements(samples, ["total"])
    assert found.moves is moves and found.samples == 3
