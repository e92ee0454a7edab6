"""Every hidden fault is caught by `resnetx verify`, and its layer is named."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

import resnetx
from resnetx.verification.verify import VerifyOptions, verify_file
from tests.conftest import TINY_SIZE, tiny_config
from tests.verification.faults import HIDDEN, Fault
from tests.verification.faults.verdict import verdict_on

# What is caught without a layer's name. A test that begins to pass fails here, so that the list stays true.
NAMELESS = {
    "int8: the scale of the logits a third": "the range ends where extremes of other images might end too",
}


def marks(fault: Fault) -> tuple[pytest.MarkDecorator, ...]:
    return (pytest.mark.xfail(reason=NAMELESS[fault.name], strict=True),) if fault.name in NAMELESS else ()


ALL = [fault for faults in HIDDEN.values() for fault in faults]
CASES = [pytest.param(fault, id=fault.name, marks=marks(fault)) for fault in ALL]


@pytest.mark.sampled(4)
@pytest.mark.parametrize("fault", CASES)
def test_a_hidden_fault_is_caught_and_its_layer_is_named(fault: Fault, tmp_path: Path) -> None:
    verdict = verdict_on(fault, tmp_path)
    assert not verdict.passed
    assert verdict.named_right, f"{verdict.named} is named, and not {fault.layer}"


@pytest.mark.sampled(32)
@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
def test_a_hidden_fault_is_caught_in_a_file_without_names_of_nodes(fault: Fault, tmp_path: Path) -> None:
    assert not verdict_on(replace(fault, apply=lambda model: nameless(fault.apply(model))), tmp_path).passed


def nameless(model: onnx.ModelProto) -> onnx.ModelProto:
    for node in model.graph.node:
        node.name = ""
    return model


def test_nodes_without_names_are_compared_as_well(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    resnetx.export(tiny_config(), path, image_size=TINY_SIZE, verify=False)
    named = verify_file(path, VerifyOptions())
    onnx.save(nameless(onnx.load(path)), path)
    verdict = verify_file(path, VerifyOptions())
    assert named.passed and verdict.passed
    assert len(verdict.verdicts[0].layers) == len(named.verdicts[0].layers) > 10
    assert verdict.file is not None and named.file is not None
    assert len(verdict.file.layers) == len(named.file.layers)
