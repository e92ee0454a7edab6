"""How good a judge `resnetx verify` is: every seeded fault is caught and its layer named, and no honest file fails."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from resnetx.graph.card import read_card
from resnetx.inputs.sampling import Sampling
from resnetx.runtime.catalog import open_runner
from resnetx.verification.reference_outputs import LayerAnswers
from resnetx.verification.references import Truth, torch_truth
from resnetx.verification.result import ProviderVerdict
from resnetx.verification.verify import verify_on
from tests.verification.faults import FAULTS, Base, Fault, reference

SAMPLING = Sampling(sizes=(1, 2, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@cache
def truth_of(base: Base, folder: Path) -> Truth:
    """The truth that `verify` computes by default, once for all faults of a base."""
    healthy = reference(base, folder)
    card = read_card(onnx.load(healthy.path))
    assert card is not None
    weights = None if healthy.weights is None else str(healthy.weights)
    truth = torch_truth(card, SAMPLING, weights=weights, precisions=("fp32",))
    traced: dict[bytes, LayerAnswers] = {}

    def layers(feeds: Sequence[np.ndarray]) -> LayerAnswers:
        key = feeds[0].tobytes()
        if key not in traced:
            assert truth.layers is not None
            traced[key] = truth.layers(feeds)
        return traced[key]

    return replace(truth, layers=layers)


def judge(fault: Fault, folder: Path, *, layers: bool) -> ProviderVerdict:
    model = fault.apply(onnx.load(reference(fault.base, folder).path))
    runner, truth = open_runner(model.SerializeToString()), truth_of(fault.base, folder)
    return verify_on(runner, model, read_card(model), truth, reopen=open_runner, layers=layers, precision="fp32")


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.observable], ids=lambda fault: fault.name)
def test_every_fault_is_caught_and_its_layer_is_named(fault: Fault, folder: Path) -> None:
    verdict = judge(fault, folder, layers=True)
    assert not verdict.passed
    named = verdict.first_fault
    assert named is not None, "no layer is named"
    if fault.layer is not None:
        compared = [layer.name for layer in verdict.layers]
        nodes = [node.name for node in onnx.load(reference(fault.base, folder).path).graph.node]
        # A tensor that PyTorch has no module for (an addition) shows in the next one that it has.
        allowed = [name for name in nodes[nodes.index(fault.layer) :] if name in compared][:1]
        assert [named.name] == allowed, [(layer.name, layer.multiple) for layer in verdict.layers]


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not fault.observable], ids=lambda fault: fault.name)
def test_what_stays_below_the_noise_floor_raises_no_alarm(fault: Fault, folder: Path) -> None:
    assert fault.why
    assert judge(fault, folder, layers=False).passed


def test_the_corpus_is_large_enough() -> None:
    assert len([fault for fault in FAULTS if fault.observable]) >= 60
