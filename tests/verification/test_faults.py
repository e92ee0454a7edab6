"""The seeded faults are what they say: files that pass for the healthy one, each wrong where it is said to be."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto

from resnetx.graph.card import read_card
from resnetx.runtime.catalog import open_runner
from resnetx.runtime.ort.session import Session
from resnetx.weights.checkpoint import load_checkpoint, load_network, weights_sha256
from tests.verification.faults import FAULTS, Base, Fault, reference, reference_model
from tests.verification.faults.array_changes import flip_bit, half, int8, mantissa, typical
from tests.verification.faults.base import healthy_model, network
from tests.verification.faults.differences import first_difference
from tests.verification.faults.folding import convolutions, refold
from tests.verification.faults.graph_edits import changed, weight
from tests.verification.faults.looks import EPSILON, answers, looks, multiples, rms, session_of, truth_and_noise

BASES = tuple(dict.fromkeys(fault.base for fault in FAULTS))
OBSERVABLE = [fault for fault in FAULTS if fault.observable]
UNOBSERVABLE = [fault for fault in FAULTS if not fault.observable]
# Healthy logits stay below 1.5 times PyTorch's own error, probabilities of extreme images below 3.
MOST_OF_NOISE = 4.0
# Whatever is called a fault is far from any doubt about that.
LEAST_OF_FAULTS = 16.0


def every_fault(faults: list[Fault]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fault", faults, ids=[fault.name for fault in faults])


def test_there_are_enough_of_them_and_each_has_its_own_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert len(OBSERVABLE) >= 60
    assert {fault.base for fault in OBSERVABLE} == set(BASES)
    assert {fault.needs for fault in OBSERVABLE} == set(looks("floats"))
    layers = Counter(fault.layer for fault in OBSERVABLE)
    assert set(convolutions(healthy_model("floats"))) <= set(layers)
    assert all(fault.base == "pixels" for fault in OBSERVABLE if fault.layer is None)


@pytest.mark.parametrize("base", BASES)
def test_the_healthy_files_are_healthy(base: Base, tmp_path: Path) -> None:
    healthy = reference(base, tmp_path)
    card = read_card(onnx.load(healthy.path))
    assert card is not None and card.weights.sha256 == weights_sha256(network(base))
    session = open_runner(healthy.path)
    for look, batches in looks(base).items():
        truth, noise, _ = truth_and_noise(base, look)
        assert rms(answers(session, batches) - truth) < MOST_OF_NOISE * noise, look
    if healthy.weights is None:
        assert card.weights.seed == 0
    else:
        loaded = load_network(load_checkpoint(healthy.weights, variant="v1.5"))
        assert weights_sha256(loaded) == card.weights.sha256


def test_the_reference_model_is_the_file_of_most_faults(tmp_path: Path) -> None:
    assert reference_model(tmp_path).read_bytes() == reference("floats", tmp_path).path.read_bytes()
    assert Counter(fault.base for fault in FAULTS).most_common(1)[0][0] == "floats"


def passes_for_the_healthy_one(fault: Fault) -> Session:
    """The session of a faulty file that has the interface of the healthy one."""
    healthy = healthy_model(fault.base)
    before = healthy.SerializeToString(deterministic=True)
    model = fault.apply(healthy)
    assert healthy.SerializeToString(deterministic=True) == before
    assert model.SerializeToString(deterministic=True) != before
    onnx.checker.check_model(model, full_check=True)
    assert list(model.metadata_props) == list(healthy.metadata_props)
    assert list(model.opset_import) == list(healthy.opset_import) and model.ir_version == healthy.ir_version
    assert list(model.graph.input) == list(healthy.graph.input)
    assert list(model.graph.output) == list(healthy.graph.output)
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names) and all(names)
    ours, theirs = session_of(model), session_of(healthy)
    assert (ours.inputs, ours.outputs) == (theirs.inputs, theirs.outputs)
    return ours


@every_fault(list(FAULTS))
def test_a_faulty_file_passes_for_the_healthy_one(fault: Fault) -> None:
    ours = passes_for_the_healthy_one(fault)
    for batch in (looks(fault.base)["any image"][0], *looks(fault.base)["batch 2"], *looks(fault.base)["batch 3"]):
        assert answers(ours, (batch,)).shape == (len(batch), 20)


@every_fault(OBSERVABLE)
def test_a_fault_shows_to_those_who_look_as_it_needs(fault: Fault) -> None:
    found = multiples(fault, fault.apply(healthy_model(fault.base)))
    order = list(found)
    # What shows in a batch of two shows in one of three, and both hold plain images.
    visible = {look for look, multiple in found.items() if multiple >= LEAST_OF_FAULTS}
    assert fault.needs in visible
    if fault.needs != "any image":
        plainer = order[: order.index(fault.needs)]
        assert not visible & set(plainer)
        assert all(found[look] < MOST_OF_NOISE for look in plainer)


@every_fault(OBSERVABLE)
def test_a_fault_shows_first_in_the_layer_that_it_names(fault: Fault) -> None:
    found = first_difference(fault, fault.apply(healthy_model(fault.base)))
    assert found is not None
    node, roundings = found
    if fault.layer is None:
        assert node.startswith("preprocess")
    else:
        assert node == fault.layer
    assert roundings > LEAST_OF_FAULTS


@every_fault(UNOBSERVABLE)
def test_what_is_no_fault_stays_within_the_noise_however_one_looks(fault: Fault) -> None:
    assert fault.why and fault.layer is None
    model = fault.apply(healthy_model(fault.base))
    assert all(multiple < MOST_OF_NOISE for multiple in multiples(fault, model).values())


def test_eps_of_1001e_5_in_numbers() -> None:
    """Where variances are near 1, no weight changes by more than a rounding; where they are small, by hundreds."""
    changes: dict[str, float] = {}
    for fault in FAULTS:
        if "1.001e-5 for 1e-5 everywhere" in fault.name:
            healthy = healthy_model(fault.base)
            model, again = fault.apply(healthy), folded_again(fault.base)(healthy)
            pairs = ((weight(again, name), weight(model, name)) for name in kernels(model))
            changes[fault.base] = max(float(np.abs(new / old - 1).max()) for old, new in pairs)
    assert changes["floats"] <= 1.01 * EPSILON
    assert changes["small variances"] > 200 * EPSILON


@every_fault(OBSERVABLE)
def test_the_same_input_gives_the_same_answer_unless_the_fault_is_that_it_does_not(fault: Fault) -> None:
    session = session_of(fault.apply(healthy_model(fault.base)))
    batches = looks(fault.base)["batch 3"]
    same = np.array_equal(answers(session, batches), answers(session, batches), equal_nan=True)
    assert same == fault.deterministic


def folded_again(base: Base) -> Callable[[ModelProto], ModelProto]:
    return changed(refold(lambda: network(base), lambda norm: norm))


def kernels(model: ModelProto) -> list[str]:
    return [f"{layer}.weight" for layer in convolutions(model)]


@pytest.mark.parametrize("base", BASES)
def test_folding_again_with_nothing_changed_gives_the_healthy_weights(base: Base) -> None:
    healthy = healthy_model(base)
    again = folded_again(base)(healthy)
    for name in (f"{layer}.{role}" for layer in convolutions(healthy) for role in ("weight", "bias")):
        np.testing.assert_allclose(weight(again, name), weight(healthy, name), rtol=4 * EPSILON, atol=4 * EPSILON)


def test_rounding_is_what_the_formats_do() -> None:
    values = np.random.default_rng(0).standard_normal(2000).astype(np.float32)
    ties = (np.arange(1, 2000, dtype=np.float32) + np.float32(0.5)) / np.float32(128)
    for array in (values, ties, -ties):
        expected = torch.from_numpy(array).to(torch.bfloat16).float().numpy()
        np.testing.assert_array_equal(mantissa(7)(array), expected)
        np.testing.assert_array_equal(mantissa(10)(array), half(array))
    steps = np.abs(values).max() / 127
    assert np.abs(int8(per_channel=False)(values) - values).max() <= steps / 2 * 1.001
    np.testing.assert_allclose(int8(factor=1.01)(values[None]), int8()(values[None]) * 1.01, rtol=1e-6)


def test_a_flipped_bit_changes_one_weight_by_what_the_bit_is_worth() -> None:
    values = np.random.default_rng(0).uniform(1, 2, 101).astype(np.float32)
    index = typical(values)
    for bit, change in ((23, values[index] / 2), (0, 2.0**-23), (22, 0.5), (15, 2.0**-8)):
        flipped = flip_bit(bit)(values.copy())
        assert np.flatnonzero(flipped != values).tolist() == [index]
        assert abs(flipped[index] - values[index]) == pytest.approx(change)
