"""The hidden faults are what they say: files that pass for the healthy one, and that show to who looks as they need."""

from collections import Counter

import numpy as np
import pytest
import torch

from resnetx.graph.card import read_card
from tests.verification.faults import FAULTS, HIDDEN, Base, Fault
from tests.verification.faults.base import healthy_model, network
from tests.verification.faults.differences import first_difference, structural_difference
from tests.verification.faults.healthy import BASES, DEAD, FIXED_BATCH
from tests.verification.faults.looks import (
    answers,
    every_look,
    further_looks,
    healthy_answers,
    multiple_of_noise,
    session_of,
    truth_and_noise,
)
from tests.verification.faults.verdict import is_right
from tests.verification.test_faults import LEAST_OF_FAULTS, MOST_OF_NOISE, every_fault, passes_for_the_healthy_one

ALL = [fault for faults in HIDDEN.values() for fault in faults]
# A weight that is off by more than this is no matter of rounding.
LEAST_ROUNDINGS = 8.0
# One rounding of a base's own precision in those of float32.
ONE_ROUNDING = {"fp16": 2**13}
PLAIN = ("any image", "batch 2", "batch 3")


def every_base() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("base", BASES)


def test_there_are_enough_of_them_in_each_class() -> None:
    names = [fault.name for fault in (*FAULTS, *ALL)]
    assert len(set(names)) == len(names)
    assert len(ALL) >= 200 and all(len(faults) >= 12 for faults in HIDDEN.values())
    assert {fault.needs for fault in ALL} >= {"structure", *further_looks("floats")}
    assert {fault.base for fault in (*FAULTS, *ALL)} == set(BASES)
    layers = Counter(fault.layer for fault in ALL)
    assert None not in layers and len(layers) >= 50


# ONNX Runtime normalizes a map of one value less exactly than PyTorch does.
FLAT_MAPS = [("group norm", "extreme images"), ("group norm", "zeros")]


@every_base()
def test_the_healthy_files_are_healthy_however_one_looks(base: Base) -> None:
    for look in every_look(base):
        truth, noise, largest = truth_and_noise(base, look)
        error = np.abs(healthy_answers(base, look) - truth)
        if BASES[base].rewrite is None and BASES[base].options.get("precision") != "fp16":
            most = 8 * MOST_OF_NOISE if (base, look) in FLAT_MAPS else MOST_OF_NOISE
            assert error.max() < most * largest, look
            assert np.sqrt(np.mean(error**2)) < most * noise, look
        elif look in PLAIN:
            # 20 dB for 256 steps; fp16 stays within a thousandth.
            share = 1e-1 if base == "int8" else 1e-2
            assert np.sqrt(np.mean(error**2)) < share * np.sqrt(np.mean(truth**2)), look


@every_base()
def test_the_cards_say_what_the_files_are(base: Base) -> None:
    card = read_card(healthy_model(base))
    assert card is not None
    assert card.precision == {"fp16": "fp16", "int8": "int8"}.get(base, "fp32")
    shape = healthy_model(base).graph.input[0].type.tensor_type.shape.dim[0]
    assert (shape.dim_value or None) == FIXED_BATCH.get(base)


def test_dead_filters_are_dead() -> None:
    """No image activates them, so that end to end nothing of them is seen."""
    network_ = network("dead filters")
    for look in ("any image", "extreme images", "textures", "batch 16"):
        for layer in ("bn1", "layer1.0.bn1", "layer3.1.bn2"):
            module = network_.get_submodule(layer)
            seen: list[float] = []
            hook = module.register_forward_hook(lambda _, __, output: seen.append(float(output[:, DEAD].max())))  # noqa: B023
            with torch.no_grad():
                for batch in every_look("dead filters")[look]:
                    network_(torch.from_numpy(batch))
            hook.remove()
            assert max(seen) < 0, (look, layer)


@pytest.mark.sampled(4)
@every_fault(ALL)
def test_a_faulty_file_passes_for_the_healthy_one(fault: Fault) -> None:
    ours, theirs = passes_for_the_healthy_one(fault), session_of(healthy_model(fault.base))
    for batch in every_look(fault.base)["any image"]:
        assert answers(ours, (batch,)).shape == answers(theirs, (batch,)).shape


@pytest.mark.sampled(4)
@every_fault([fault for fault in ALL if fault.needs != "structure"])
def test_a_fault_shows_to_those_who_look_as_it_needs(fault: Fault) -> None:
    model = fault.apply(healthy_model(fault.base))
    order = list(every_look(fault.base))
    found = {look: multiple_of_noise(fault, model, look) for look in order[: order.index(fault.needs) + 1]}
    assert found[fault.needs] >= LEAST_OF_FAULTS
    assert all(found[look] < LEAST_OF_FAULTS for look in PLAIN if look in order[: order.index(fault.needs)]), found


@pytest.mark.sampled(4)
@every_fault([fault for fault in ALL if fault.needs == "structure"])
def test_what_no_input_shows_stands_in_the_weights_or_the_wiring(fault: Fault) -> None:
    assert structural_difference(fault, fault.apply(healthy_model(fault.base))) > LEAST_ROUNDINGS


@pytest.mark.sampled(4)
@every_fault([fault for fault in ALL if fault.base in ("dead filters", "zero residuals")])
def test_a_dead_path_shows_nothing_end_to_end(fault: Fault) -> None:
    model = fault.apply(healthy_model(fault.base))
    assert all(multiple_of_noise(fault, model, look) < MOST_OF_NOISE for look in PLAIN)


@pytest.mark.sampled(4)
@every_fault(ALL)
def test_a_fault_shows_first_in_the_layer_that_it_names(fault: Fault) -> None:
    found = first_difference(fault, fault.apply(healthy_model(fault.base)))
    if fault.needs == "structure" and (found is None or found[1] < ONE_ROUNDING.get(fault.base, 1)):
        # Plain images do not reach it, but a runtime may compute in another order where the wiring differs; the test of
        # the weights and the wiring has seen it.
        return
    assert found is not None
    node, roundings = found
    # A quantized layer's weights are nodes of their own, named after it.
    assert node == fault.layer or (fault.base == "int8" and node.startswith(str(fault.layer)))
    # In a tensor of large numbers the effect of one weight is small.
    assert roundings > LEAST_ROUNDINGS or fault.needs == "structure"


@pytest.mark.parametrize(
    ("name", "named", "compared", "right"),
    [
        ("a classifier 2 % too large beside an unused fp16 number", "fc", ("conv1", "fc"), True),
        ("a classifier 2 % too large beside an unused fp16 number", "conv1", ("conv1", "fc"), False),
        ("a classifier 2 % too large beside an unused fp16 number", None, ("conv1", "fc"), False),
        # An addition that PyTorch has no module for shows in the next layer.
        ("layer3.0.add stuck at the first sample's from batch 8 on", "layer3.0.relu_2", ("layer3.0.relu_2",), True),
        ("layer3.0.add stuck at the first sample's from batch 8 on", "layer3.1.conv1", ("layer3.0.relu_2",), False),
        ("layer2.0.relu_1 leaking from the first sample from batch 5 on", "layer2.0.relu", ("layer2.0.relu",), False),
        ("GroupNorm: eps 1e-3 for 1e-5", "norm1", ("norm1",), True),
        ("GroupNorm: SiLU left out", "norm1", ("norm1", "silu1"), False),
        ("int8: the scale of layer1.0.relu a third", "layer1.0.relu", ("layer1.0.relu", "layer1.0.conv2"), True),
        ("int8: the scale of layer1.0.relu a third", "layer1.0.conv2", ("layer1.0.relu", "layer1.0.conv2"), True),
        ("int8: the scale of layer1.0.relu a third", "layer1.0.conv3", ("layer1.0.relu", "layer1.0.conv2"), False),
        ("int8: bias dropped in layer1.0.conv2", "layer1.0.conv2.bias_DequantizeLinear", (), True),
    ],
)
def test_who_names_the_right_layer(name: str, named: str | None, compared: tuple[str, ...], right: bool) -> None:
    fault = next(fault for fault in ALL if fault.name == name)
    assert is_right(fault, named, compared) == right
