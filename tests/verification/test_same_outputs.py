"""Agreement of outputs: the limit, what is exact, and inputs for any signature."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resnetx.errors import GraphError
from resnetx.inputs.random_feeds import random_feeds
from resnetx.runtime.runner import TensorInfo
from resnetx.verification.same_outputs import outputs_agree

FLOATS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=5), elements=st.floats(width=32))


class TestAgreement:
    @given(FLOATS)
    def test_everything_agrees_with_itself(self, array):
        assert outputs_agree({"y": array}, {"y": array.copy()}) is None

    @given(
        hnp.arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32)),
        st.integers(0, 11),
        st.floats(0.001, 1e3),
    )
    def test_the_limit_is_relative_to_the_largest_value(self, array, place, share):
        """An error of 1e-4 of the largest value, times `share`, is found exactly where share is above one."""
        array.flat[0] = 1000.0
        limit = 1e-4 * np.abs(array).max()
        other = array.astype(np.float64)
        other.flat[place] += limit * share
        if abs(share - 1) > 0.01:
            found = outputs_agree({"y": array.astype(np.float64)}, {"y": other})
            assert (found is not None) == (share > 1)

    @pytest.mark.parametrize(
        ("before", "after", "word"),
        [
            (np.zeros(3), np.full(3, 1e-7), None),
            (np.zeros(3), np.full(3, 1e-5), "differs by up to 1e-05"),
            (np.full(3, 1e-3), np.full(3, 1.1e-3), "differs by up to"),
            (np.full(3, np.nan), np.full(3, np.nan), None),
            (np.array([1, np.nan]), np.array([np.nan, 1]), "NaN"),
            (np.array([1, np.inf]), np.array([1, -np.inf]), "infinities"),
            (np.array([1.0]), np.array([np.nan]), "NaN"),
            (np.array([1.0]), np.array([np.inf]), "infinities"),
            (np.arange(3), np.arange(3), None),
            (np.arange(3), np.array([0, 2, 1]), "differs in 2 of 3 values"),
            (np.array([True]), np.array([False]), "differs in 1 of 1"),
            (np.ones(1, np.float16), np.full(1, 1.01, np.float16), None),
            (np.ones(1, np.float16), np.full(1, 1.05, np.float16), "differs by up to"),
            (np.zeros((1, 2)), np.zeros((2, 1)), "instead of float64 (1, 2)"),
            (np.zeros(2, np.float32), np.zeros(2), "is float64"),
            (np.zeros(0), np.zeros(0), None),
        ],
    )
    def test_cases(self, before, after, word):
        found = outputs_agree({"y": before}, {"y": after})
        assert found is None if word is None else word in str(found)

    def test_other_names(self):
        assert "['b'] instead of ['a']" in str(outputs_agree({"a": np.zeros(1)}, {"b": np.zeros(1)}))

    def test_feeds(self):
        inputs = [
            TensorInfo("image", np.dtype(np.float32), ("n", 3, "h", "w")),
            TensorInfo("pixels", np.dtype(np.uint8), ("n", "h", "w", 3)),
            TensorInfo("index", np.dtype(np.int64), (5, "n")),
            TensorInfo("flag", np.dtype(np.bool_), ()),
            TensorInfo("half", np.dtype(np.float16), (2,)),
        ]
        feeds = random_feeds(inputs, batch=3, seed=1, free_size=16)
        shapes = {name: array.shape for name, array in feeds.items()}
        assert shapes == {"image": (3, 3, 16, 16), "pixels": (3, 16, 16, 3), "index": (5, 3), "flag": (), "half": (2,)}
        assert all(feeds[info.name].dtype == info.dtype for info in inputs)
        assert np.abs(feeds["image"]).max() <= 2 and feeds["image"].std() > 0.5
        assert (feeds["pixels"].min(), feeds["pixels"].max()) == (0, 255)
        assert set(feeds["index"].flat) <= {0, 1, 2}
        again = random_feeds(inputs, batch=3, seed=1, free_size=16)
        assert all(np.array_equal(feeds[name], again[name]) for name in feeds)
        other = random_feeds(inputs, batch=3, seed=2, free_size=16)
        assert not np.array_equal(feeds["image"], other["image"])

    def test_feeds_of_absurd_size_are_refused(self):
        with pytest.raises(GraphError, match="too large for random values"):
            random_feeds([TensorInfo("x", np.dtype(np.float32), (1, 2**20, 2**20))], batch=1, seed=0)

    @given(st.lists(st.one_of(st.integers(0, 4), st.sampled_from(["n", "h", "w"])), max_size=4), st.integers(0, 3))
    def test_floats_are_finite_and_small_in_any_shape(self, dims, seed):
        feeds = random_feeds([TensorInfo("x", np.dtype(np.float32), tuple(dims))], batch=2, seed=seed, free_size=3)
        assert feeds["x"].ndim == len(dims)
        assert np.all(np.abs(feeds["x"]) <= 2)
