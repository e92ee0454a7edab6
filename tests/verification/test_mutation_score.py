"""How good a judge `resnetx verify` is: every seeded fault is caught and its layer named, and no honest file fails."""

from pathlib import Path

import pytest

from tests.verification.faults import FAULTS, Fault
from tests.verification.faults.verdict import verdict_on

OBSERVABLE = [fault for fault in FAULTS if fault.observable]
HARMLESS = [fault for fault in FAULTS if not fault.observable]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("fault", OBSERVABLE, ids=lambda fault: fault.name)
def test_every_fault_is_caught_and_its_layer_is_named(fault: Fault, folder: Path) -> None:
    verdict = verdict_on(fault, folder)
    assert not verdict.passed
    assert verdict.named_right, f"{verdict.named} is named, and not {fault.layer}"


@pytest.mark.sampled(3)
@pytest.mark.parametrize("fault", HARMLESS, ids=lambda fault: fault.name)
def test_what_stays_below_the_noise_floor_raises_no_alarm(fault: Fault, folder: Path) -> None:
    assert fault.why
    assert verdict_on(fault, folder).passed


def test_the_corpus_is_large_enough() -> None:
    assert len(OBSERVABLE) >= 60
