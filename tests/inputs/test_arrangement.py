"""The arrangement of samples in batches: every error of a place or of its neighbours shows, for any seed."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetx.inputs.arrangement import VECTOR_WIDTHS, arrange
from resnetx.inputs.samples import KINDS
from resnetx.inputs.sampling import DYNAMIC_SIZES

LARGEST = max(DYNAMIC_SIZES)
SEEDS = st.integers(0, 200)
Results = np.ndarray
# What a faulty runtime returns instead of the right results of a batch.
Fault = Callable[[Results], Results]


def stuck_from(place: int) -> Fault:
    return lambda right: np.concatenate([right[:place], np.repeat(right[place : place + 1], len(right) - place)])


def leak_from_before(distance: int, share: float) -> Fault:
    def leak(right: Results) -> Results:
        wrong = right.copy()
        wrong[distance:] = (1 - share) * right[distance:] + share * right[:-distance]
        return wrong

    return leak


def copy_of(source: int, place: int) -> Fault:
    def copy(right: Results) -> Results:
        wrong = right.copy()
        wrong[place] = right[source]
        return wrong

    return copy


def batches_that_show(fault: Fault, batches: Sequence[Sequence[int]], *, of: int) -> int:
    """How many of the batches with at least `of` + 1 places have a wrong result."""
    results = np.random.default_rng(0).standard_normal(100)  # of each sample
    shown = 0
    for batch in batches:
        right = results[list(batch)]
        if len(batch) > of:
            shown += not np.array_equal(fault(right), right)
    return shown


@cache
def default(seed: int) -> list[list[int]]:
    return arrange(DYNAMIC_SIZES, len(KINDS), seed=seed)


@settings(deadline=None)
@given(SEEDS, st.integers(0, LARGEST - 2))
def test_results_stuck_from_any_place_on_show_in_every_large_batch(seed: int, place: int) -> None:
    batches = default(seed)
    large = sum(len(batch) > place + 1 for batch in batches)
    assert batches_that_show(stuck_from(place), batches, of=place + 1) == large >= 2


@settings(deadline=None)
@given(SEEDS, st.integers(1, LARGEST - 1), st.floats(0.001, 1))
def test_a_leak_over_any_distance_shows(seed: int, distance: int, share: float) -> None:
    fault = leak_from_before(distance, share)
    batches = default(seed)
    assert batches_that_show(fault, batches, of=distance) >= 1
    if distance < LARGEST - 2:  # then a batch has more pairs of places so far apart than share a sample by chance
        assert batches_that_show(fault, batches[-1:], of=distance) == 1


@settings(deadline=None)
@given(SEEDS, st.lists(st.integers(0, LARGEST - 1), min_size=2, max_size=2, unique=True))
def test_one_place_with_the_result_of_any_other_shows(seed: int, places: list[int]) -> None:
    assert batches_that_show(copy_of(*places), default(seed), of=max(places)) >= 1


@settings(deadline=None)
@given(SEEDS)
def test_places_neighbours_and_duplicates(seed: int) -> None:
    batches = default(seed)
    assert [len(batch) for batch in batches] == [*DYNAMIC_SIZES, LARGEST]
    for place in range(LARGEST):
        seen = [batch[place] for batch in batches if len(batch) > place]
        assert len(set(seen)) == len(seen) >= 2, f"place {place} has {seen}"
    for batch in batches:
        assert all(one != other for one, other in pairwise(batch))
        counts = Counter(batch)
        if len(batch) == LARGEST:  # every sample is there, most of them twice or more
            assert len(counts) == len(KINDS)
            assert max(counts.values()) <= 4
        distances = Counter(
            high - low for high in range(len(batch)) for low in range(high) if batch[low] == batch[high]
        )
        assert all(distances[width] <= 2 for width in VECTOR_WIDTHS), "no period of a vector's width"


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=4),
    st.integers(2, 40),
    SEEDS,
)
def test_any_sizes_use_every_sample_and_run_the_last_size_twice(sizes: list[int], count: int, seed: int) -> None:
    batches = arrange(sizes, count, seed=seed)
    assert [len(batch) for batch in batches[: len(sizes)]] == sizes
    assert {len(batch) for batch in batches[len(sizes) :]} <= {sizes[-1]}
    assert {sample for batch in batches for sample in batch} == set(range(count))
    last = [batch for batch in batches if len(batch) == sizes[-1]]
    assert len(last) >= 2
    if count >= 3:
        for place in range(sizes[-1]):
            assert len({batch[place] for batch in batches if len(batch) > place}) >= 2
    assert all(one != other for batch in batches for one, other in pairwise(batch))
    assert batches == arrange(sizes, count, seed=seed)


@pytest.mark.parametrize("size", [1, 4, 8, 16, 17, 32])
def test_a_fixed_batch_sees_every_sample_without_more_runs_than_that_takes(size: int) -> None:
    batches = arrange((size,), len(KINDS))
    assert len(batches) == max(2, -(-len(KINDS) // size))
    assert batches[0][0] == 0
