"""What `resnetx verify` says of a faulty file: passed or not, and which layer it names."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnx

from resnetx.graph.card import ModelCard, read_card
from resnetx.runtime.catalog import open_runner
from resnetx.verification.references import Truth
from resnetx.verification.result import Verification
from resnetx.verification.verdicts import Verdicts
from resnetx.verification.verify import VerifyOptions, reference_for
from tests.verification.faults.base import Base, Fault, healthy_model, network, reference
from tests.verification.faults.healthy import BASES


@dataclass(frozen=True, kw_only=True)
class Verdict:
    passed: bool
    named: str | None
    named_right: bool


def verdict_on(fault: Fault, folder: Path) -> Verdict:
    """Verify as a user does: with the checkpoint or the module that the healthy file was made from.

    The network is the same for all faults of a base, so that it is run once.
    """
    model = fault.apply(onnx.load(reference(fault.base, folder).path))
    card, runner = read_card(model), open_runner(model.SerializeToString())
    precision = runner.effective_precision
    shapes = tuple((info.name, info.shape, str(info.dtype)) for info in runner.inputs)
    truth = _truth(fault.base, shapes, None if card is None else card.to_json(), precision)
    verdicts = Verdicts(model=model, card=card, truth=truth)
    provider = verdicts.provider(runner, open_runner, precision)
    result = Verification(
        model=fault.name,
        model_sha256="",
        architecture="",
        reference="",
        seed=0,
        samples=0,
        file=verdicts.file_after([provider]),
        verdicts=(provider,),
    )
    compared = result.file.layers if result.file and result.file.layers else result.verdicts[0].layers
    named = result.wrong_layer
    right = not result.passed and is_right(fault, named, [layer.name for layer in compared])
    return Verdict(passed=result.passed, named=named, named_right=right)


@cache
def _truth(base: Base, shapes: object, card: str | None, precision: str) -> Truth:
    with tempfile.TemporaryDirectory() as folder:
        healthy = reference(base, Path(folder))
        runner = open_runner(healthy.path)
        options = VerifyOptions(
            module=network(base) if BASES[base].module is not None else None,
            weights=None if healthy.weights is None else str(healthy.weights),
        )
        parsed = None if card is None else ModelCard.from_json(card)
        return reference_for(healthy.path, parsed, runner, options, [precision])


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
