"""What `resnetx verify` says of a faulty file: passed or not, and which layer it names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from resnetx.verification.result import ProviderVerdict
from resnetx.verification.verify import VerifyOptions, verify_file
from tests.verification.faults.base import Fault, healthy_model, network, reference
from tests.verification.faults.healthy import BASES


@dataclass(frozen=True, kw_only=True)
class Verdict:
    passed: bool
    named: str | None
    named_right: bool


def verdict_on(fault: Fault, folder: Path) -> Verdict:
    """Verify as a user does: with the checkpoint or the module that the healthy file was made from."""
    healthy = reference(fault.base, folder)
    path = folder / "faulty.onnx"
    onnx.save(fault.apply(onnx.load(healthy.path)), path)
    foreign = BASES[fault.base].module is not None
    options = VerifyOptions(
        module=network(fault.base) if foreign else None,
        weights=None if healthy.weights is None else str(healthy.weights),
        layers=True,
    )
    (verdict,) = verify_file(path, options).verdicts
    named, compared = named_layers(verdict)
    return Verdict(
        passed=verdict.passed, named=named, named_right=not verdict.passed and is_right(fault, named, compared)
    )


def named_layers(verdict: ProviderVerdict) -> tuple[str | None, Sequence[str]]:
    """The first wrong layer, and all that were compared. The one place that knows how a verdict tells."""
    first = verdict.first_fault
    return None if first is None else first.name, [layer.name for layer in verdict.layers]


def is_right(fault: Fault, named: str | None, compared: Sequence[str]) -> bool:
    """The layer itself, a node of it, or the first after it where its own tensor is not compared."""
    if named is None or fault.layer is None:
        return fault.layer is None
    if named == fault.layer or _same_module(fault, named):
        return True
    order = [node.name for node in healthy_model(fault.base).graph.node]
    behind = order[order.index(fault.layer) :] if fault.layer in order else []
    return fault.layer not in compared and [named] == [name for name in behind if name in compared][:1]


def _same_module(fault: Fault, named: str) -> bool:
    """A quantized layer's weights are nodes named after it, and a module of several nodes numbers them.

    In our own networks a number counts the calls of a module, each of which is a layer.
    """
    if BASES[fault.base].module is not None:
        return re.sub(r"_\d+$", "", named) == re.sub(r"_\d+$", "", str(fault.layer))
    layer = str(fault.layer)
    tensor = layer.removesuffix("_DequantizeLinear").removesuffix("_QuantizeLinear")
    return fault.base == "int8" and (named == tensor or named.startswith((f"{layer}.", f"{layer}_", f"{tensor}_")))
