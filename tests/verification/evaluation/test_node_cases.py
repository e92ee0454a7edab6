"""The evaluator against the node tests of the onnx package, every supported one."""

from collections import Counter

import numpy as np
import pytest

from resnetx.verification.evaluation.evaluator import Evaluator, UnsupportedGraph
from tests.verification.evaluation.backend_cases import as_array, cases, refused

# Where the expected numbers are not those of exact arithmetic.
OTHER_NUMBERS = {
    "test_dynamicquantizelinear": "a tie, which float32 breaks the other way",
    "test_dynamicquantizelinear_expanded": "a tie, which float32 breaks the other way",
    "test_resize_downsample_scales_linear_align_corners": "a fractional size, where every runtime takes the whole one",
    "test_resize_downsample_scales_cubic_align_corners": "a fractional size, where every runtime takes the whole one",
}


def compare(name: str) -> None:
    case = cases()[name]
    halves = any(half in name for half in ("bf16", "fp16", "bfloat16", "float16", "BFLOAT16"))
    evaluator = Evaluator(case.model)
    for inputs, wanted in case.data_sets:
        feeds = {value.name: as_array(each) for value, each in zip(case.model.graph.input, inputs, strict=False)}
        for found, each in zip(evaluator.run(feeds).values(), map(as_array, wanted), strict=True):
            assert found.shape == each.shape
            if each.dtype.kind in "iub":
                assert found.dtype == each.dtype
            np.testing.assert_allclose(
                found.astype(np.float64),
                each.astype(np.float64),
                rtol=1e-2 if halves else max(case.rtol, 1e-3),
                atol=1e-2 if halves else 1e-6,
            )


@pytest.mark.slow
def test_every_supported_case() -> None:
    """Together, because two thousand small tests would cost more in pytest than in numbers."""
    failures: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for name, case in cases().items():
        if name in OTHER_NUMBERS or refused(name, case.model):
            counts["left out"] += 1
            continue
        counts["run"] += 1
        try:
            compare(name)
        except Exception as error:
            failures[name] = f"{type(error).__name__}: {str(error).strip()[:200]}"
    assert failures == {}
    assert counts["run"] > 1600 and counts["left out"] < 280


@pytest.mark.parametrize("name", ["test_bernoulli", "test_training_dropout_default", "test_string_split_basic"])
def test_what_is_refused_is_named(name: str) -> None:
    case = cases()[name]
    with pytest.raises(UnsupportedGraph, match=r"Bernoulli|Dropout|StringSplit"):
        evaluator = Evaluator(case.model)
        inputs, _ = case.data_sets[0]
        evaluator.run({value.name: as_array(each) for value, each in zip(case.model.graph.input, inputs, strict=False)})
