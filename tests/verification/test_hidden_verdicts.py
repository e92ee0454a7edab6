"""Every hidden fault is caught by `resnetx verify`, and its layer is named."""

from pathlib import Path

import pytest

from tests.verification.faults import HIDDEN, Fault
from tests.verification.faults.verdict import verdict_on

# What is still missed. A test that begins to pass fails here, so that the list stays true.
MISSED = {
    "int8: the scale of the logits a third": "natural images do not reach the range that is cut off",
}


def marks(fault: Fault) -> tuple[pytest.MarkDecorator, ...]:
    return (pytest.mark.xfail(reason=MISSED[fault.name], strict=True),) if fault.name in MISSED else ()


CASES = [pytest.param(fault, id=fault.name, marks=marks(fault)) for faults in HIDDEN.values() for fault in faults]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("fault", CASES)
def test_a_hidden_fault_is_caught_and_its_layer_is_named(fault: Fault, tmp_path: Path) -> None:
    verdict = verdict_on(fault, tmp_path)
    assert not verdict.passed
    assert verdict.named_right, f"{verdict.named} is named, and not {fault.layer}"
