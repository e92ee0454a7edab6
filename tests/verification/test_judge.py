"""Two runs of the same input: what rounding explains passes, and what a stale buffer would do does not."""

import numpy as np
import pytest

from resnetx.verification.judge import _repeated


@pytest.mark.parametrize(
    ("precision", "share", "passes"),
    [
        ("fp32", 0.0, True),
        ("fp32", 5e-4, True),
        ("fp32", 5e-3, False),
        ("fp16", 5e-3, True),
        ("fp16", 3e-2, False),
        ("tf32", 5e-3, True),
        ("bf16", 3e-2, True),
        ("bf16", 0.3, False),
    ],
)
def test_two_runs_may_differ_by_roundings_of_their_precision(precision: str, share: float, passes: bool) -> None:
    first = np.random.default_rng(0).standard_normal((2, 10)).astype(np.float32)
    second = first.copy()
    second[1, 3] += share * np.abs(first).max()
    checks = _repeated({"logits": first}, {"logits": second}, precision)
    assert [check.passed for check in checks] == ([] if passes else [False])
    assert _repeated({"y": first}, {"y": first[:1]}, precision)  # another shape is another answer
