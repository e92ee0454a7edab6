"""What is measured with several seeds: the steps, and the median with its range."""

import math
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from resnetx.study.repeats import measured_steps, median_line


@settings(deadline=None)
@given(st.integers(1, 100_000), st.floats(0.01, 0.5))
def test_the_measured_steps_rise_from_the_first_to_the_last(steps: int, growth: float) -> None:
    found = measured_steps(steps, growth=growth)
    assert found[0] == 0 and found[-1] == steps and list(found) == sorted(set(found))
    assert all(after - before <= max(1, before * growth) for before, after in pairwise(found))


def test_a_line_is_the_median_with_the_range() -> None:
    line = median_line("a", (0, 1), [(1.0, 5.0), (3.0, 6.0), (2.0, math.inf)], colour=0)
    assert (line.low, line.y, line.high) == ((1.0, 5.0), (2.0, 6.0), (3.0, None))
