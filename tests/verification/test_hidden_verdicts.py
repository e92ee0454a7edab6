"""Every hidden fault is caught by `resnetx verify`, and its layer is named."""

from pathlib import Path

import pytest

from tests.verification.faults import HIDDEN, Fault
from tests.verification.faults.verdict import verdict_on

CASES = [pytest.param(fault, id=fault.name) for faults in HIDDEN.values() for fault in faults]


@pytest.mark.parametrize("fault", CASES)
def test_a_hidden_fault_is_caught_and_its_layer_is_named(fault: Fault, tmp_path: Path) -> None:
    verdict = verdict_on(fault, tmp_path)
    assert not verdict.passed
    assert verdict.named_right, f"{verdict.named} is named, and not {fault.layer}"
